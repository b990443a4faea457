"""Rule capacity_evaluate: a run in bits, as records of its first sequences and as a run."""

from memorization.capacity.evaluation import bits_table, capacity_records, capacity_runs
from memorization.files import read_arrays
from memorization.job import job

with job(snakemake) as this:
    trajectory, dataset = read_arrays(this.input.trajectory), this.settings("dataset")
    run = {"condition": this.wildcards.condition, "seed": this.seed}
    this.write_table(bits_table(trajectory, dataset, **run), this.output.bits)
    this.write_table(capacity_records(trajectory, dataset, **run), this.output.records)
    this.write_table(capacity_runs(trajectory, dataset, **run), this.output.runs)
