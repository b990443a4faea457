"""Rule prompt_capacity_capacity_table: how long a text a prompt holds."""

from memorization.files import read_table
from memorization.job import job
from memorization.prompt_capacity.capacity import capacity_table

with job(snakemake) as this:
    tables = {name: read_table(path) for name, path in this.input.items()}
    this.write_table(capacity_table(tables["memorization"], tables.get("horizon")), this.output.capacity)
