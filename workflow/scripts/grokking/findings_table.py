"""Rule grokking_findings_table: the numbers that the family's page quotes."""

from memorization.csv_files import write_with_csv
from memorization.files import read_arrays, read_table
from memorization.grokking.findings import findings_table
from memorization.job import job

with job(snakemake) as this:
    inputs = dict(this.input.items())
    trajectories = [read_arrays(path) for path in inputs.pop("trajectories")]
    tables = {name: read_table(path) for name, path in inputs.items()}
    table = findings_table(**tables, trajectories=trajectories, **this.settings("settings"))
    write_with_csv(table, this.output, "findings", this.made_by)
