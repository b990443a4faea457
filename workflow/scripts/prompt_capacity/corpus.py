"""Rule prompt_capacity_corpus: text of this machine's Python, its tokenizer, and rows to train base models on."""

from memorization.job import job
from memorization.prompt_capacity.corpus import corpus
from memorization.prompt_capacity.texts import as_arrays

with job(snakemake) as this:
    settings = this.settings("dataset")
    made = corpus(settings)
    this.write_arrays(as_arrays(made.held_out, made.tokenizer, settings["vocabulary"]), this.output.texts)
    this.write_arrays({"rows": made.rows}, this.output.rows)
