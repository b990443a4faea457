"""Rule random_sequences: the sequences of a data set and how often each is drawn."""

from memorization.data.sequences import sample_sequences, zipf_probabilities
from memorization.job import job
from memorization.provenance import generator

with job(snakemake) as this:
    dataset = this.settings("dataset")
    rng = generator(dataset["name"], this.seed, "sequences")
    arrays = {
        "sequences": sample_sequences(dataset["count"], dataset["length"], rng),
        "probabilities": zipf_probabilities(dataset["count"], dataset["exponent"]),
    }
    this.write_arrays(arrays, this.output.sequences)
