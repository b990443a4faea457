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
    settings, every = this.settings("progressive"), this.progress["checkpoint_seconds"]
    unfinished = {
        k: Unfinished(this.unfinished(f"{this.output.horizon}.k{k}"), every) for k in settings["prompt_lengths"]
    }
    run = this.wildcards.condition, this.seed, list(map(read_table, this.input.rates))
    with unchanged(this.settings("condition"), states, pool.vocabulary, this.device) as model:
        table = grown_texts(model, pool, settings, run, unfinished, this.progress["report_seconds"])
    this.write_table(table, this.output.horizon)
    for each in unfinished.values():
        each.delete()
