"""All tables of a run's routing, from its checkpoint and its data set."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from torch import Tensor

from memorization.memory_layer.evaluation.tables import by_fact, by_token
from memorization.memory_layer.model import build, memories
from memorization.memory_layer.routing import key_statistics, repeating_digits, spread
from memorization.memory_layer.routing.consistency import consistency_table
from memorization.memory_layer.routing.places import NONE, places, pool_of
from memorization.memory_layer.routing.retrievals import retrievals
from memorization.memory_layer.routing.tally import SlotSums, Tally
from memorization.memory_layer.training import Facts
from memorization.models.decoder import Decoder

LABELLINGS = ("type", "position", "answer_position", "row")


def route_tables(
    condition: Mapping,
    data: pd.DataFrame,
    arrays: Mapping[str, np.ndarray],
    state: Mapping[str, Tensor],
    settings: Mapping,
    rng: np.random.Generator,
    name: str,
    seed: int,
    device: str,
) -> dict[str, pd.DataFrame]:
    """The routing tables of a run, by name.

    Parameters
    ----------
    condition : its settings
    data, arrays : its data set, as a table and as tokens
    state : its tensors
    settings : ``n_texts`` trained texts that are looked at, ``n_places`` of their places that are compared, ``n_pairs``
        of a comparison, ``n_slots`` most used ones, in ``n_clusters``, ``n_permutations`` of every null
    rng : of the texts, places, pairs and shuffles; conditions of one data set look at the same ones
    name, seed : the run
    device : where it is evaluated
    """
    facts, run = Facts(arrays, device), {"condition": name, "seed": seed}
    model = build(condition, facts.vocabulary, facts.length).to(device)
    model.load_state_dict(state)
    trained = np.flatnonzero(np.isin(facts.split, condition["train_on"]) & (facts.copies > 0))
    rows = np.sort(rng.permutation(trained)[: settings["n_texts"]])
    table = places(arrays, rows)
    pool = pool_of(table, settings["n_places"], rng)
    tallies, moments, of_pool = collect(model, facts, rows, table, pool)
    found = memories(model)
    n_permutations, in_pool = settings["n_permutations"], table.iloc[pool].reset_index(drop=True)
    slots = {layer: each for layer, (_, each) in of_pool.items()}
    weights = {layer: each["weight"] for layer, each in moments.items()}
    shape = next(((memory.n_slots, memory.top_k) for memory in found.values()), (1, 1))
    sizes = {by: table[by][table[by] != NONE].value_counts().to_dict() for by in LABELLINGS[:3]}
    n_slots, n_clusters = settings["n_slots"], settings["n_clusters"]
    return {
        "routing": spread.routing_table({by: tallies[by] for by in LABELLINGS[:3]}, sizes, shape, run),
        "routing_overlap": spread.overlap_table(tallies["type"], run),
        "routing_information": spread.information_table(in_pool, of_pool, n_permutations, rng, run),
        "consistency": consistency_table(in_pool, slots, settings["n_pairs"], n_permutations, rng, run),
        "key_statistics": key_statistics.key_statistics_table(found, moments, tallies, run),
        "occurrences": key_statistics.occurrences_table(tallies["row"], data, n_slots, run),
        "clusters": key_statistics.clusters_table(found, weights, n_slots, n_clusters, n_permutations, rng, run),
        "repeating_digits": _repeating_digits(model, facts, data, run),
    }


def collect(
    model: Decoder, facts: Facts, rows: np.ndarray, table: pd.DataFrame, pool: np.ndarray
) -> tuple[dict[str, dict[int, pd.DataFrame]], dict[int, Mapping[str, np.ndarray]], dict[int, tuple]]:
    """What the memories retrieve at all places of some rows, in one pass.

    Parameters
    ----------
    table : ``places`` of the rows
    pool : places whose retrievals are kept, ascending

    Returns
    -------
    tallies : by labelling (``LABELLINGS``) and layer, ``Tally.table``
    moments : by layer, ``SlotSums.moments``
    kept : by layer, weights and slots of the pool, each (n, n_heads, top_k)
    """
    shapes = {layer: (memory.n_heads, memory.n_slots) for layer, memory in memories(model).items()}
    tallies = {by: {layer: Tally(*shape) for layer, shape in shapes.items()} for by in LABELLINGS}
    sums = {layer: SlotSums(*shape) for layer, shape in shapes.items()}
    kept: dict[int, list[tuple]] = {layer: [] for layer in shapes}
    done = 0
    for part in retrievals(model, facts, rows):
        n = len(next(iter(part.values()))[0])
        here = table.iloc[done : done + n]
        chosen = pool[np.searchsorted(pool, done) : np.searchsorted(pool, done + n)] - done
        done += n
        for layer, (scores, weights, slots) in part.items():
            sums[layer].add(scores, weights, slots)
            kept[layer].append((weights[chosen], slots[chosen]))
            for by, of_layers in tallies.items():
                of_layers[layer].add(here[by].to_numpy(), weights, slots)
    tables = {by: {layer: each.table() for layer, each in of_layers.items()} for by, of_layers in tallies.items()}
    moments = {layer: each.moments() for layer, each in sums.items()}
    return tables, moments, {n: tuple(map(np.concatenate, zip(*each, strict=True))) for n, each in kept.items()}


def _repeating_digits(model: Decoder, facts: Facts, data: pd.DataFrame, run: Mapping) -> pd.DataFrame:
    rows = np.arange(len(facts))
    if not repeating_digits.has_digits(data) or not memories(model):
        rows = rows[:0]
        nothing = pd.DataFrame({"recall": [], "nll_bits": []})
        return repeating_digits.repeating_digits_table(data, nothing, nothing, rows, run)
    use = repeating_digits.slot_use(model, facts, rows)
    recalled = by_fact(by_token(model, facts, rows), data, facts)
    return repeating_digits.repeating_digits_table(data, use, recalled, rows, run)
