"""Rule extraction_near_verbatim: how likely sampling gives a suffix or one that differs in one token."""

from memorization.extraction.stages import AttackedRun
from memorization.files import read_arrays, read_table
from memorization.job import job
from memorization.training.checkpoints import read_tensors
from memorization.training.devices import set_up

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads, gpu_share=this.gpu_share)
    states, packings = list(map(read_tensors, this.input.model)), list(map(read_arrays, this.input.packing))
    data = read_table(this.input.windows), read_arrays(this.input.tokens), packings
    of_run = (this.wildcards.condition, this.seed), this.device
    run = AttackedRun.opened(this.settings("condition"), states, *data, this.settings("attack"), *of_run)
    this.write_table(run.near_verbatim(**this.settings("stage")), this.output.near_verbatim)
