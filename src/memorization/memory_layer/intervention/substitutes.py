"""Which slots stand in for which: clusters of a swap matrix; and whether what a swap breaks an ablation breaks too."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
from scipy.spatial.distance import squareform

from memorization.memory_layer.intervention.shares import pooled_shares, together
from memorization.statistics import spearman, t_interval

LEAST = 4  # slots that are clustered
MEASURES = ("answers", "bits")  # of what a swap breaks
OF_SLOTS = ["condition", "seed", "kind", "layer", "slot"]
SUBSTITUTES = {
    "condition": str, "seed": int, "kind": str, "layer": int, "slot": int, "n_examples": int, "kept": float,
    "place": int, "cluster": int, "clusters": int, "silhouette": float, "p": float, "smallest_p": float,
}  # fmt: skip
CORRELATION = {
    "condition": str, "seed": int, "kind": str, "layer": int, "measure": str, "n": int,
    "rho": float, "low": float, "high": float,
}  # fmt: skip


def substitutes_table(swap: pd.DataFrame, n_permutations: int, rng: np.random.Generator) -> pd.DataFrame:
    """``substitutes``: the clusters of slots that stand in for each other, of each kind of swap and layer.

    Parameters
    ----------
    swap : rows of ``memory_layer_swap`` of a run
    n_permutations : of ``clusters_of``

    Returns
    -------
    DataFrame: ``condition``, ``seed``, ``kind``, ``layer``, ``slot``; ``n_examples``, ``kept`` (the share of them that
    give their own answer with another slot in the place, mean of partners); ``place`` in the order of a heat map;
    ``cluster`` (from 0, in this order), and of all slots together ``clusters``, ``silhouette``, ``p``, ``smallest_p``
    """
    parts = []
    for _, part in swap.groupby(["condition", "seed", "kind", "layer"], sort=False):
        kept = kept_matrix(part)
        found = clusters_of(interaction(dissimilarity(kept)), n_permutations, rng)
        examples = part.groupby(["slot", "partner"])["n_examples"].sum().groupby("slot").first()
        about = part[OF_SLOTS[:-1]].iloc[0].to_dict() | {"slot": kept.index, "n_examples": examples[kept.index]}
        parts.append(pd.DataFrame(about | {"kept": kept.mean(axis=1)} | found))
    return together(parts, SUBSTITUTES)


def kept_matrix(swap: pd.DataFrame) -> pd.DataFrame:
    """The share of a slot's examples (rows) that give their own answer with a partner (columns) in its place.

    Parameters
    ----------
    swap : rows of a run, kind and layer; the diagonal is NaN
    """
    pairs = pooled_shares(swap, ["slot", "partner"]).pivot(index="slot", columns="partner", values="kept")
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
    labels, silhouette = _cut(pairs)
    others = [_cut(rng.permutation(pairs))[1] for _ in range(n_permutations)]
    as_large = 1 + sum(other >= silhouette - 1e-12 for other in others)
    numbers = pd.unique(labels[order])
    return {
        "place": np.argsort(order),
        "cluster": pd.Series(np.arange(len(numbers)), index=numbers)[labels].to_numpy(),
        "clusters": len(numbers),
        "silhouette": silhouette,
        "p": as_large / (1 + n_permutations),
        "smallest_p": 1 / (1 + n_permutations),
    }


def mean_silhouette(distances: np.ndarray, labels: np.ndarray) -> float:
    """Mean of (b - a) / max(a, b), a to its own cluster, b to the nearest other; 0 of one alone (Rousseeuw 1987)."""
    of = (labels[:, None] == np.unique(labels)).astype(float)  # (n, clusters)
    sizes, own = of.sum(axis=0), of.argmax(axis=1)
    sums, rows = distances @ of, np.arange(len(labels))
    a = sums[rows, own] / np.maximum(sizes[own] - 1, 1)
    b = np.where(of > 0, np.inf, sums / sizes).min(axis=1)
    largest = np.maximum(a, b)
    widths = np.divide(b - a, largest, out=np.zeros_like(a), where=(largest > 0) & np.isfinite(b))
    return float(np.where(sizes[own] > 1, widths, 0).mean())


def _cut(pairs: np.ndarray) -> tuple[np.ndarray, float]:
    """Labels of the cut of largest silhouette, from 2 clusters to half of the slots, and that silhouette."""
    tree, distances = linkage(pairs, "average"), squareform(pairs)
    cuts = [fcluster(tree, number, "maxclust") for number in range(2, len(distances) // 2 + 1)]
    widths = [mean_silhouette(distances, labels) for labels in cuts]
    best = int(np.argmax(widths))
    return cuts[best], widths[best]


def swap_effect(swap: pd.DataFrame) -> pd.DataFrame:
    """By ``condition``, ``seed``, ``kind``, ``layer``, ``slot``: how much a slot's examples lose with a partner in its
    place, means of partners: ``answers``, the share that no longer give theirs, and ``bits`` of the right ones."""
    pairs = pooled_shares(swap, [*OF_SLOTS, "partner"])
    pairs = pairs.assign(answers=1 - pairs["kept"], bits=pairs["nll_change_bits"])
    return pairs.groupby(OF_SLOTS, sort=False)[list(MEASURES)].mean().reset_index()


def impact_of(ablation: pd.DataFrame, mode: str) -> pd.DataFrame:
    """``layer``, ``slot``, ``impact_bits`` of one ``mode`` of a table with ``mode``, ``layer``, ``slot``,
    ``nll_change_bits``."""
    impact = ablation.loc[ablation["mode"] == mode, ["layer", "slot", "nll_change_bits"]]
    return impact.rename(columns={"nll_change_bits": "impact_bits"})


def correlation_table(swap: pd.DataFrame, impact: pd.DataFrame) -> pd.DataFrame:
    """``swap_correlation``: does a swap break what an ablation breaks? Over the slots of the swap matrix of each run.

    Parameters
    ----------
    swap : rows of ``memory_layer_swap`` of a run
    impact : ``layer``, ``slot``, ``impact_bits``, what the ablation of a slot costs

    Returns
    -------
    DataFrame: ``condition``, ``seed``, ``kind``, ``layer``, ``measure`` of ``swap_effect``, ``n`` slots, Spearman's
    ``rho`` of this effect and the impact, with ``low`` and ``high``
    """
    both = swap_effect(swap).merge(impact[["layer", "slot", "impact_bits"]], on=["layer", "slot"])
    rows = [
        (*of, measure, len(part), *spearman(part[measure], part["impact_bits"]))
        for of, part in both.groupby(OF_SLOTS[:-1], sort=False)
        for measure in MEASURES
    ]
    return pd.DataFrame(rows, columns=list(CORRELATION)).astype(CORRELATION)


def correlation_over_seeds(correlations: pd.DataFrame) -> Mapping[tuple, tuple[float, float, float]]:
    """By condition, kind, layer, measure: the mean ρ of seeds and its t interval, of rows of ``swap_correlation``."""
    of = correlations.groupby(["condition", "kind", "layer", "measure"], sort=False)["rho"]
    return {keys: t_interval(rho.to_numpy()) for keys, rho in of}
