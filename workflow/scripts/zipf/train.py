"""Rule zipf_train: train a condition's model, recording the loss of its sequences as it goes."""

from memorization.data.sequences import Batches
from memorization.files import read_arrays
from memorization.job import job
from memorization.training.checkpoints import Unfinished, write_tensors
from memorization.training.devices import set_up
from memorization.zipf.training import train

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads)
    condition, data = this.settings("condition"), read_arrays(this.input.sequences)
    unfinished = Unfinished(this.unfinished(this.output.checkpoint), this.progress["checkpoint_seconds"])
    state, trajectory = train(
        condition,
        data["sequences"],
        Batches(data["probabilities"], condition["batch_size"], condition["dataset"], this.seed),
        seed=this.seed,
        steps=int(this.wildcards.step),
        evaluation=this.settings("evaluation"),
        device=this.device,
        unfinished=unfinished,
        report_seconds=this.progress["report_seconds"],
    )
    write_tensors(this.output.checkpoint, state, this.made_by)
    this.write_arrays(trajectory, this.output.trajectory)
    unfinished.delete()
