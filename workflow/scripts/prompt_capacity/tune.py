"""Rule prompt_capacity_tune: choose the learning rate of each layout, on texts of their own."""

from memorization.files import read_arrays
from memorization.job import job
from memorization.prompt_capacity.frozen import unchanged
from memorization.prompt_capacity.texts import Pool
from memorization.prompt_capacity.tuning import rates_table
from memorization.training.checkpoints import read_tensors
from memorization.training.devices import set_up

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads, gpu_share=this.gpu_share)
    pool, states = Pool(read_arrays(this.input.texts)), list(map(read_tensors, this.input.model))
    with unchanged(this.settings("condition"), states, pool.vocabulary, pool.tokenizer, this.device) as model:
        table = rates_table(model, pool, this.settings("tuning"), this.params["seed"])
    run = {"condition": this.wildcards.condition, "seed": this.params["seed"]}
    this.write_table(table.assign(**run), this.output.rates)
