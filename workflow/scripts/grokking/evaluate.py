"""Rule grokking_evaluate: the history of a run, its transitions, the records of its equations, its row of runs."""

from memorization.files import read_arrays
from memorization.grokking.task.equations import Batches
from memorization.grokking.task.evaluation import grokking_records, grokking_runs, history, transitions
from memorization.job import job

with job(snakemake) as this:
    data, trajectory = read_arrays(this.input.equations), read_arrays(this.input.trajectory)
    condition, run = this.settings("condition"), {"condition": this.wildcards.condition, "seed": this.seed}
    batches = Batches(data["train"], condition["batch_size"], condition["dataset"], this.seed)
    p, weight_decay = int(data["p"]), condition["weight_decay"]
    this.write_table(history(trajectory, p, **run), this.output.history)
    this.write_table(transitions(trajectory, p, weight_decay=weight_decay, **run), this.output.transitions)
    this.write_table(grokking_records(trajectory, data, batches, **run), this.output.records)
    this.write_table(grokking_runs(trajectory, **run), this.output.runs)
