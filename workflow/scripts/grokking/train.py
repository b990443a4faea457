"""Rule grokking_train: train a condition's model, recording its fingerprint as it goes."""

from memorization.files import read_arrays
from memorization.grokking.task.equations import Batches, probe
from memorization.grokking.task.training import train
from memorization.job import job
from memorization.training.checkpoints import Unfinished, write_tensors
from memorization.training.devices import set_up

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads, gpu_share=this.gpu_share)
    condition, data = this.settings("condition"), read_arrays(this.input.equations)
    fingerprint = this.settings("fingerprint")
    unfinished = Unfinished(this.unfinished(this.output.trajectory), this.progress["checkpoint_seconds"])
    training = train(
        condition,
        data,
        Batches(data["train"], condition["batch_size"], condition["dataset"], this.seed),
        probe(data["train"], fingerprint["probe_size"], fingerprint["fingerprint_seed"]),
        seed=this.seed,
        evaluation=this.settings("evaluation"),
        fingerprint=fingerprint,
        device=this.device,
        unfinished=unfinished,
        report_seconds=this.progress["report_seconds"],
    )
    write_tensors(this.output.weights, training.weights(), this.made_by)
    this.write_arrays(training.trajectory(), this.output.trajectory)
    unfinished.delete()
