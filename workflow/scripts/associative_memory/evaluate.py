"""Rule associative_memory_evaluate: measures of a run by sequence, their summary, its records, its row of runs."""

from memorization.data.sequences import read_sets
from memorization.files import read_arrays
from memorization.job import job
from memorization.random_sequences.measures import evaluate, sequence_records, sequence_runs

with job(snakemake) as this:
    (sets, probabilities), condition = read_sets(this.input.sequences), this.settings("condition")
    trajectories = [read_arrays(path) for path in this.input.trajectories]
    run = condition | {"seed": this.seed, "eta": float(condition["eta"])}
    table, summary = evaluate(trajectories, sets, probabilities, this.params["train_stride"], run)
    this.write_table(table, this.output.by_sequence)
    this.write_table(summary, this.output.summary)
    kind = {"family": "associative_memory", "arm": condition["architecture"]}
    this.write_table(sequence_records(table, **kind), this.output.records)
    row = sequence_runs(trajectories[-1], run, **kind, memory_bits=condition["memory_size"] * sets.shape[2])
    this.write_table(row, this.output.runs)
