"""Rule memory_layer_two_hop: facts of one hop, and questions of two."""

from memorization.files import write_table
from memorization.job import job
from memorization.memory_layer.data import two_hop
from memorization.memory_layer.data.examples import huggingface
from memorization.memory_layer.data.token_arrays import consistency_of, token_arrays
from memorization.provenance import generator

with job(snakemake) as this:
    rng = generator("memory_layer", this.wildcards.dataset, this.seed, "data")
    dataset = this.settings("dataset")
    table = two_hop.make(dataset, rng)
    write_table(this.output.table, table, this.made_by, huggingface=huggingface(table))
    this.write_arrays(token_arrays(table, dataset, two_hop), this.output.tokens)
    this.write_table(consistency_of(table, dataset, two_hop), this.output.consistency)
