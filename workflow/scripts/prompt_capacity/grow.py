"""Rule prompt_capacity_grow: texts that grow by a token whenever all of them is right."""

from memorization.files import read_arrays, read_table
from memorization.job import job
from memorization.prompt_capacity.frozen import unchanged
from memorization.prompt_capacity.growing import grown_texts
from memorization.prompt_capacity.texts import Pool
from memorization.training.checkpoints import Unfinished, read_tensors
from memorization.training.devices import set_up

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads, gpu_share=this.gpu_share)
    pool, states = Pool(read_arrays(this.input.texts)), list(map(read_tensors, this.input.model))
    unfinished = Unfinished(this.unfinished(this.output.horizon), this.progress["checkpoint_seconds"])
    run = this.wildcards.condition, this.seed, list(map(read_table, this.input.rates))
    with unchanged(this.settings("condition"), states, pool.vocabulary, pool.tokenizer, this.device) as model:
        of_texts = model, pool, this.settings("progressive"), run
        table = grown_texts(*of_texts, unfinished, this.progress["report_seconds"])
    this.write_table(table, this.output.horizon)
    unfinished.delete()
