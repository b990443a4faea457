"""Rule prompt_capacity_record: how a run's texts are remembered as its prompts are trained."""

from memorization.files import read_arrays, read_table
from memorization.job import job
from memorization.prompt_capacity.recording import prompt_records, prompt_runs

with job(snakemake) as this:
    cells, tables = list(map(read_arrays, this.input.trajectories)), list(map(read_table, this.input.tables))
    run = this.wildcards.condition, this.seed
    this.write_table(prompt_records(cells, tables, *run), this.output.records)
    this.write_table(prompt_runs(cells, *run), this.output.runs)
