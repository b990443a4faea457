"""Rule zipf_evaluate: measures of a run by sequence, their summary, its records, its row of runs."""

from memorization.data.sequences import read_sets
from memorization.files import read_arrays
from memorization.job import job
from memorization.random_sequences.measures import evaluate, sequence_records, sequence_runs

with job(snakemake) as this:
    sets, probabilities = read_sets(this.input.sequences)
    run = {"condition": this.wildcards.condition, "architecture": this.params["architecture"], "seed": this.seed}
    trajectories = [read_arrays(path) for path in this.input.trajectories]
    table, summary = evaluate(trajectories, sets, probabilities, this.params["train_stride"], run)
    this.write_table(table, this.output.by_sequence)
    this.write_table(summary, this.output.summary)
    kind = {"family": "zipf", "arm": this.params["arm"]}
    this.write_table(sequence_records(table, **kind), this.output.records)
    this.write_table(sequence_runs(trajectories[-1], run, **kind), this.output.runs)
