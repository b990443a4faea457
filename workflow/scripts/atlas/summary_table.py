"""Rule atlas_summary_table: what each run of each family holds at its end."""

from memorization.atlas.inputs import read_kind
from memorization.atlas.summary import summary_table
from memorization.csv_files import write_with_csv
from memorization.files import read_table
from memorization.job import job

with job(snakemake) as this:
    tables = {kind: read_kind(this.input, kind) for kind in ("records", "runs")}
    table = summary_table(**tables, curves=read_table(this.input.exposure))
    write_with_csv(table, this.output, "summary", this.made_by)
