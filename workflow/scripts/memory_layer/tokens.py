"""Rule memory_layer_tokens: a data set as tokens, and whether its strings are the same tokens wherever they stand."""

from memorization.files import read_table
from memorization.job import job
from memorization.memory_layer.data.token_arrays import consistency_of, token_arrays

with job(snakemake) as this:
    table, dataset = read_table(this.input.table), this.settings("dataset")
    this.write_arrays(token_arrays(table, dataset), this.output.tokens)
    this.write_table(consistency_of(table, dataset), this.output.consistency)
