"""How the slots of each token type and position are spread, and what a label of the places tells of the slot."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import sparse

from memorization.memory_layer.nulls import beside
from memorization.memory_layer.routing.places import NONE
from memorization.memory_layer.routing.token_types import TYPES

TOP = 5  # slots that are named
DENSE = 2**18  # sums by label and slot that are faster to count than to sort
INFORMING = ("type", "token", "next", "text_position", "answer_position")  # labels that may tell the slot
ROUTING = {
    "by": str, "label": str, "head": int, "n": int, "slots": int, "entropy_bits": float, "ceiling_bits": float,
    "top_weight": float, "top_slots": str,
}  # fmt: skip
OVERLAP = {"head": int, "type": str, "other": str, "jaccard": float, "overlap": float}
INFORMATION = {
    "label": str, "head": int, "bits": float, "null_bits": float, "null_low": float, "null_high": float,
    "label_bits": float, "p": float, "smallest_p": float, "n": int,
}  # fmt: skip


def routing_table(
    tallies: Mapping[str, pd.DataFrame], sizes: Mapping[str, Mapping[int, int]], n_slots: int, top_k: int
) -> pd.DataFrame:
    """``routing``: the slots of each label, by head of a layer.

    Type and token are those of the token that is read at a place, as a router is given it; the one that is answered
    there is the next.

    Parameters
    ----------
    tallies : ``Tally.table`` by labelling (``type`` and others)
    sizes : places of each label, by labelling
    n_slots, top_k : of the memory

    Returns
    -------
    DataFrame: ``by``, the labelling; ``label``, a type's name or a number; ``head``; ``n`` places; ``slots``, different
    ones; ``entropy_bits`` of the shares of weight; ``ceiling_bits``, the most that n places can have, log₂ of the
    lesser of n·top_k and the slots that there are; ``top_weight``, the share of the largest slot; ``top_slots``, the
    largest, as text.
    """
    parts = [pd.DataFrame(columns=list(ROUTING))]
    for by, tally in tallies.items():
        if tally.empty:
            continue
        cells = _cells(tally).reset_index()
        n = cells["label"].map(sizes[by]).to_numpy(np.int64)
        texts = [TYPES[each] for each in cells["label"]] if by == "type" else cells["label"].astype(str)
        columns = {"by": by, "label": texts, "n": n, "ceiling_bits": np.log2(np.minimum(n * top_k, n_slots))}
        parts.append(cells.assign(**columns)[list(ROUTING)])
    return pd.concat(parts[1:] or parts, ignore_index=True).astype(ROUTING)


def _cells(tally: pd.DataFrame) -> pd.DataFrame:
    """By label and head: ``slots``, ``entropy_bits``, ``top_weight``, ``top_slots``."""
    share = tally["weight"] / tally.groupby(["label", "head"])["weight"].transform("sum")
    logs = np.log2(share, out=np.zeros(len(share)), where=share > 0)
    shares = tally.assign(share=share, bits=-share * logs)
    cells = shares.groupby(["label", "head"]).agg(
        slots=("slot", "size"), entropy_bits=("bits", "sum"), top_weight=("share", "max")
    )
    largest = shares.sort_values("share", ascending=False, kind="stable").groupby(["label", "head"]).head(TOP)
    named = largest["slot"].astype(str).groupby([largest["label"], largest["head"]]).agg(" ".join)
    return cells.assign(top_slots=named)


def overlap_table(tally: pd.DataFrame) -> pd.DataFrame:
    """``routing_overlap``: what two types of tokens read share of their slots, by head of a layer.

    Parameters
    ----------
    tally : ``Tally.table`` of token types

    Returns
    -------
    DataFrame: ``head``, ``type``, ``other``; ``jaccard``, slots that both retrieve of those that either does;
    ``overlap``, Σ over slots of the lesser share of weight: 1 for equal distributions, 0 where no slot is shared.
    """
    rows = []
    for head, part in tally.groupby("head"):
        weights = part.pivot(index="slot", columns="label", values="weight")
        shares, sets = (weights / weights.sum()).fillna(0.0), weights.notna()
        for a, b in combinations(weights.columns, 2):
            jaccard = (sets[a] & sets[b]).sum() / (sets[a] | sets[b]).sum()
            rows.append((head, TYPES[a], TYPES[b], jaccard, np.minimum(shares[a], shares[b]).sum()))
    return pd.DataFrame(rows, columns=list(OVERLAP)).astype(OVERLAP)


def information_table(
    table: pd.DataFrame, weights: np.ndarray, slots: np.ndarray, n_permutations: int, rng: np.random.Generator
) -> pd.DataFrame:
    """``routing_information``: mutual information of a label of the places with the slot, beside shuffled labels.

    Each place counts once in a head, with its slots by their weights. With few places information is overestimated;
    shuffled labels are overestimated as much.

    Parameters
    ----------
    table : places, as ``places.places`` gives them
    weights, slots : what a layer retrieves there, (n, n_heads, top_k)
    n_permutations : shuffles of the labels over the places

    Returns
    -------
    DataFrame: ``label``, one of ``INFORMING``: of the token read, its ``type`` or itself, or ``next``, the token that
    is to be answered; ``head``; ``bits``; ``null_bits``, the mean of shuffles, and ``null_low``, ``null_high``, the
    range of 95% of them; ``label_bits``, the label's entropy, the most that it can tell; ``p``, the share of shuffles,
    the labels as they are among them, that tell as much; ``smallest_p``; ``n`` places. A label that is the same
    everywhere tells nothing and is left out.
    """
    rows = []
    for name in INFORMING:
        some = np.flatnonzero(table[name].to_numpy() != NONE)
        labels = np.unique(table[name].to_numpy()[some], return_inverse=True)[1]
        if not labels.any():
            continue
        label_bits = entropy(np.bincount(labels))
        shuffled = [rng.permutation(labels) for _ in range(n_permutations)]
        for head in range(slots.shape[1]):
            numbers = np.unique(slots[some, head], return_inverse=True)[1].reshape(len(some), -1)
            chosen = weights[some, head], numbers
            found = mutual_information(labels, *chosen)
            null = np.array([mutual_information(each, *chosen) for each in shuffled])
            *null_of, p, smallest_p = beside(found, null)
            rows.append((name, head, found, *null_of, label_bits, p, smallest_p, len(some)))
    return pd.DataFrame(rows, columns=list(INFORMATION)).astype(INFORMATION)


def mutual_information(labels: np.ndarray, weights: np.ndarray, slots: np.ndarray) -> float:
    """Bits that a label tells of the slot, and the slot of the label.

    Parameters
    ----------
    labels : (n,) int64, from 0
    weights, slots : (n, top_k); slots from 0, best without gaps
    """
    shape = int(labels.max()) + 1, int(slots.max()) + 1
    every, weighed = np.repeat(labels, slots.shape[1]), weights.ravel().astype(np.float64)
    if shape[0] * shape[1] <= DENSE:
        joint = np.bincount(every * shape[1] + slots.ravel(), weighed)
    else:
        joint = sparse.coo_array((weighed, (every, slots.ravel())), shape).tocsr().data
    marginals = (np.bincount(each, weighed) for each in (every, slots.ravel()))
    return sum(map(entropy, marginals)) - entropy(joint)


def entropy(weights: np.ndarray) -> float:
    """Of shares in proportion to weights, in bits."""
    p = weights[weights > 0] / weights.sum()
    return float(-(p * np.log2(p)).sum())
