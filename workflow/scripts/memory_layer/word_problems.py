"""Rule memory_layer_word_problems: arithmetic word problems, our own or those of a file."""

from memorization.files import write_table
from memorization.job import job
from memorization.memory_layer.data import word_problems
from memorization.memory_layer.data.examples import huggingface
from memorization.memory_layer.data.token_arrays import consistency_of, token_arrays
from memorization.provenance import generator

with job(snakemake) as this:
    rng = generator("memory_layer", this.wildcards.dataset, this.seed, "data")
    dataset = this.settings("dataset")
    table = word_problems.make(dataset, rng)
    write_table(this.output.table, table, this.made_by, huggingface=huggingface(table))
    this.write_arrays(token_arrays(table, dataset, word_problems), this.output.tokens)
    this.write_table(consistency_of(table, dataset, word_problems), this.output.consistency)
