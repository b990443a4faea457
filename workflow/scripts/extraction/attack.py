"""Rule extraction_attack: ask a model for the suffixes of a share of the windows."""

from functools import partial

from memorization.extraction.attacked_shard import Shard, attacked
from memorization.extraction.model import opened
from memorization.files import read_arrays, read_table
from memorization.job import job
from memorization.training.checkpoints import Unfinished, read_tensors
from memorization.training.devices import set_up

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads, gpu_share=this.gpu_share)
    condition, arrays = this.settings("condition"), read_arrays(this.input.tokens)
    share = int(this.wildcards.shard), this.params["shards"], this.seed
    shard = Shard(read_table(this.input.windows), arrays, this.settings("attack"), *share)
    states = list(map(read_tensors, this.input.model))
    unfinished = Unfinished(this.unfinished(this.output.shard), this.progress["checkpoint_seconds"])
    model = partial(opened, condition, states, arrays, this.device)
    found = attacked(shard, model, condition, unfinished, this.progress["report_seconds"])
    this.write_arrays(found, this.output.shard)
    unfinished.delete()
