"""Random binary sequences drawn with Zipf frequencies, and what an ideal predictor makes of them."""

import numpy as np

from memorization.provenance import generator

CODES = 26  # sequences of at most this many bits can be numbered in memory: 2^26 codes are 0.5 GB


def zipf_probabilities(count: int, exponent: float) -> np.ndarray:
    """Zipf's law over ranks: p(rank) ∝ (rank + 1)^-exponent for ranks 0 … count - 1.

    Returns
    -------
    (count,) float64, falling, summing to one. An exponent of 0 gives the uniform distribution.

    Raises
    ------
    ValueError
        If ``count`` is below 1 or ``exponent`` is negative.
    """
    if count < 1:
        raise ValueError(f"count: {count} is less than the minimum of 1")
    if not exponent >= 0:
        raise ValueError(f"exponent: {exponent} is less than the minimum of 0")
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    return weights / weights.sum()


def sample_sequences(count: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """Distinct binary sequences, uniform over all sets of ``count`` sequences of ``length`` bits.

    Returns
    -------
    (count, length) uint8 of 0 and 1.

    Raises
    ------
    ValueError
        If there are fewer than ``count`` sequences of that length.
    """
    if count > 2**length:
        raise ValueError(f"length: {length} bits give {2**length} sequences, fewer than the {count} wanted")
    if length <= CODES and count > 2**length // 2:
        codes = rng.permutation(2**length)[:count]
        return (codes[:, None] >> np.arange(length)[::-1] & 1).astype(np.uint8)
    sequences = np.empty((0, length), np.uint8)
    while len(sequences) < count:
        more = rng.integers(0, 2, (count - len(sequences), length), np.uint8)
        sequences = np.concatenate([sequences, more])
        _, first = np.unique(np.packbits(sequences, axis=1), axis=0, return_index=True)
        sequences = sequences[np.sort(first)]
    return sequences


def draw(probabilities: np.ndarray, size: int | tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Ranks drawn with replacement by ``probabilities``, by inverting their cumulative sums.

    Ask for many batches at once, ``size=(steps, batch)``: the sums are made anew at each call.

    Returns
    -------
    int64 ranks of shape ``size``.
    """
    cumulative = np.cumsum(probabilities)
    return np.searchsorted(cumulative / cumulative[-1], rng.random(size), side="right")


class Batches:
    """The batches of a training: for each step the ranks drawn, the same whatever came before.

    Blocks of steps have random streams of their own, so that a training goes on from any step without
    a saved stream, and all conditions of a data set, seed and batch size see the same batches.

    Parameters
    ----------
    probabilities : (count,), of being drawn
    size : draws a step
    dataset, seed : name the stream
    """

    BLOCK = 256  # steps

    def __init__(self, probabilities: np.ndarray, size: int, dataset: str, seed: int):
        self.probabilities, self.size, self.names = probabilities, size, (dataset, seed, "draws")
        self._block, self._ranks = None, None

    def ranks(self, step: int) -> np.ndarray:
        """The (size,) ranks drawn at a step, which are counted from 1."""
        block, row = divmod(step - 1, self.BLOCK)
        if block != self._block:
            self._ranks = draw(self.probabilities, (self.BLOCK, self.size), generator(*self.names, block))
            self._block = block
        return self._ranks[row]

    def distinct(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The distinct ranks drawn at a step, rising, and how often each was drawn."""
        return np.unique(self.ranks(step), return_counts=True)


def bayes_loss(sequences: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Loss of the Bayes predictor, which knows the set, the probabilities and the whole prefix.

    The loss at bit n is -ln P(bit n | bits before n) where sequences are drawn by ``probabilities``:
    the ratio of the mass of all sequences that share n + 1 bits to that of those that share n. For
    distinct sequences a row sums to -ln p exactly, so the p-weighted mean of all is H(p) / length.

    Parameters
    ----------
    sequences : (count, length) of 0 and 1
    probabilities : (count,), summing to one

    Returns
    -------
    (count, length) float64, nats.
    """
    count, length = sequences.shape
    order, shared = _sorted_with_shared_prefix(sequences)
    mass = np.empty((length + 1, count))
    for n in range(length + 1):
        starts = np.flatnonzero(shared < n)
        group = np.repeat(np.arange(len(starts)), np.diff(starts, append=count))
        mass[n] = np.add.reduceat(probabilities[order], starts)[group]
    loss = np.empty((count, length))
    loss[order] = (np.log(mass[:-1]) - np.log(mass[1:])).T
    return loss


def unique_prefix_length(sequences: np.ndarray) -> np.ndarray:
    """How many bits it takes until a sequence differs from all others: where its *suffix* begins.

    Returns
    -------
    (count,) int64 from 0 (the only sequence) to length (told apart by its last bit), or length + 1
    where a sequence stands twice.
    """
    order, shared = _sorted_with_shared_prefix(sequences)
    unique = np.empty(len(sequences), np.int64)
    unique[order] = np.maximum(shared, np.append(shared[1:], -1)) + 1
    return unique


def _sorted_with_shared_prefix(sequences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lexicographic order, and how many bits each sequence shares with the one before it (the first: -1)."""
    packed = np.packbits(sequences, axis=1)
    order = np.lexsort(packed.T[::-1])
    differs = sequences[order][1:] != sequences[order][:-1]
    shared = np.where(differs.any(axis=1), differs.argmax(axis=1), sequences.shape[1])
    return order, np.concatenate([[-1], shared])
