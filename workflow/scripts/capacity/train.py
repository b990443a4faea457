"""Rule capacity_train: train a condition's model on all of its sequences, recording how many bits it holds."""

from memorization.capacity.training import FullBatch, train
from memorization.files import read_arrays
from memorization.job import job
from memorization.training.checkpoints import Unfinished
from memorization.training.devices import set_up

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads, gpu_share=this.gpu_share)
    condition, data = this.settings("condition"), read_arrays(this.input.sequences)
    learner = FullBatch(condition, data["sequences"], int(data["alphabet"]), this.seed, this.device)
    unfinished = Unfinished(this.unfinished(this.output.trajectory), this.progress["checkpoint_seconds"])
    trajectory = train(learner, this.settings("evaluation"), unfinished, this.progress["report_seconds"])
    this.write_arrays(trajectory, this.output.trajectory)
    unfinished.delete()
