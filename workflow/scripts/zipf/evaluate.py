"""Rule zipf_evaluate: measures of a run, by sequence, as records and as a run."""

from memorization.files import read_arrays
from memorization.job import job
from memorization.zipf.evaluation import by_sequence, summary, zipf_records, zipf_runs

with job(snakemake) as this:
    data, trajectory = read_arrays(this.input.sequences), read_arrays(this.input.trajectory)
    run = {"condition": this.wildcards.condition, "model": this.params["architecture"], "seed": this.seed}
    table = by_sequence(trajectory, data["sequences"], data["probabilities"], **run)
    this.write_table(table, this.output.by_sequence)
    rows = summary(trajectory, table, data["probabilities"], this.params["train_stride"])
    this.write_table(rows, this.output.summary)
    this.write_table(zipf_records(table), this.output.records)
    row = zipf_runs(**run, parameters=int(trajectory["parameters"]), steps=int(trajectory["step"].max()))
    this.write_table(row, this.output.runs)
