"""Random sequences and their batches, for the benchmarks of families that train on them."""

import numpy as np

from memorization.data.sequences import Batches, sample_sequences, zipf_probabilities


def draws(dataset: dict, batch_size: int) -> tuple[np.ndarray, Batches]:
    """The sequences (count, length) of a data set, and batches of their ranks.

    Parameters
    ----------
    dataset : count, length, exponent
    batch_size : sequences drawn a step
    """
    sequences = sample_sequences(dataset["count"], dataset["length"], np.random.default_rng(0))
    return sequences, Batches(zipf_probabilities(dataset["count"], dataset["exponent"]), batch_size, "benchmark", 0)
