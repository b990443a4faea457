"""Which slots stand in for which: clusters of a swap matrix; and whether what a swap breaks an ablation breaks too."""

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
from scipy.spatial.distance import squareform

from memorization.memory_layer.intervention.shares import ABLATIONS, pooled_shares
from memorization.memory_layer.nulls import beside
from memorization.memory_layer.silhouettes import silhouette
from memorization.memory_layer.typed_tables import typed
from memorization.statistics import spearman

LEAST = 4  # slots that are clustered
MEASURES = {"answers": "kept_share", "bits": "nll_change_bits"}  # of what is broken, and the columns that tell it
SUBSTITUTES = {
    "kind": str, "layer": int, "slot": int, "n_examples": int, **dict.fromkeys(MEASURES.values(), float),
    **{f"{ablation}_{column}": float for ablation in ABLATIONS for column in MEASURES.values()},
    "place": int, "cluster": int, "clusters": int, "silhouette": float, "p": float, "smallest_p": float,
}  # fmt: skip
CORRELATION = {
    "kind": str, "layer": int, "ablation": str, "measure": str, "n": int, "rho": float, "low": float, "high": float,
}  # fmt: skip


def substitutes_table(
    swap: pd.DataFrame, ablated: pd.DataFrame, n_permutations: int, rng: np.random.Generator
) -> pd.DataFrame:
    """``substitutes``: of each kind of swap, layer and slot what its examples lose, and the slots that stand in for it.

    Parameters
    ----------
    swap : ``swaps.swap_table``'s, of the layers of a run
    ablated : ``ablated.ablated_table``'s, of the same layers
    n_permutations : of ``clusters_of``

    Returns
    -------
    DataFrame: ``kind``, ``layer``, ``slot``; ``n_examples``, ``kept_share`` (of them, those that give their own answer
    with another slot in the place) and ``nll_change_bits``, means of partners; the same of the same examples without
    the slot, ``value_zero_…`` and ``slot_mask_…``; ``place`` in the order of a heat map; ``cluster`` (from 0, in this
    order), and of all slots together ``clusters``, ``silhouette``, ``p``, ``smallest_p``
    """
    parts = []
    for (kind, layer), part in swap.groupby(["kind", "layer"], sort=False):
        matrix = kept_matrix(part)
        found = clusters_of(interaction(dissimilarity(matrix)), n_permutations, rng)
        pairs = pooled_shares(part, ["slot", "partner_slot"]).groupby("slot")
        of = pairs[list(MEASURES.values())].mean().assign(n_examples=pairs["n_examples"].first())
        of_layer = ablated[ablated["layer"] == layer]
        for ablation in ABLATIONS:
            one = of_layer[of_layer["ablation"] == ablation].set_index("slot")
            of = of.join(one[list(MEASURES.values())].add_prefix(f"{ablation}_"))
        parts.append(of.loc[matrix.index].reset_index().assign(kind=kind, layer=layer, **found))
    return typed(parts, SUBSTITUTES)


def kept_matrix(swap: pd.DataFrame) -> pd.DataFrame:
    """The share of a slot's examples (rows) that give their own answer with a partner (columns) in its place.

    Parameters
    ----------
    swap : rows of a run, kind and layer; the diagonal is NaN
    """
    pairs = pooled_shares(swap, ["slot", "partner_slot"])
    pairs = pairs.pivot(index="slot", columns="partner_slot", values="kept_share")
    order = list(dict.fromkeys(swap["slot"]))
    return pairs.reindex(index=order, columns=order)


def dissimilarity(kept: pd.DataFrame) -> np.ndarray:
    """1 - the mean of both directions of ``kept_matrix``, (n, n), symmetric with zeros on the diagonal."""
    both = 1 - (kept.to_numpy() + kept.to_numpy().T) / 2
    np.fill_diagonal(both, 0)
    return both


def interaction(distances: np.ndarray) -> np.ndarray:
    """What is left of distances (n, n) without what each slot loses to any partner, from 0 up.

    Least squares of d_ij = m + a_i + a_j over the pairs; a slot that loses much to all is no one's substitute, and
    would look like a cluster. Below 3 slots nothing is left.
    """
    n = len(distances)
    if n < 3:
        return np.zeros((n, n))
    means = distances.sum(axis=1) / (n - 1)
    effects = (n - 1) / (n - 2) * (means - means.mean())
    left = distances - means.mean() - effects[:, None] - effects
    left -= left[~np.eye(n, dtype=bool)].min()
    np.fill_diagonal(left, 0)
    return left


def clusters_of(distances: np.ndarray, n_permutations: int, rng: np.random.Generator) -> dict:
    """Average linkage, cut where the mean silhouette (Rousseeuw 1987) is largest, against permuted distances.

    Parameters
    ----------
    distances : (n, n), symmetric
    n_permutations : of the distances over all pairs, each clustered and cut anew

    Returns
    -------
    ``place`` (n,) in the order of the tree's leaves; ``cluster`` (n,), from 0 in this order; ``clusters``, how many;
    ``silhouette``; ``p``, the share of arrangements with at least this one; ``smallest_p``. Below 4 slots all are one
    cluster and the others NaN.
    """
    n = len(distances)
    if n < LEAST:
        nothing = dict.fromkeys(("silhouette", "p", "smallest_p"), np.nan)
        return {"place": np.arange(n), "cluster": np.zeros(n, np.int64), "clusters": min(n, 1), **nothing}
    pairs = squareform(distances, checks=False)
    order = leaves_list(linkage(pairs, "average", optimal_ordering=True))
    labels, found = _cut(pairs)
    *_, p, smallest_p = beside(found, np.array([_cut(rng.permutation(pairs))[1] for _ in range(n_permutations)]))
    numbers = pd.unique(labels[order])
    return {
        "place": np.argsort(order),
        "cluster": pd.Series(np.arange(len(numbers)), index=numbers)[labels].to_numpy(),
        "clusters": len(numbers),
        "silhouette": found,
        "p": p,
        "smallest_p": smallest_p,
    }


def _cut(pairs: np.ndarray) -> tuple[np.ndarray, float]:
    """Labels of the cut of largest silhouette, from 2 clusters to half of the slots, and that silhouette."""
    tree, distances = linkage(pairs, "average"), squareform(pairs)
    cuts = [fcluster(tree, number, "maxclust") for number in range(2, len(distances) // 2 + 1)]
    widths = [float(silhouette(distances, labels).mean()) for labels in cuts]
    best = int(np.argmax(widths))
    return cuts[best], widths[best]


def correlation_table(substitutes: pd.DataFrame) -> pd.DataFrame:
    """``swap_correlation``: does a swap break what an ablation breaks? Over slots, of the same examples.

    Parameters
    ----------
    substitutes : ``substitutes_table``'s

    Returns
    -------
    DataFrame: ``kind`` of swap, ``layer``, ``ablation`` (``value_zero`` or ``slot_mask``), ``measure`` (``answers``:
    the share that no longer give theirs; ``bits`` of the right one), ``n`` slots, Spearman's ``rho`` of what the swap
    and the ablation break, with ``low`` and ``high``
    """
    rows = [
        (kind, layer, ablation, measure, len(part), *spearman(part[column], part[f"{ablation}_{column}"]))
        for (kind, layer), part in substitutes.groupby(["kind", "layer"], sort=False)
        for ablation in ABLATIONS
        for measure, column in MEASURES.items()
    ]
    return typed([pd.DataFrame(rows, columns=list(CORRELATION))], CORRELATION)
