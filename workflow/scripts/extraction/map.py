"""Rule extraction_map: the attack all along whole documents."""

from memorization.extraction.stages import AttackedRun
from memorization.extraction.windows import planted_documents
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
    documents = planted_documents(read_arrays(this.input.background))
    this.write_table(run.map(documents, **this.settings("stage")), this.output.map)
