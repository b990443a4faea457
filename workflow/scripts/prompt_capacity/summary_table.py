"""Rule prompt_capacity_summary_table: the source's summary, mean, SD and every value of a configuration."""

from memorization.csv_files import write_with_csv
from memorization.files import read_table
from memorization.job import job
from memorization.prompt_capacity.source_format import summary_table

with job(snakemake) as this:
    summary = summary_table(read_table(this.input.memorization))
    write_with_csv(summary, this.output, "summary", this.made_by)
