"""Rule zipf_train: train a condition's model, recording the loss of its sequences as it goes."""

from memorization.job import job
from memorization.training.checkpoints import Unfinished, write_tensors
from memorization.training.devices import set_up
from memorization.training.distributed import train_in
from memorization.zipf.training import train_run

with job(snakemake) as this:
    condition = this.settings("condition")
    this.threads = max(1, this.threads // condition["gpus"])  # of a process, whatever number of cores there is
    this.device = set_up(this.device, this.threads, condition["gpus"], this.gpu_share)
    unfinished = this.unfinished(this.output.checkpoint)
    state, trajectory = train_in(
        condition["gpus"],
        train_run,
        condition=condition,
        sequences=this.input.sequences,
        before=this.input.before,
        seed=this.seed,
        steps=int(this.wildcards.step),
        evaluation=this.settings("evaluation"),
        unfinished=unfinished,
        progress=this.progress,
        device=this.device,
    )
    write_tensors(this.output.checkpoint, state, this.made_by)
    this.write_arrays(trajectory, this.output.trajectory)
    Unfinished(unfinished, 0).delete()
