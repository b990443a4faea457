"""The tables of a run's ablations, from its checkpoint and its data set."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from torch import Tensor

from memorization.memory_layer.ablation import tables
from memorization.memory_layer.ablation.cuts import cuts
from memorization.memory_layer.ablation.edits import VALUE_MODES, allowed_modes, n_units
from memorization.memory_layer.ablation.forward import ablatable
from memorization.memory_layer.ablation.parts import means, part_impact
from memorization.memory_layer.ablation.slots import slot_impact
from memorization.memory_layer.model import pools
from memorization.memory_layer.training import Facts, followed_rows, passes_of, restored
from memorization.memory_layer.typed_tables import typed
from memorization.models.decoder import Decoder
from memorization.provenance import generator

TYPES = {
    "impact": tables.IMPACT,
    "ablation": tables.ABLATION,
    "ablation_positions": tables.POSITIONS,
    "ablation_shares": tables.SHARES,
}


def slot_tables(
    condition: Mapping,
    data: pd.DataFrame,
    arrays: Mapping[str, np.ndarray],
    state: Mapping[str, Tensor],
    settings: Mapping,
    name: str,
    seed: int,
    device: str,
) -> dict[str, pd.DataFrame]:
    """What the answers of trained facts lose with each slot.

    Parameters
    ----------
    condition : its settings
    data, arrays : its data set, as a table and as tokens
    state : the model's tensors
    settings : ``modes`` (those that a memory does not have are passed over); ``n_items``, facts of each group of each
        trained split whose answers are looked at; ``n_cuts``, as many of these whose cuts are looked for, of at most
        ``max_cut`` slots
    name, seed : the run
    device : where it is done

    Returns
    -------
    ``impact`` (``slots.slot_impact``), ``ablation`` (``tables.by_slot``), ``ablation_positions`` (``by_position``),
    ``ablation_shares`` (``shares``), of every mode and layer; ``cuts``, with the exposures of each fact, of a memory in
    the last layer

    Raises
    ------
    ValueError
        If the condition is of arm peer.
    """
    facts, run = Facts(arrays, device), {"condition": name, "seed": seed}
    model, items = restored(condition, facts, state), data["item"].to_numpy()
    rows = trained_rows(condition, facts, settings["n_items"])
    parts: dict[str, list[pd.DataFrame]] = {table: [] for table in TYPES}
    for layer, memory in ablatable(model).items():
        for mode in modes_of(model, layer, settings["modes"]):
            rng = generator("memory_layer", condition["dataset"], seed, "ablation", mode, layer)
            impact, base = slot_impact(model, facts, rows, layer, mode, rng)
            answers = tables.by_answer(impact)
            slots = tables.by_slot(answers)
            shares = tables.shares(slots, answers, n_units(memory, mode), base)
            found = _with_items(impact, facts, items), slots, tables.by_position(impact), pd.DataFrame([shares])
            for table, part in zip(TYPES, found, strict=True):
                parts[table].append(part.assign(mode=mode, layer=layer))
    whole = {table: typed(parts[table], types, run) for table, types in TYPES.items()}
    return whole | {"cuts": typed(_cuts(condition, model, facts, items, settings, seed), tables.CUTS, run)}


def part_tables(
    condition: Mapping,
    data: pd.DataFrame,
    arrays: Mapping[str, np.ndarray],
    state: Mapping[str, Tensor],
    settings: Mapping,
    name: str,
    seed: int,
    device: str,
) -> dict[str, pd.DataFrame]:
    """How trained facts are answered without parts of the model.

    Parameters
    ----------
    as in ``slot_tables``; of ``settings``: ``groups``, numbers of slots, and ``n_items``

    Returns
    -------
    ``part_answers``, of each fact (``parts.part_impact``), and ``ablation_parts``, their means (``parts.means``)

    Raises
    ------
    ValueError
        As ``parts.part_impact``.
    """
    facts, run = Facts(arrays, device), {"condition": name, "seed": seed}
    rng = generator("memory_layer", condition["dataset"], seed, "ablation", "parts")
    rows = trained_rows(condition, facts, settings["n_items"])
    parts = part_impact(restored(condition, facts, state), facts, rows, settings["groups"], rng)
    return {
        "part_answers": typed([_with_items(parts, facts, data["item"].to_numpy())], tables.PART_ANSWERS, run),
        "ablation_parts": typed([means(parts, facts.split)], tables.PARTS, run),
    }


def trained_rows(condition: Mapping, facts: Facts, n_items: int) -> np.ndarray:
    """Of the first rows of each group of each split those that the condition trains on, ascending."""
    return np.intersect1d(followed_rows(facts, n_items), facts.trained(condition))


def modes_of(model: Decoder, layer: int, wanted: list[str]) -> list[str]:
    """Those of the wanted modes that a layer's memory has: those of values in the first layer that reads them."""
    allowed = [mode for mode in allowed_modes(ablatable(model)[layer]) if mode in wanted]
    return [mode for mode in allowed if mode not in VALUE_MODES or layer in pools(model)]


def _cuts(
    condition: Mapping, model: Decoder, facts: Facts, items: np.ndarray, settings: Mapping, seed: int
) -> list[pd.DataFrame]:
    """``cuts``, with exposures; none without a memory in the last layer."""
    if len(model.layers) - 1 not in ablatable(model):
        return []
    found = cuts(model, facts, trained_rows(condition, facts, settings["n_cuts"]), settings["max_cut"])
    exposures, _ = passes_of(condition, facts, seed).exposures(condition["steps"])
    return [_with_items(found.assign(exposures=exposures[found["row"]]), facts, items)]


def _with_items(table: pd.DataFrame, facts: Facts, items: np.ndarray) -> pd.DataFrame:
    """A table of rows of the data set, with their splits and items."""
    return table.assign(split=facts.split[table["row"]], item=items[table["row"]])
