"""Rule prompt_capacity_layouts_table: layouts compared in pairs of trials."""

from memorization.files import read_table
from memorization.job import job
from memorization.prompt_capacity.capacity import layouts_table

with job(snakemake) as this:
    this.write_table(layouts_table(read_table(this.input.memorization)), this.output.layouts)
