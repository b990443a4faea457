"""Rule capacity_findings_table: the numbers that the family's page quotes."""

from memorization.capacity.findings import findings_table
from memorization.csv_files import write_with_csv
from memorization.files import read_table
from memorization.job import job

with job(snakemake) as this:
    tables = {name: read_table(path) for name, path in this.input.items()}
    write_with_csv(findings_table(**tables, **this.settings("settings")), this.output, "findings", this.made_by)
