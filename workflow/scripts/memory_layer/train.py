"""Rule memory_layer_train: train a condition to a step, from the beginning or from another's checkpoint."""

from memorization.files import read_arrays
from memorization.job import job
from memorization.memory_layer.training import FactLearner, Facts, start_of, train
from memorization.training.checkpoints import Unfinished, write_tensors
from memorization.training.devices import set_up

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads, gpu_share=this.gpu_share)
    condition, facts = this.settings("condition"), Facts(read_arrays(this.input.tokens), this.device)
    learner = FactLearner(condition, facts, this.seed, this.device, start_of(condition, this.input.before))
    unfinished = Unfinished(this.unfinished(this.output.trajectory), this.progress["checkpoint_seconds"])
    run = (int(this.wildcards.step), unfinished, this.progress["report_seconds"])
    state, trajectory = train(learner, this.settings("evaluation"), *run)
    write_tensors(this.output.checkpoint, state, this.made_by)
    this.write_arrays(trajectory, this.output.trajectory)
    unfinished.delete()
