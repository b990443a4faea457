"""Rule atlas_findings_table: the numbers that the family's page quotes."""

from memorization.atlas.findings import findings_table
from memorization.files import read_tables
from memorization.findings import write_findings
from memorization.job import job

with job(snakemake) as this:
    table = findings_table(read_tables(this.input), **this.settings("settings"))
    write_findings(table, this.output, this.made_by)
