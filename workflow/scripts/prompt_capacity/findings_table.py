"""Rule prompt_capacity_findings_table: what the family found, in numbers."""

from memorization.files import read_table
from memorization.findings import write_findings
from memorization.job import job
from memorization.prompt_capacity.findings import findings_table

with job(snakemake) as this:
    tables = {name: read_table(path) for name, path in this.input.items()}
    write_findings(findings_table(tables), this.output, this.made_by)
