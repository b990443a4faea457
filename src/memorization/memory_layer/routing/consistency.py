"""Whether places that are alike retrieve the same slots, beside places whose likeness is shuffled."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from memorization.memory_layer.nulls import beside
from memorization.memory_layer.routing.places import NONE
from memorization.memory_layer.routing.token_types import TYPES

LEAST = 10  # pairs of a test
CONSISTENCY = {
    "likeness": str, "token_type": str, "head": int, "jaccard": float, "null_jaccard": float, "null_low": float,
    "null_high": float, "p": float, "smallest_p": float, "n": int, "same_text": float,
}  # fmt: skip


class Likeness(NamedTuple):
    """What makes two places alike, and which of the others they are compared with; columns of ``places.places``."""

    same: tuple[str, ...]
    among: tuple[str, ...]


LIKENESSES = {
    "token": Likeness(("token",), ("type",)),  # against another token of the type
    "text_position": Likeness(
        ("token", "text_position"), ("type", "text_position")
    ),  # against another token of the type there
    "previous": Likeness(("token", "previous"), ("token",)),  # against this token behind another
    "word": Likeness(("word",), ("token",)),  # a hash or number in two places, against this token in another word
    "beginning": Likeness(
        ("text_position", "beginning"), ("text_position", "type")
    ),  # against texts that begin otherwise
    "answer": Likeness(("next", "answer_position"), ("answer_position",)),  # the same token to be answered there
}


class Pairs(NamedTuple):
    """Places that are alike, ``first`` and ``second`` (n,), and of every place its ``strata`` (n_places,)."""

    first: np.ndarray
    second: np.ndarray
    strata: np.ndarray


def pairs_of(
    table: pd.DataFrame, likeness: Likeness, among: np.ndarray, n_pairs: int, rng: np.random.Generator
) -> Pairs:
    """Random pairs of different places that are alike.

    A first place is drawn, once at most, and a second one of all that are like it. Left out are places that are like
    no other, and those that are like all that they would be compared with.

    Parameters
    ----------
    table : places, as ``places.places`` gives them
    likeness : what alike means
    among : (n_places,) bool, where the first place may be
    n_pairs : at most so many
    """
    there = (table[list({*likeness.same, *likeness.among})].to_numpy() != NONE).all(axis=1)
    strata = np.where(there, _numbers(table, likeness.among), NONE)
    labels = np.where(there, _numbers(table, (*likeness.among, *likeness.same)), NONE)
    size = np.bincount(labels[there], minlength=1)[np.where(there, labels, 0)]
    of_stratum = np.bincount(strata[there], minlength=1)[np.where(there, strata, 0)]
    first = rng.permutation(np.flatnonzero(there & among & (size > 1) & (size < of_stratum)))[:n_pairs]
    order = np.argsort(labels, kind="stable")
    place = np.empty(len(labels), np.int64)
    place[order] = np.arange(len(labels))
    start = np.searchsorted(labels[order], labels[first])
    step = 1 + rng.integers(np.maximum(size[first] - 1, 1))
    second = order[start + (place[first] - start + step) % size[first]]
    return Pairs(first, second, strata)


def shuffled(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A place for each place, (n,): a random order of the places of each stratum."""
    places = np.empty(len(strata), np.int64)
    places[np.argsort(strata, kind="stable")] = np.argsort(strata + rng.random(len(strata)))
    return places


def jaccard(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of two sets of different slots, (…, top_k) each: those in both, of those in either: (…,)."""
    both = (first[..., :, None] == second[..., None, :]).sum(axis=(-2, -1))
    return both / (first.shape[-1] + second.shape[-1] - both)


def consistency_table(
    table: pd.DataFrame, slots: np.ndarray, n_pairs: int, n_permutations: int, rng: np.random.Generator
) -> pd.DataFrame:
    """``consistency``: slots that like places share, by what makes them alike, token type, and head of a layer.

    Null: places are shuffled within their stratum, and the same pairs are compared again.

    Parameters
    ----------
    table : places that have all seen something different
    slots : what a layer retrieves there, (n_places, n_heads, top_k)
    n_pairs, n_permutations : pairs of a test, and shuffles

    Returns
    -------
    DataFrame: ``likeness``, a name in ``LIKENESSES``; ``token_type`` of the token that the first place reads, or
    ``all``; ``head``; ``jaccard``, the mean of the pairs; ``null_jaccard``, ``null_low``, ``null_high``, the mean of
    shuffles and the range of 95% of them; ``p``, of as much in a shuffle; ``smallest_p``; ``n`` pairs; ``same_text``,
    the share of pairs in one text. Tests of fewer than ``LEAST`` pairs are left out.
    """
    rows, of_type, text = [], table["type"].to_numpy(), table["row"].to_numpy()
    for name, likeness in LIKENESSES.items():
        for token_type in ("all", *TYPES):
            every = token_type == "all"
            among = np.ones(len(table), bool) if every else of_type == TYPES.index(token_type)
            pairs = pairs_of(table, likeness, among, n_pairs, rng)
            if len(pairs.first) < LEAST:
                continue
            moves = [shuffled(pairs.strata, rng)[np.stack(pairs[:2])] for _ in range(n_permutations)]
            about = len(pairs.first), (text[pairs.first] == text[pairs.second]).mean()
            found = jaccard(slots[pairs.first], slots[pairs.second]).mean(axis=0)
            null = np.array([jaccard(slots[a], slots[b]).mean(axis=0) for a, b in moves])
            for head, value in enumerate(found):
                rows.append((name, token_type, head, value, *beside(value, null[:, head]), *about))
    return pd.DataFrame(rows, columns=list(CONSISTENCY)).astype(CONSISTENCY)


def _numbers(table: pd.DataFrame, names: tuple[str, ...]) -> np.ndarray:
    """A number for each different row of some columns, (n,) from 0."""
    return table.groupby(list(dict.fromkeys(names)), sort=False).ngroup().to_numpy()
