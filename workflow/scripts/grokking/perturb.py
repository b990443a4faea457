"""Rule grokking_perturb: the same training from perturbed weights, and how far its weights drift."""

from memorization.files import read_arrays
from memorization.grokking.task.equations import Batches, probe
from memorization.grokking.task.perturbation import weight_distances
from memorization.grokking.task.training import train
from memorization.job import job
from memorization.training.checkpoints import Unfinished, read_tensors
from memorization.training.devices import set_up

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads, gpu_share=this.gpu_share)
    condition, data = this.settings("condition"), read_arrays(this.input.equations)
    fingerprint = this.settings("fingerprint")
    unfinished = Unfinished(this.unfinished(this.output.trajectory), this.progress["checkpoint_seconds"])
    training = train(
        condition | {"stop_after": 0, "min_steps": 0},
        data,
        Batches(data["train"], condition["batch_size"], condition["dataset"], this.seed),
        probe(data["train"], fingerprint["probe_size"], fingerprint["fingerprint_seed"]),
        **{"seed": this.seed, "perturbation": this.settings("perturbation"), "last_step": this.params["last_step"]},
        **{"evaluation": this.settings("evaluation"), "fingerprint": fingerprint},
        **{"device": this.device, "unfinished": unfinished, "report_seconds": this.progress["report_seconds"]},
    )
    drift = weight_distances(training.weights(), read_tensors(this.input.weights))
    this.write_arrays(training.trajectory() | drift, this.output.trajectory)
    unfinished.delete()
