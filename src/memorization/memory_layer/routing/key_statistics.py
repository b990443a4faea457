"""Each head's keys: how often, where and how strongly their slots are retrieved; clusters of keys and values."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import torch

from memorization.memory_layer.nulls import beside
from memorization.memory_layer.routing.clusters import clustered
from memorization.models.memory_layer import Memory, ProductKeyMemory

EXAMPLES = 5  # of a slot that are named
NORMS = ("key_norm", "half_norm_1", "half_norm_2")
KEY_STATISTICS = {
    "head": int, "slot": int, "count": int, "weight": float, "weight_variance": float, "score_mean": float,
    "score_variance": float, "key_norm": float, "half_norm_1": float, "half_norm_2": float, "n_examples": int,
    "n_text_positions": int,
}  # fmt: skip
OCCURRENCES = {"slot": int, "split": str, "item": str, "count": int, "weight": float, "n_examples": int}
CLUSTERS = {
    "of": str, "head": int, "silhouette": float, "null_silhouette": float, "null_low": float, "null_high": float,
    "p": float, "smallest_p": float, "clusters": int, "n": int,
}  # fmt: skip


@torch.no_grad()
def key_norms(memory: Memory) -> dict[str, np.ndarray]:
    """Norms of each head's keys, (n_heads, n_slots) by ``NORMS``; flat keys have no halves, theirs are NaN."""
    norms = memory.keys.norm(dim=-1).double().cpu().numpy()
    if not isinstance(memory, ProductKeyMemory):
        nothing = np.full(norms.shape, np.nan)
        return dict(zip(NORMS, (norms, nothing, nothing), strict=True))
    first, second = np.repeat(norms[:, 0], memory.n_keys, axis=1), np.tile(norms[:, 1], memory.n_keys)
    return dict(zip(NORMS, (np.hypot(first, second), first, second), strict=True))


def key_statistics_table(
    memory: Memory, moments: Mapping[str, np.ndarray], tallies: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """``key_statistics``: a row for each head and slot of a layer.

    Parameters
    ----------
    memory : of the layer
    moments : ``SlotSums.moments``
    tallies : ``Tally.table`` by ``row`` and ``text_position``

    Returns
    -------
    DataFrame: ``head``, ``slot``; ``count`` of retrievals, 0 where the head has none at these places, ``weight``, their
    sum; ``weight_variance``, ``score_mean``, ``score_variance`` over them; ``key_norm`` (of product keys, of both
    halves as one vector), ``half_norm_1``, ``half_norm_2``; ``n_examples``, texts, and ``n_text_positions``, where the
    head retrieves it.
    """
    head, slot = (each.ravel() for each in np.indices((memory.n_heads, memory.n_slots)))
    values = {name: each.ravel() for name, each in (moments | key_norms(memory)).items()}
    for name, of in (("n_examples", "row"), ("n_text_positions", "text_position")):
        tally = tallies[of]
        values[name] = np.bincount(tally["head"] * memory.n_slots + tally["slot"], minlength=len(slot))
    return pd.DataFrame({"head": head, "slot": slot} | values)[list(KEY_STATISTICS)].astype(KEY_STATISTICS)


def occurrences_table(tally: pd.DataFrame, data: pd.DataFrame, n_slots: int) -> pd.DataFrame:
    """``occurrences``: of the most used slots of a layer the texts in which they have the most weight.

    Parameters
    ----------
    tally : ``Tally.table`` by row of ``data``
    data : a data set
    n_slots : those of the largest weight, of all heads together

    Returns
    -------
    DataFrame: ``slot``, ``split``, ``item``; ``count`` and ``weight`` in this text, of all heads; ``n_examples``, texts
    in which the slot occurs. ``EXAMPLES`` rows a slot at most, the largest weight first.
    """
    most = tally.groupby("slot")["weight"].sum().sort_values(ascending=False, kind="stable").index[:n_slots]
    cells = tally[tally["slot"].isin(most)].groupby(["slot", "label"])[["count", "weight"]].sum().reset_index()
    cells["n_examples"] = cells.groupby("slot")["label"].transform("size")
    cells = cells.sort_values("weight", ascending=False, kind="stable").groupby("slot").head(EXAMPLES)
    cells = cells.assign(place=cells["slot"].map({slot: n for n, slot in enumerate(most)}))
    cells = cells.sort_values(["place", "weight"], ascending=[True, False], kind="stable")
    about = {name: data[name].to_numpy()[cells["label"]] for name in ("split", "item")}
    return cells.assign(**about)[list(OCCURRENCES)].reset_index(drop=True).astype(OCCURRENCES)


@torch.no_grad()
def vectors(memory: Memory, weight: np.ndarray, n_slots: int) -> Iterator[tuple[str, int, np.ndarray]]:
    """What may lie in clusters: values of the most used slots, and each head's keys, of product keys by halves.

    Slots that share a half key have product keys that are alike by construction: their halves are looked at instead.

    Parameters
    ----------
    weight : (n_heads, n_slots), of each head's retrievals
    n_slots : at most so many, of the largest weight; of halves those of the largest weight of their slots

    Yields
    ------
    ``values``, ``keys``, ``half_keys_1`` or ``half_keys_2``; the head, -1 for values, which heads share; (n, width)
    """
    yield "values", -1, memory.values.weight[_most(weight.sum(axis=0), n_slots)].double().cpu().numpy()
    keys = memory.keys.double().cpu().numpy()
    for head, of_head in enumerate(weight):
        if not isinstance(memory, ProductKeyMemory):
            yield "keys", head, keys[head][_most(of_head, n_slots)]
            continue
        square = of_head.reshape(memory.n_keys, memory.n_keys)
        for half in (0, 1):
            yield f"half_keys_{half + 1}", head, keys[head, half][_most(square.sum(axis=1 - half), n_slots)]


def clusters_table(
    memory: Memory, weight: np.ndarray, n_slots: int, n_clusters: int, n_permutations: int, rng: np.random.Generator
) -> pd.DataFrame:
    """``clusters``: the mean silhouette of k-means clusters of used values and keys, beside permuted vectors.

    Permuted vectors have each coordinate shuffled among them: as spread along each axis, and not together.

    Parameters
    ----------
    memory, weight : of a layer; weight (n_heads, n_slots)
    n_slots, n_clusters, n_permutations : vectors, clusters and shuffles

    Returns
    -------
    DataFrame: ``of`` and ``head``, as ``vectors`` names them; ``silhouette``; ``null_silhouette``, ``null_low``,
    ``null_high``, the mean of shuffles and the range of 95% of them; ``p``, ``smallest_p``; all NaN of fewer vectors
    than twice the clusters; ``clusters`` and ``n`` vectors.
    """
    rows = []
    for name, head, x in vectors(memory, weight, n_slots):
        values = (np.nan,) * 6
        if len(x) >= 2 * n_clusters:
            found = clustered(x, n_clusters, rng)
            null = [clustered(rng.permuted(x, axis=0), n_clusters, rng) for _ in range(n_permutations)]
            values = found, *beside(found, np.array(null))
        rows.append((name, head, *values, n_clusters, len(x)))
    return pd.DataFrame(rows, columns=list(CLUSTERS)).astype(CLUSTERS)


def _most(weight: np.ndarray, n: int) -> np.ndarray:
    """The places of the n largest weights above 0, the largest first."""
    return np.argsort(-weight, kind="stable")[: min(n, int((weight > 0).sum()))]
