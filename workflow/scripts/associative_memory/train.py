"""Rule associative_memory_train: train a condition's memory, recording the loss of its sequences as it goes."""

from memorization.associative_memory.training import Memory, sizes
from memorization.data.sequences import Batches, read_sets
from memorization.job import job
from memorization.random_sequences.training import train
from memorization.training.checkpoints import Unfinished, read_tensors, write_tensors
from memorization.training.devices import set_up

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads, gpu_share=this.gpu_share)
    condition, (sets, probabilities) = this.settings("condition"), read_sets(this.input.sequences)
    learner = Memory(condition, sets.shape[2], this.seed, this.device)
    unfinished = Unfinished(this.unfinished(this.output.checkpoint), this.progress["checkpoint_seconds"])
    state, trajectory = train(
        learner,
        sets,
        Batches(probabilities, condition["batch_size"], condition["dataset"], this.seed),
        steps=int(this.wildcards.step),
        evaluation=this.settings("evaluation"),
        unfinished=unfinished,
        report_seconds=this.progress["report_seconds"],
        before=next(map(read_tensors, this.input.before), None),
    )
    write_tensors(this.output.checkpoint, state, this.made_by)
    this.write_arrays(trajectory | sizes(learner.model), this.output.trajectory)
    unfinished.delete()
