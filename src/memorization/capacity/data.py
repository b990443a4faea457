"""Uniformly random sequences over an alphabet, how many bits they are, and what a batch of all of them takes.

Read when the Snakefile is, too: nothing here may import torch.
"""

import numpy as np

TOKENS = 65_536  # of a full batch that are computed at once; the gradients of the parts are added
CODES = 2**22  # so many sequences are numbered, and drawn as a permutation of their numbers
BLOCK = 2**14  # sequences drawn at once where there are more, so that all sets draw alike
LIBRARIES_MB = 400


def sample_sequences(count: int, length: int, alphabet: int, rng: np.random.Generator) -> np.ndarray:
    """Distinct sequences of symbols, uniform over all such sets; a smaller set of the same stream is a larger's first.

    Returns
    -------
    (count, length) uint16 of symbols from 0 to ``alphabet`` - 1.

    Raises
    ------
    ValueError
        If there are fewer than ``count`` sequences.
    """
    different = alphabet**length
    if count > different:
        raise ValueError(f"count: {count}, but there are {different} sequences of {length} symbols of {alphabet}")
    if different <= CODES:
        places = alphabet ** np.arange(length)[::-1]
        return (rng.permutation(different)[:count, None] // places % alphabet).astype(np.uint16)
    sequences = np.empty((0, length), np.uint16)
    while len(sequences) < count:
        blocks = range(-(-(count - len(sequences)) // BLOCK))
        drawn = [rng.integers(0, alphabet, (BLOCK, length), np.uint16) for _ in blocks]
        drawn = np.concatenate([sequences, *drawn])
        rows = np.ascontiguousarray(drawn).view(f"V{2 * length}")[:, 0]
        sequences = drawn[np.sort(np.unique(rows, return_index=True)[1])]
    return sequences[:count]


def sequence_bits(length: int, alphabet: int) -> float:
    """What a sequence costs without having been seen: N log₂ V bits."""
    return length * np.log2(alphabet)


def bits_to_hold(count: int, length: int, alphabet: int) -> float:
    """The most bits that memorizing distinct sequences can save, all of them together: K(N log₂ V - log₂ K).

    Who knows the set, and only that, still has to say which of its K sequences it is.
    """
    return count * (sequence_bits(length, alphabet) - np.log2(count))


def batch_mb(count: int, length: int, alphabet: int, n_layers: int, d_model: int, d_ff: int) -> int:
    """About how many megabytes a training on all sequences at once takes, the libraries included.

    All symbols take 16 bytes, as inputs and as targets; those that are computed at once the activations that their
    gradients need, in float32.
    """
    tokens = count * length
    kept = n_layers * (12 * d_model + 3 * d_ff) + 3 * d_model + 4 * alphabet
    return round(LIBRARIES_MB + (16 * tokens + 4 * min(tokens, TOKENS) * kept) / 1e6)
