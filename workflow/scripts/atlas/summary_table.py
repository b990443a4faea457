"""Rule atlas_summary_table: what each run of each family holds at its end."""

from memorization.atlas.inputs import read_kind
from memorization.atlas.summary import summary_table
from memorization.files import read_table
from memorization.findings import csv_text
from memorization.job import job
from memorization.text_files import write_text

with job(snakemake) as this:
    tables = {kind: read_kind(this.input, kind) for kind in ("records", "runs")}
    table = summary_table(**tables, curves=read_table(this.input.exposure))
    this.write_table(table, this.output.summary)
    write_text(this.output.summary_csv, csv_text(table))
