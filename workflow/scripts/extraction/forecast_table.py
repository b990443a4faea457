"""Rule extraction_forecast_table: what foretells which windows are memorized at the end."""

from memorization.extraction.analysis.forecast import forecast_table
from memorization.files import read_table
from memorization.job import job

with job(snakemake) as this:
    table = forecast_table(read_table(this.input.records), **this.settings("settings"))
    this.write_table(table, this.output.forecast)
