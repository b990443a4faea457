"""Rule memory_layer_answer: how a run answers a share of its data set, so that several jobs evaluate it."""

from memorization.files import read_arrays
from memorization.job import job
from memorization.memory_layer.evaluation.run import shard
from memorization.memory_layer.training import Facts, restored
from memorization.training.checkpoints import read_tensors
from memorization.training.devices import set_up

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads, gpu_share=this.gpu_share)
    condition, facts = this.settings("condition"), Facts(read_arrays(this.input.tokens), this.device)
    model = restored(condition, facts, read_tensors(this.input.checkpoint))
    tokens, use = shard(model, facts, condition, int(this.wildcards.shard), this.params["shards"])
    this.write_table(tokens, this.output.tokens)
    this.write_arrays(use, this.output.use)
