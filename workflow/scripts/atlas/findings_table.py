"""Rule atlas_findings_table: the numbers that the family's page quotes."""

from memorization.atlas.findings import findings_table
from memorization.atlas.inputs import read_kind
from memorization.csv_files import write_with_csv
from memorization.files import read_table
from memorization.job import job

with job(snakemake) as this:
    tables = {name: read_table(this.input[name]) for name in ("exposure", "summary")}
    table = findings_table(read_kind(this.input, "records"), **tables, **this.settings("settings"))
    write_with_csv(table, this.output, "findings", this.made_by)
