"""Rule <family>_runs_table: the rows of all runs, for each kind of table."""

from memorization.job import job

with job(snakemake) as this:
    this.pool_tables()
