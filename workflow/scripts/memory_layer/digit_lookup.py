"""Rule memory_layer_digit_lookup: pairs of numbers, and ones that are never trained."""

from memorization.files import write_table
from memorization.job import job
from memorization.memory_layer.data import digit_lookup
from memorization.memory_layer.data.examples import huggingface
from memorization.provenance import generator

with job(snakemake) as this:
    rng = generator("memory_layer", this.wildcards.dataset, this.seed, "data")
    table = digit_lookup.make(this.settings("dataset"), rng)
    write_table(this.output.table, table, this.made_by, huggingface=huggingface(table))
