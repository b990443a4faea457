"""Rule extraction_pack: which window a seed trains on how often, and where it stands."""

from memorization.extraction.packing import copies_of, pack
from memorization.files import read_arrays, read_table
from memorization.job import job
from memorization.provenance import generator

with job(snakemake) as this:
    windows, tokens = read_table(this.input.windows), read_arrays(this.input.tokens)["tokens"]
    copies = copies_of(windows, this.seed, this.params["copies"])
    rng = generator("extraction", this.wildcards.dataset, this.seed, "packing")
    background = read_arrays(this.input.background)["background"]
    this.write_arrays(pack(tokens, copies, background, this.params["row_length"], rng), this.output.packing)
