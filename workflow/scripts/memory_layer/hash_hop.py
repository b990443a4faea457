"""Rule memory_layer_hash_hop: chains of hashes, and unseen ones to ask."""

from memorization.files import write_table
from memorization.job import job
from memorization.memory_layer.data import hash_hop
from memorization.memory_layer.data.examples import huggingface
from memorization.provenance import generator

with job(snakemake) as this:
    rng = generator("memory_layer", this.wildcards.dataset, this.seed, "data")
    table = hash_hop.make(this.settings("dataset"), rng)
    write_table(this.output.table, table, this.made_by, huggingface=huggingface(table))
