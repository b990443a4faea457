"""Permutation tests of labels and of the signs of paired differences, each with the smallest p that it can reach."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations, permutations, product
from math import factorial, prod

import numpy as np

EXACT = 20_000  # most arrangements or flips that are all evaluated
DRAWS = 9_999  # random ones otherwise
SIGNS = 10_000_000  # drawn signs that are held at a time: 80 MB


def label_permutation_test(
    distances: np.ndarray, labels: Sequence[str], rng: np.random.Generator, blocks: Sequence[int] | None = None
) -> dict:
    """Are runs with the same label closer to each other than to runs with other labels?

    The statistic is the mean distance across labels minus the mean distance within. Whole runs are permuted.
    Permuting over all runs assumes that they are exchangeable if labels do not matter. Runs that share something, such
    as the data of a seed, are not. They form a block, and labels are permuted within blocks. Up to ``EXACT``
    arrangements are all evaluated; otherwise ``DRAWS`` random ones are.

    Parameters
    ----------
    distances : (n, n), symmetric
    labels : (n,), at least two different ones, and one of them at least twice
    blocks : (n,), the block of each run, with every label once in each block; by default all runs are one block

    Returns
    -------
    ``within`` and ``across``, mean distances; ``ratio``, the second over the first; ``statistic``; ``p``, the share of
    arrangements whose statistic is at least as large; ``smallest_p`` that the test can reach; ``arrangements``
    evaluated.

    Raises
    ------
    ValueError
        If no two runs have the same label, or all have the same, or a block lacks a label or has one twice.
    """
    labels = np.asarray(labels)
    within, across = _means(distances, labels)
    if np.isnan(within) or np.isnan(across):
        raise ValueError("labels: a permutation test needs two runs of one label and two labels")
    groups = [np.arange(len(labels))]
    if blocks is not None:
        groups = [np.flatnonzero(np.asarray(blocks) == block) for block in np.unique(blocks)]
        if any(sorted(labels[runs]) != sorted(set(labels)) for runs in groups):
            raise ValueError("blocks: each must have every label once")
    count = arrangement_count(labels) if blocks is None else block_arrangement_count(labels)
    if count <= EXACT:
        arrangements = arrangements_of(labels) if blocks is None else block_arrangements_of(labels, groups)
        others = np.array([_statistic(distances, each) for each in arrangements])
        p = (others >= across - within - 1e-12).mean()
        smallest, looked_at = 1 / count, count
    else:
        others = np.array([_statistic(distances, _permuted(labels, groups, rng)) for _ in range(DRAWS)])
        p = (1 + (others >= across - within - 1e-12).sum()) / (1 + DRAWS)
        smallest, looked_at = 1 / (1 + DRAWS), DRAWS
    return {
        "within": within,
        "across": across,
        "ratio": across / within if within else np.inf,
        "statistic": across - within,
        "p": float(p),
        "smallest_p": smallest,
        "arrangements": looked_at,
    }


def arrangement_count(labels: Sequence[str]) -> int:
    """The number of ways to group the runs. Labels with equally many runs are interchangeable."""
    sizes = Counter(Counter(labels).values())
    ways = factorial(len(labels)) // prod(factorial(size) ** count for size, count in sizes.items())
    return ways // prod(factorial(count) for count in sizes.values())


def arrangements_of(labels: Sequence[str]) -> Iterator[np.ndarray]:
    """Every grouping of the runs into groups of the labels' sizes, each once: (n,) group numbers."""
    sizes = sorted(Counter(labels).values(), reverse=True)
    n = len(labels)

    def fill(groups: np.ndarray, left: list[int]) -> Iterator[np.ndarray]:
        if not left:
            yield groups
            return
        free = np.flatnonzero(groups < 0)
        for size in sorted(set(left), reverse=True):  # the first free run is in a group of one of the sizes
            rest = list(left)
            rest.remove(size)
            for others in combinations(free[1:], size - 1):
                filled = groups.copy()
                filled[[free[0], *others]] = n - len(left)
                yield from fill(filled, rest)

    return fill(np.full(n, -1), sizes)


def block_arrangement_count(labels: Sequence[str]) -> int:
    """The number of ways to group the runs if every block has each label once: (labels!)^(blocks - 1)."""
    kinds = len(set(labels))
    return factorial(kinds) ** (len(labels) // kinds - 1)


def block_arrangements_of(labels: np.ndarray, blocks: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Every grouping with one run of each block in each group, each once: (n,) labels; the first block keeps its own.

    Parameters
    ----------
    labels : (n,)
    blocks : the indices of each block's runs
    """
    for orders in product(permutations(labels[blocks[0]]), repeat=len(blocks) - 1):
        arrangement = labels.copy()
        for runs, order in zip(blocks[1:], orders, strict=True):
            arrangement[runs] = order
        yield arrangement


def sign_flip_test(differences: np.ndarray, rng: np.random.Generator) -> dict:
    """Is the mean of paired differences different from 0?

    If the two sides of each pair are exchangeable, a difference has either sign with equal probability. The mean is
    compared with the means after flips of signs. Differences of 0 have no sign and do not make p smaller.

    Parameters
    ----------
    differences : (n,), one side minus the other, of independent pairs; NaN are left out

    Returns
    -------
    ``mean``; ``p``, two-sided, the share of flips whose mean is at least as far from 0; ``smallest_p`` that the test
    can reach with this number of differences other than 0; ``flips`` evaluated: all if they are few, else ``DRAWS``
    random ones and the identity; ``n`` pairs. Without a pair ``mean``, ``p`` and ``smallest_p`` are NaN.
    """
    differences = np.asarray(differences, float)
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return {"mean": np.nan, "p": np.nan, "smallest_p": np.nan, "flips": 0, "n": 0}
    signed = differences[differences != 0]
    sums, smallest = flipped_sums(signed, rng)
    rounding = 1e-12 * np.abs(signed).sum()
    p = (np.abs(sums) >= abs(signed.sum()) - rounding).mean()
    mean = float(differences.mean())
    return {"mean": mean, "p": float(p), "smallest_p": smallest, "flips": len(sums), "n": len(differences)}


def flipped_sums(differences: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Sums of differences (n,) under flips of their signs, and the smallest two-sided p that these can give.

    All 2ⁿ flips if they are few. Each flip has an opposite with the same absolute sum, so the smallest p is 2 / 2ⁿ.
    Otherwise the identity and ``DRAWS`` random flips, with a smallest p of 1 / (1 + ``DRAWS``).
    """
    n = len(differences)
    if 2**n <= EXACT:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
        return signs @ differences, min(1.0, 2 / 2**n)
    sums = [differences.sum(keepdims=True)]
    for rows in np.array_split(np.arange(DRAWS), -(-DRAWS * n // SIGNS)):
        sums.append(rng.choice([-1, 1], (len(rows), n)) @ differences)
    return np.concatenate(sums), 1 / (1 + DRAWS)


def _permuted(labels: np.ndarray, groups: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    permuted = labels.copy()
    for runs in groups:
        permuted[runs] = rng.permutation(labels[runs])
    return permuted


def _means(distances: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    i, j = np.triu_indices(len(labels), 1)
    same, values = labels[i] == labels[j], distances[i, j]
    return tuple(float(part.mean()) if len(part) else np.nan for part in (values[same], values[~same]))


def _statistic(distances: np.ndarray, labels: np.ndarray) -> float:
    within, across = _means(distances, labels)
    return across - within
