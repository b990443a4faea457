"""Rule grokking_residual: what Hankel-DMD leaves of stretches that slide along a run."""

from memorization.files import read_arrays
from memorization.grokking.residuals import run_residuals
from memorization.job import job

with job(snakemake) as this:
    embedding, residual = read_arrays(this.input.embedding), this.settings("residual")
    table = run_residuals(embedding["steps"], embedding["snapshots"], this.wildcards.condition, this.seed, residual)
    this.write_table(table, this.output.residuals)
