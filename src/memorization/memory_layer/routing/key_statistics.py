"""Each head's keys: how often, where and how strongly their slots are retrieved; clusters of keys and values."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import torch

from memorization.memory_layer.routing.clusters import clustered
from memorization.memory_layer.routing.spread import beside
from memorization.models.memory_layer import Memory, ProductKeyMemory

EXAMPLES = 5  # of a slot that are named
NORMS = ("key_norm", "half_norm_1", "half_norm_2")
MOMENTS = ("count", "weight", "weight_variance", "score_mean", "score_variance")


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
    memories: Mapping[int, Memory],
    moments: Mapping[int, Mapping[str, np.ndarray]],
    tallies: Mapping[str, Mapping[int, pd.DataFrame]],
    run: Mapping,
) -> pd.DataFrame:
    """``key_statistics``: a row for each layer, head and slot.

    Parameters
    ----------
    memories : by layer
    moments : ``SlotSums.moments`` by layer
    tallies : ``Tally.table`` by ``row`` and ``position``, by layer

    Returns
    -------
    DataFrame: ``layer``, ``head``, ``slot``; ``count`` of retrievals, ``weight``, their sum; ``weight_variance``,
    ``score_mean``, ``score_variance`` over them; ``key_norm`` (of product keys, of both halves as one vector),
    ``half_norm_1``, ``half_norm_2``; ``n_examples``, texts, and ``n_positions``, positions in a text, where the head
    retrieves it; ``unused``, whether it never does.
    """
    ints, floats = ("layer", "head", "slot", "count"), (*MOMENTS[1:], *NORMS)
    types = dict.fromkeys(ints, int) | dict.fromkeys(floats, float)
    types |= {"n_examples": int, "n_positions": int, "unused": bool}
    parts = [pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})]
    for layer, memory in memories.items():
        shape = memory.n_heads, memory.n_slots
        head, slot = (each.ravel() for each in np.indices(shape))
        values = {name: each.ravel() for name, each in (moments[layer] | key_norms(memory)).items()}
        for name, of in (("n_examples", "row"), ("n_positions", "position")):
            tally = tallies[of][layer]
            values[name] = np.bincount(tally["head"] * memory.n_slots + tally["slot"], minlength=len(slot))
        about = {"layer": layer, "head": head, "slot": slot, "unused": values["count"] == 0}
        parts.append(pd.DataFrame(about | values)[list(types)])
    return pd.concat(parts[1:] or parts, ignore_index=True).astype(types).assign(**run)[[*run, *types]]


def occurrences_table(
    tallies: Mapping[int, pd.DataFrame], data: pd.DataFrame, n_slots: int, run: Mapping
) -> pd.DataFrame:
    """``occurrences``: of the most used slots of a layer the texts in which they have the most weight.

    Parameters
    ----------
    tallies : ``Tally.table`` by row of ``data``, by layer
    data : a data set
    n_slots : those of the largest weight, of all heads together

    Returns
    -------
    DataFrame: ``layer``, ``slot``, ``split``, ``item``; ``count`` and ``weight`` in this text, of all heads;
    ``n_examples`` in which the slot occurs. ``EXAMPLES`` rows a slot at most, the largest weight first.
    """
    types = {"layer": int, "slot": int, "split": str, "item": str, "count": int, "weight": float, "n_examples": int}
    parts = [pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})]
    for layer, tally in tallies.items():
        most = tally.groupby("slot")["weight"].sum().sort_values(ascending=False, kind="stable").index[:n_slots]
        cells = tally[tally["slot"].isin(most)].groupby(["slot", "label"])[["count", "weight"]].sum().reset_index()
        cells["n_examples"] = cells.groupby("slot")["label"].transform("size")
        cells = cells.sort_values("weight", ascending=False, kind="stable").groupby("slot").head(EXAMPLES)
        cells = cells.assign(place=cells["slot"].map({slot: n for n, slot in enumerate(most)}))
        cells = cells.sort_values(["place", "weight"], ascending=[True, False], kind="stable")
        about = {name: data[name].to_numpy()[cells["label"]] for name in ("split", "item")}
        parts.append(cells.assign(layer=layer, **about)[list(types)])
    return pd.concat(parts[1:] or parts, ignore_index=True).astype(types).assign(**run)[[*run, *types]]


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
    memories: Mapping[int, Memory],
    weights: Mapping[int, np.ndarray],
    n_slots: int,
    n_clusters: int,
    n_permutations: int,
    rng: np.random.Generator,
    run: Mapping,
) -> pd.DataFrame:
    """``clusters``: the mean silhouette of k-means clusters of used values and keys, beside permuted vectors.

    Permuted vectors have each coordinate shuffled among them: as spread along each axis, and not together.

    Parameters
    ----------
    memories, weights : by layer; weights (n_heads, n_slots)
    n_slots, n_clusters, n_permutations : vectors, clusters and shuffles

    Returns
    -------
    DataFrame: ``layer``; ``of`` and ``head``, as ``vectors`` names them; ``silhouette``; ``null_silhouette``,
    ``null_low``, ``null_high``, the mean of shuffles and the range of 95% of them; ``p``, ``smallest_p``; ``clusters``
    and ``n`` vectors. Fewer vectors than twice the clusters are left out.
    """
    values = ("silhouette", "null_silhouette", "null_low", "null_high", "p", "smallest_p")
    types = {"layer": int, "of": str, "head": int, **dict.fromkeys(values, float), "clusters": int, "n": int}
    rows = []
    for layer, memory in memories.items():
        for name, head, x in vectors(memory, weights[layer], n_slots):
            if len(x) < 2 * n_clusters:
                continue
            found = clustered(x, n_clusters, rng)
            null = [clustered(rng.permuted(x, axis=0), n_clusters, rng) for _ in range(n_permutations)]
            rows.append((layer, name, head, found, *beside(found, np.array(null)), n_clusters, len(x)))
    return pd.DataFrame(rows, columns=list(types)).astype(types).assign(**run)[[*run, *types]]


def _most(weight: np.ndarray, n: int) -> np.ndarray:
    """The places of the n largest weights above 0, the largest first."""
    return np.argsort(-weight, kind="stable")[: min(n, int((weight > 0).sum()))]
