"""Rule prompt_capacity_summary_table: the source's summary, mean, SD and every value of a configuration."""

from memorization.files import read_table
from memorization.findings import csv_text
from memorization.job import job
from memorization.prompt_capacity.source_format import summary_table
from memorization.text_files import write_text

with job(snakemake) as this:
    summary = summary_table(read_table(this.input.memorization))
    this.write_table(summary, this.output.summary)
    write_text(this.output.summary_csv, csv_text(summary))
