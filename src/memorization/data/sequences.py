"""Random binary sequences drawn with Zipf frequencies, and what an ideal predictor makes of them."""

import math
from collections.abc import Iterable

import numpy as np

from memorization.files import read_arrays
from memorization.provenance import generator

SWITCHES = ("resample", "forget")  # how a set follows another
KEPT_EVERY = 50  # so many-th of a set is kept by ``forget``, from rank 0
CODES = 26  # sequences of at most this many bits can be numbered in memory: 2^26 codes are 0.5 GB


def zipf_probabilities(count: int, exponent: float) -> np.ndarray:
    """Zipf's law over ranks: p(rank) ∝ (rank + 1)^-exponent for ranks 0 … count - 1.

    Returns
    -------
    (count,) float64, falling, summing to one. An exponent of 0 gives the uniform distribution.

    Raises
    ------
    ValueError
        If ``count`` is below 1, or ``exponent`` negative or so large that the last rank's probability has no
        float64 of full precision.
    """
    if count < 1:
        raise ValueError(f"count: {count} is less than the minimum of 1")
    if not exponent >= 0:
        raise ValueError(f"exponent: {exponent} is less than the minimum of 0")
    if not exponent <= largest_exponent(count):
        raise ValueError(f"exponent: {exponent} is more than {largest_exponent(count)}, the maximum for {count} ranks")
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    return weights / weights.sum()


def largest_exponent(count: int) -> float:
    """The exponent from which on count^-exponent comes near float64's smallest normal number, e^-708."""
    return int(7000 / math.log(count)) / 10 if count > 1 else math.inf


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


def following_set(earlier: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """The set that replaces the last of ``earlier`` at a switch; its new sequences stand in none of them.

    Parameters
    ----------
    earlier : (sets, count, length) of 0 and 1
    kind : ``resample``, all sequences are new; ``forget``, every 50th of the last set keeps its rank

    Returns
    -------
    (count, length) uint8 of distinct sequences.

    Raises
    ------
    ValueError
        If ``kind`` is unknown, or there are too few sequences of that length.
    """
    if kind not in SWITCHES:
        raise ValueError(f"kind: {kind!r} is not one of {', '.join(SWITCHES)}")
    sets, count, length = earlier.shape
    before = earlier.reshape(sets * count, length)
    drawn = sample_sequences((sets + 1) * count, length, rng)
    known = {row.tobytes() for row in np.packbits(before, axis=1)}
    is_new = [row.tobytes() not in known for row in np.packbits(drawn, axis=1)]
    new = drawn[is_new][:count]
    if kind == "forget":
        new[::KEPT_EVERY] = earlier[-1, ::KEPT_EVERY]
    return new


def first_sets(sets: np.ndarray) -> np.ndarray:
    """The set in which each sequence stood first, for those that a switch keeps at their rank.

    Parameters
    ----------
    sets : (sets, count, length) of 0 and 1, one after the other

    Returns
    -------
    (sets, count) int64.
    """
    first = np.tile(np.arange(len(sets))[:, None], (1, sets.shape[1]))
    for i in range(1, len(sets)):
        kept = (sets[i] == sets[i - 1]).all(axis=1)
        first[i, kept] = first[i - 1, kept]
    return first


def read_sets(paths: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sets that follow each other, from their files.

    Returns
    -------
    sets : (sets, count, length) uint8 of 0 and 1
    probabilities : (count,) float64, of being drawn, the same in all sets
    """
    files = [read_arrays(path) for path in paths]
    return np.stack([file["sequences"] for file in files]), files[0]["probabilities"]


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
