"""Rule grokking_table: one table of all runs."""

from memorization.files import read_tables
from memorization.job import job

with job(snakemake) as this:
    this.write_table(read_tables(this.input.runs), this.output.table)
