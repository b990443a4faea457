"""Rule <family>_runs_table: for each kind of table, the rows of all runs, one run below the other."""

from memorization.job import job

with job(snakemake) as this:
    this.pool_tables()
