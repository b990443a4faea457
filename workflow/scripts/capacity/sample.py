"""Rule capacity_sample: the sequences of a data set, the first of those of a larger one."""

import numpy as np

from memorization.capacity.data import sample_sequences
from memorization.job import job
from memorization.provenance import generator

with job(snakemake) as this:
    dataset = this.settings("dataset")
    sizes = {key: dataset[key] for key in ("count", "length", "alphabet")}
    rng = generator("capacity", sizes["length"], sizes["alphabet"], this.seed, "sequences")
    arrays = {"sequences": sample_sequences(**sizes, rng=rng), "alphabet": np.array(sizes["alphabet"])}
    this.write_arrays(arrays, this.output.sequences)
