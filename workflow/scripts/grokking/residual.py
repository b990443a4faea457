"""Rule grokking_residual: what Hankel-DMD leaves unexplained of stretches that slide along a run."""

from memorization.files import read_arrays
from memorization.grokking.dynamics.fingerprint import embed
from memorization.grokking.dynamics.residuals import run_residuals
from memorization.job import job

with job(snakemake) as this:
    steps, _, snapshots = embed(read_arrays(this.input.trajectory), this.settings("embedding"))
    table = run_residuals(steps, snapshots, this.wildcards.condition, this.seed, this.settings("residual"))
    this.write_table(table, this.output.residuals)
