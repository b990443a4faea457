"""Rule grokking_recorded: the fingerprint of a training elsewhere, from its file."""

from memorization.grokking.dynamics.recorded import read_recorded
from memorization.job import job

with job(snakemake) as this:
    run = this.settings("run")
    this.write_arrays(read_recorded(run["path"], run["record_every"]), this.output.trajectory)
