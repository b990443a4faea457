"""Rule zipf_swap: old and new sequences with parts of the model put back to their state before the switch."""

from memorization.data.sequences import Batches, read_sets
from memorization.job import job
from memorization.training.checkpoints import read_tensors
from memorization.training.devices import set_up
from memorization.zipf.swapping import swap
from memorization.zipf.training import Transformer

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads, gpu_share=this.gpu_share)
    condition, (sets, probabilities) = this.settings("condition"), read_sets(this.input.sequences)
    run = {"condition": this.wildcards.condition, "architecture": condition["architecture"], "seed": this.seed}
    table = swap(
        Transformer(condition, sets.shape[2], this.seed, this.device),
        read_tensors(this.input.before[0]),
        read_tensors(this.input.after),
        sets,
        Batches(probabilities, condition["batch_size"], condition["dataset"], this.seed),
        run,
    )
    this.write_table(table, this.output.swap)
