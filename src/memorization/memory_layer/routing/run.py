"""All tables of a run's routing, from its checkpoint and its data set."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from memorization.memory_layer.evaluation.tables import by_fact, by_token
from memorization.memory_layer.model import memories
from memorization.memory_layer.routing import consistency, key_statistics, repeating_digits, spread
from memorization.memory_layer.routing.places import ANSWERS, NONE, TEXTS, counted, places, pool_of
from memorization.memory_layer.routing.retrievals import retrievals, slot_use
from memorization.memory_layer.routing.tally import SlotSums, Tally
from memorization.memory_layer.trained_run import TrainedRun
from memorization.memory_layer.training import Facts
from memorization.memory_layer.typed_tables import typed
from memorization.models.decoder import Decoder
from memorization.models.memory_layer import Memory

LABELLINGS = ("type", "text_position", "answer_position")
ROW = "row"
TYPES = {
    "routing": spread.ROUTING,
    "routing_overlap": spread.OVERLAP,
    "routing_information": spread.INFORMATION,
    "consistency": consistency.CONSISTENCY,
    "key_statistics": key_statistics.KEY_STATISTICS,
    "occurrences": key_statistics.OCCURRENCES,
    "clusters": key_statistics.CLUSTERS,
}
OF_LAYER = {"layer": int, "places": str}  # in all of these


class Retrieved(NamedTuple):
    """What a layer's memory retrieves at the places that count: ``Tally.table`` by labelling, ``SlotSums.moments``;
    and of the pool's places weights and slots, each (n, n_heads, top_k)."""

    tallies: dict[str, pd.DataFrame]
    moments: Mapping[str, np.ndarray]
    weights: np.ndarray
    slots: np.ndarray


def route_tables(run: TrainedRun, settings: Mapping) -> dict[str, pd.DataFrame]:
    """The routing tables of a run, by name.

    All but ``repeating_digits`` have ``layer`` and ``places``, which of the texts' places count there: ``answers``, in
    the last layer, those that predict a token of an answer; ``texts``, in a layer before it, all up to the last of
    these. What a memory reads elsewhere changes no answer, and is not trained. Conditions of one data set look at the
    same texts, places, pairs and shuffles.

    Parameters
    ----------
    settings : ``n_texts`` trained texts that are looked at, ``n_places`` of their places that are compared, ``n_pairs``
        of a comparison, ``n_slots`` most used ones, in ``n_clusters``, ``n_permutations`` of every null
    """
    model, facts, stream = run.model, run.facts, partial(run.stream, "routing")
    rows = np.sort(stream("texts").permutation(run.trained)[: settings["n_texts"]])
    table, last = places(facts.arrays, rows), len(model.layers) - 1
    layers = {layer: counted(table, layer == last) for layer in memories(model)}
    pools = {
        layer: some[pool_of(table.iloc[some], settings["n_places"], stream("places"))] for layer, some in layers.items()
    }
    found = collect(model, facts, rows, table, layers, pools)
    parts: dict[str, list[pd.DataFrame]] = {kind: [] for kind in TYPES}
    for layer, memory in memories(model).items():
        of_pool = table.iloc[pools[layer]].reset_index(drop=True)
        tables = layer_tables(memory, table.iloc[layers[layer]], of_pool, found[layer], run.data, settings, stream)
        for kind, part in tables.items():
            parts[kind].append(part.assign(layer=layer, places=ANSWERS if layer == last else TEXTS))
    tables = {kind: typed(parts[kind], OF_LAYER | types, run.about) for kind, types in TYPES.items()}
    digits = [_repeating_digits(model, facts, run.data)]
    return tables | {"repeating_digits": typed(digits, repeating_digits.REPEATING_DIGITS, run.about)}


def layer_tables(
    memory: Memory,
    table: pd.DataFrame,
    pool: pd.DataFrame,
    found: Retrieved,
    data: pd.DataFrame,
    settings: Mapping,
    stream: Callable[[str], np.random.Generator],
) -> dict[str, pd.DataFrame]:
    """The tables of ``TYPES`` of one layer.

    Parameters
    ----------
    memory : of the layer
    table, pool : the places that count in it, and those of the pool
    found : what it retrieves there
    data : the data set
    settings : as for ``route_tables``
    stream : a new random stream for a purpose
    """
    n_slots, n_permutations = settings["n_slots"], settings["n_permutations"]
    sizes = {by: table[by][table[by] != NONE].value_counts().to_dict() for by in LABELLINGS}
    tallies = {by: found.tallies[by] for by in LABELLINGS}
    of_pairs = settings["n_pairs"], n_permutations, stream("pairs")
    of_clusters = n_slots, settings["n_clusters"], n_permutations, stream("clusters")
    return {
        "routing": spread.routing_table(tallies, sizes, memory.n_slots, memory.top_k),
        "routing_overlap": spread.overlap_table(tallies["type"]),
        "routing_information": spread.information_table(
            pool, found.weights, found.slots, n_permutations, stream("labels")
        ),
        "consistency": consistency.consistency_table(pool, found.slots, *of_pairs),
        "key_statistics": key_statistics.key_statistics_table(memory, found.moments, found.tallies),
        "occurrences": key_statistics.occurrences_table(found.tallies[ROW], data, n_slots),
        "clusters": key_statistics.clusters_table(memory, found.moments["weight"], *of_clusters),
    }


def collect(
    model: Decoder,
    facts: Facts,
    rows: np.ndarray,
    table: pd.DataFrame,
    layers: Mapping[int, np.ndarray],
    pools: Mapping[int, np.ndarray],
) -> dict[int, Retrieved]:
    """What each layer's memory retrieves at places of some rows, in one pass.

    Parameters
    ----------
    table : ``places`` of the rows
    layers, pools : by layer the places that count, and of these those whose retrievals are kept, ascending
    """
    of = memories(model)
    shapes = {layer: (memory.n_heads, memory.n_slots) for layer, memory in of.items()}
    tallies = {layer: {by: Tally(*shape) for by in (*LABELLINGS, ROW)} for layer, shape in shapes.items()}
    sums = {layer: SlotSums(*shape) for layer, shape in shapes.items()}
    kept: dict[int, list[tuple]] = {layer: [] for layer in shapes}
    done = 0
    for part in retrievals(model, facts, rows):
        first, done = done, done + len(next(iter(part.values()))[0])
        for layer, (scores, weights, slots) in part.items():
            some, chosen = (_between(each[layer], first, done) for each in (layers, pools))
            here = table.iloc[first + some]
            sums[layer].add(scores[some], weights[some], slots[some])
            for by, tally in tallies[layer].items():
                tally.add(here[by].to_numpy(), weights[some], slots[some])
            kept[layer].append((weights[chosen], slots[chosen]))
    return {
        layer: Retrieved(
            {by: tally.table() for by, tally in tallies[layer].items()},
            sums[layer].moments(),
            *map(np.concatenate, zip(*kept[layer], strict=True)),
        )
        for layer in shapes
    }


def _between(places: np.ndarray, first: int, end: int) -> np.ndarray:
    """Those of ascending places that lie between two, counted from the first."""
    return places[np.searchsorted(places, first) : np.searchsorted(places, end)] - first


def _repeating_digits(model: Decoder, facts: Facts, data: pd.DataFrame) -> pd.DataFrame:
    rows = np.arange(len(facts))
    if not repeating_digits.has_digits(data) or not memories(model):
        nothing = pd.DataFrame({"recall": [], "nll_bits": []})
        return repeating_digits.repeating_digits_table(data, nothing, nothing, rows[:0])
    use = slot_use(model, facts, rows)
    recalled = by_fact(by_token(model, facts, rows), data, facts)
    return repeating_digits.repeating_digits_table(data, use, recalled, rows)
