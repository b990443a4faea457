"""Rule prompt_capacity_memorize: train prompts of one length on texts of one length, in all layouts together."""

from memorization.files import read_arrays, read_table
from memorization.job import job
from memorization.prompt_capacity.cells import trained_cell
from memorization.prompt_capacity.frozen import unchanged
from memorization.prompt_capacity.source_format import log_text
from memorization.prompt_capacity.texts import Pool
from memorization.text_files import write_text
from memorization.training.checkpoints import Unfinished, read_tensors, write_tensors
from memorization.training.devices import set_up

with job(snakemake) as this:
    this.device = set_up(this.device, this.threads, gpu_share=this.gpu_share)
    pool, states = Pool(read_arrays(this.input.texts)), list(map(read_tensors, this.input.model))
    unfinished = Unfinished(this.unfinished(this.output.trajectory), this.progress["checkpoint_seconds"])
    sizes = int(this.wildcards.k), int(this.wildcards.length)
    run = this.wildcards.condition, this.seed, list(map(read_table, this.input.rates))
    with unchanged(this.settings("condition"), states, pool.vocabulary, pool.tokenizer, this.device) as model:
        of_cell = model, pool, this.settings("memorization"), sizes, run
        found = trained_cell(*of_cell, unfinished, this.progress["report_seconds"])
    this.write_table(found.tables["memorization"], this.output.memorization)
    this.write_table(found.tables["survival"], this.output.survival)
    this.write_table(found.tables["vectors"], this.output.vectors)
    this.write_arrays(found.trajectory, this.output.trajectory)
    write_tensors(this.output.prompts, {"prompts": found.prompts}, this.made_by)
    write_text(this.output.log_txt, log_text(found.trajectory, found.tables["memorization"]))
    unfinished.delete()
