"""Rule atlas_exposure_table: after how many exposures each run recalls an item."""

from memorization.atlas.exposures import exposure_table
from memorization.atlas.inputs import read_kind
from memorization.findings import csv_text
from memorization.job import job
from memorization.text_files import write_text

with job(snakemake) as this:
    table = exposure_table(read_kind(this.input, "records"), **this.settings("settings"))
    this.write_table(table, this.output.exposure)
    write_text(this.output.exposure_csv, csv_text(table))
