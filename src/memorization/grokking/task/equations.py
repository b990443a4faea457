"""Equations a ∘ b = c mod p (Power et al. 2022, arXiv 2201.02177), their splits, probes and batches."""

import numpy as np

from memorization.provenance import generator

POLYNOMIALS = {  # a and b int64, small enough that nothing overflows before the mod
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "x^2+y^2": lambda a, b: a**2 + b**2,
    "x^2+xy+y^2": lambda a, b: a**2 + a * b + b**2,
    "x^2+xy+y^2+x": lambda a, b: a**2 + a * b + b**2 + a,
    "x^3+xy": lambda a, b: a**3 + a * b,
    "x^3+xy^2+y": lambda a, b: a**3 + a * b**2 + b,
}
OPERATORS = (*POLYNOMIALS, "/")
SPLITS = ("pairs", "unordered")
LARGEST = 10**6  # of p: its cube stays below 2^63
REACHED = 0.99  # accuracy whose first crossing counts


def is_prime(p: int) -> bool:
    return p > 1 and all(p % divisor for divisor in range(2, int(p**0.5) + 1))


def equation_count(p: int, operator: str) -> int:
    """How many equations an operator has: p², or p (p - 1) for division, whose b is not 0."""
    return p * (p - 1) if operator == "/" else p * p


def train_size(p: int, operator: str, train_fraction: float) -> int:
    """How many of the equations are trained on."""
    return round(train_fraction * equation_count(p, operator))


def batch_size(n_train: int, largest: int) -> int:
    """Equations in a batch: ``largest``, or half of a small training set."""
    return min(largest, -(-n_train // 2))


def equations(p: int, operator: str) -> np.ndarray:
    """All equations of an operator, in the order of a, then b.

    Returns
    -------
    (count, 3) int64: a, b and c = a ∘ b mod p. Division a / b is a · b⁻¹ and leaves out b = 0.

    Raises
    ------
    ValueError
        If the operator is unknown, p is out of range, or p is not prime for division.
    """
    if operator not in OPERATORS:
        raise ValueError(f"operator: {operator!r} is unknown; allowed: {', '.join(OPERATORS)}")
    if not 2 <= p <= LARGEST:
        raise ValueError(f"p: {p}; allowed: 2 to {LARGEST}")
    a, b = (axis.ravel() for axis in np.mgrid[:p, :p])
    if operator != "/":
        return np.stack([a, b, POLYNOMIALS[operator](a, b) % p], axis=1)
    if not is_prime(p):
        raise ValueError(f"p: {p} is not prime, so division is not defined for every b")
    inverse = np.array([0, *(pow(n, -1, p) for n in range(1, p))])
    a, b = a[b > 0], b[b > 0]
    return np.stack([a, b, a * inverse[b] % p], axis=1)


def split_equations(table: np.ndarray, n_train: int, split: str, rng: np.random.Generator) -> np.ndarray:
    """Which equations are trained on, drawn without replacement.

    Parameters
    ----------
    table : (count, 3), a, b, c
    n_train : how many are trained on
    split : ``pairs`` draws single equations, so that (b, a) may be trained on where (a, b) is held out;
        ``unordered`` keeps the two together, and one of them is left over where ``n_train`` cuts a pair

    Returns
    -------
    (count,) bool.
    """
    if split not in SPLITS:
        raise ValueError(f"split: {split!r} is unknown; allowed: {', '.join(SPLITS)}")
    if not 0 < n_train < len(table):
        raise ValueError(f"train_fraction: {n_train} of {len(table)} equations; both splits need at least one")
    keys = np.arange(len(table))
    if split == "unordered":
        low, high = np.sort(table[:, :2], axis=1).T
        keys = np.unique(low * (table[:, 0].max() + 1) + high, return_inverse=True)[1]
    place = rng.permutation(keys.max() + 1)[keys]
    train = np.zeros(len(table), bool)
    train[np.argsort(place, kind="stable")[:n_train]] = True
    return train


def probe(train: np.ndarray, size: int, fingerprint_seed: int) -> dict[str, np.ndarray]:
    """The equations whose answers the fingerprint follows: ``size`` of either split, without replacement.

    Parameters
    ----------
    train : (count,) bool, which equations are trained on
    size : equations of each split
    fingerprint_seed : of the draw; the same equations for all runs on one split

    Returns
    -------
    ``val`` and ``train``: (size,) int64 row numbers of the table, rising.

    Raises
    ------
    ValueError
        If the probe is empty or larger than a split.
    """
    drawn = {}
    for name, members in (("val", np.flatnonzero(~train)), ("train", np.flatnonzero(train))):
        if not 1 <= size <= len(members):
            raise ValueError(f"probe_size: {size}; the {name} split allows 1 to {len(members)}")
        rng = generator("grokking", fingerprint_seed, "probe", name)
        drawn[name] = np.sort(rng.choice(members, size, replace=False))
    return drawn


class Batches:
    """The batches of a training: each epoch a permutation of the training set, cut into batches.

    An epoch has a random stream of its own, so that a training goes on from any step without a saved
    stream, and all conditions of a data set and seed see the same batches. The last batch of an epoch is
    what is left over, and may be smaller.

    Parameters
    ----------
    train : (count,) bool, which equations are trained on
    largest : equations in a batch, at most half of the training set
    dataset, seed : name the stream
    """

    def __init__(self, train: np.ndarray, largest: int, dataset: str, seed: int):
        self.members = np.flatnonzero(train)
        self.size = batch_size(len(self.members), largest)
        self.per_epoch = -(-len(self.members) // self.size)
        self.names = ("grokking", dataset, seed, "batches")
        self._epoch, self._order = None, None

    def rows(self, step: int) -> np.ndarray:
        """Row numbers of the equations at a step, which are counted from 1."""
        epoch, batch = divmod(step - 1, self.per_epoch)
        if epoch != self._epoch:
            self._order = generator(*self.names, epoch).permutation(self.members)
            self._epoch = epoch
        return self._order[batch * self.size : (batch + 1) * self.size]


def first_crossing(steps: np.ndarray, accuracy: np.ndarray) -> int | None:
    """The first step at which an accuracy is 99%, or None; what it does later does not count."""
    reached = np.flatnonzero(accuracy >= REACHED)
    return int(steps[reached[0]]) if len(reached) else None
