"""How the slots of each token type and position are spread, and what a label of the places tells of the slot."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import sparse

from memorization.memory_layer.routing.places import NONE
from memorization.memory_layer.routing.token_types import TYPES

TOP = 5  # slots that are named
DENSE = 2**18  # sums by label and slot that are faster to count than to sort
INFORMING = ("type", "token", "position", "answer_position")  # labels that may tell the slot
EXTENT = (2.5, 97.5)  # percent, of what shuffled labels give


def routing_table(
    tallies: Mapping[str, Mapping[int, pd.DataFrame]],
    sizes: Mapping[str, Mapping[int, int]],
    shape: tuple[int, int],
    run: Mapping,
) -> pd.DataFrame:
    """``routing``: the slots of each label, by layer and head.

    Parameters
    ----------
    tallies : ``Tally.table`` by labelling (``type`` and others) and layer
    sizes : places of each label, by labelling
    shape : n_slots, top_k
    run : ``condition`` and ``seed``

    Returns
    -------
    DataFrame: ``by``, the labelling; ``label``, a type's name or a number; ``layer``, ``head``; ``n`` places;
    ``slots``, different ones; ``entropy_bits`` of the shares of weight; ``ceiling_bits``, the most that n places can
    have, log₂ of the lesser of n·top_k and the slots that there are; ``top_weight``, the share of the largest slot;
    ``top_slots``, the largest, as text.
    """
    names = {"layer": int, "by": str, "label": str, "head": int, "n": int, "slots": int, "entropy_bits": float}
    names |= {"ceiling_bits": float, "top_weight": float, "top_slots": str}
    parts = [pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in names.items()})]
    for by, of_layers in tallies.items():
        for layer, tally in of_layers.items():
            if tally.empty:
                continue
            cells = _cells(tally)
            n = cells.index.get_level_values("label").map(sizes[by]).to_numpy(np.int64)
            label = cells.index.get_level_values("label")
            texts = [TYPES[each] for each in label] if by == "type" else label.astype(str)
            columns = {"by": by, "label": texts, "layer": layer, "n": n}
            columns["ceiling_bits"] = np.log2(np.minimum(n * shape[1], shape[0]))
            parts.append(cells.reset_index().assign(**columns)[list(names)])
    return _with_run(pd.concat(parts[1:] or parts, ignore_index=True).astype(names), run)


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


def overlap_table(tallies: Mapping[int, pd.DataFrame], run: Mapping) -> pd.DataFrame:
    """``routing_overlap``: what two token types share of their slots, by layer and head.

    Parameters
    ----------
    tallies : ``Tally.table`` of token types, by layer
    run : ``condition`` and ``seed``

    Returns
    -------
    DataFrame: ``layer``, ``head``, ``type``, ``other``; ``jaccard``, slots that both retrieve of those that either
    does; ``overlap``, Σ over slots of the lesser share of weight: 1 for equal distributions, 0 where no slot is shared.
    """
    types = {"layer": int, "head": int, "type": str, "other": str, "jaccard": float, "overlap": float}
    rows = []
    for layer, tally in tallies.items():
        for head, part in tally.groupby("head"):
            weights = part.pivot(index="slot", columns="label", values="weight")
            shares, sets = (weights / weights.sum()).fillna(0.0), weights.notna()
            for a, b in combinations(weights.columns, 2):
                jaccard = (sets[a] & sets[b]).sum() / (sets[a] | sets[b]).sum()
                common = np.minimum(shares[a], shares[b]).sum()
                rows.append((layer, head, TYPES[a], TYPES[b], jaccard, common))
    return _with_run(pd.DataFrame(rows, columns=list(types)).astype(types), run)


def information_table(
    table: pd.DataFrame,
    retrieved: Mapping[int, tuple[np.ndarray, np.ndarray]],
    n_permutations: int,
    rng: np.random.Generator,
    run: Mapping,
) -> pd.DataFrame:
    """``routing_information``: mutual information of a label of the places with the slot, beside shuffled labels.

    Each place counts once in a head, with its slots by their weights. With few places information is overestimated;
    shuffled labels are overestimated as much.

    Parameters
    ----------
    table : places, as ``places.places`` gives them
    retrieved : weights and slots of the same places, by layer, each (n, n_heads, top_k)
    n_permutations : shuffles of the labels over the places

    Returns
    -------
    DataFrame: ``label``, one of ``INFORMING``; ``layer``, ``head``; ``bits``; ``null_bits``, the mean of shuffles, and
    ``null_low``, ``null_high``, the range of 95% of them; ``label_bits``, the label's entropy, the most that it can
    tell; ``p``, the share of shuffles, the labels as they are among them, that tell as much; ``smallest_p``; ``n``.
    """
    values = ("bits", "null_bits", "null_low", "null_high", "label_bits", "p", "smallest_p")
    types = {"label": str, "layer": int, "head": int, **dict.fromkeys(values, float), "n": int}
    rows = []
    for name in INFORMING:
        some = np.flatnonzero(table[name].to_numpy() != NONE)
        labels = np.unique(table[name].to_numpy()[some], return_inverse=True)[1]
        if not len(some) or not labels.any():
            continue
        label_bits = entropy(np.bincount(labels))
        shuffled = [rng.permutation(labels) for _ in range(n_permutations)]
        for layer, (weights, slots) in retrieved.items():
            for head in range(slots.shape[1]):
                numbers = np.unique(slots[some, head], return_inverse=True)[1].reshape(len(some), -1)
                chosen = weights[some, head], numbers
                found = mutual_information(labels, *chosen)
                null = np.array([mutual_information(each, *chosen) for each in shuffled])
                *null_of, p, smallest_p = beside(found, null)
                rows.append((name, layer, head, found, *null_of, label_bits, p, smallest_p, len(some)))
    return _with_run(pd.DataFrame(rows, columns=list(types)).astype(types), run)


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


def beside(found: float, null: np.ndarray) -> tuple[float, float, float, float, float]:
    """The mean of what shuffles give, the range of 95% of them, p that they are as large, and the smallest p."""
    low, high = np.percentile(null, EXTENT)
    p = (1 + (null >= found - 1e-12).sum()) / (1 + len(null))
    return float(null.mean()), float(low), float(high), float(p), 1 / (1 + len(null))


def _with_run(table: pd.DataFrame, run: Mapping) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(value, index=table.index) for name, value in run.items()}).join(table)
