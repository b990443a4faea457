"""Rule extraction_findings_table: what the family found, in numbers."""

from memorization.csv_files import write_with_csv
from memorization.extraction.findings import findings_table
from memorization.files import read_table
from memorization.job import job

with job(snakemake) as this:
    tables = {name: read_table(path) for name, path in this.input.items()}
    write_with_csv(findings_table(tables, **this.settings("settings")), this.output, "findings", this.made_by)
