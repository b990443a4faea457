"""Rule following_sequences: the set that replaces the one before it at a switch."""

from memorization.data.sequences import following_set, read_sets
from memorization.job import job
from memorization.provenance import generator

with job(snakemake) as this:
    earlier, probabilities = read_sets(this.input.earlier)
    kind, number = this.wildcards.kind, int(this.wildcards.number)
    rng = generator(this.wildcards.dataset, this.seed, "sequences", kind, number)
    arrays = {"sequences": following_set(earlier, kind, rng), "probabilities": probabilities}
    this.write_arrays(arrays, this.output.sequences)
