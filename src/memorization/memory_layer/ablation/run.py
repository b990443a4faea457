"""The tables of a run's ablations, from its checkpoint and its data set."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from memorization.memory_layer.ablation import tables
from memorization.memory_layer.ablation.cuts import cuts
from memorization.memory_layer.ablation.edits import VALUE_MODES, allowed_modes, n_units
from memorization.memory_layer.ablation.forward import ablatable
from memorization.memory_layer.ablation.parts import means, part_impact
from memorization.memory_layer.ablation.slots import slot_impact
from memorization.memory_layer.model import pools
from memorization.memory_layer.trained_run import TrainedRun
from memorization.memory_layer.training import followed_rows, passes_of
from memorization.memory_layer.typed_tables import typed
from memorization.models.decoder import Decoder

TYPES = {
    "impact": tables.IMPACT,
    "ablation": tables.ABLATION,
    "ablation_positions": tables.POSITIONS,
    "ablation_shares": tables.SHARES,
}


def slot_tables(run: TrainedRun, settings: Mapping) -> dict[str, pd.DataFrame]:
    """What the answers of trained facts lose with each slot.

    Parameters
    ----------
    settings : ``modes`` (those that a memory does not have are passed over); ``n_items``, facts of each group of each
        trained split whose answers are looked at; ``n_cuts``, as many of these whose cuts are looked for, of at most
        ``max_cut`` slots

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
    rows = first_rows(run, settings["n_items"])
    parts: dict[str, list[pd.DataFrame]] = {table: [] for table in TYPES}
    for layer, memory in ablatable(run.model).items():
        for mode in modes_of(run.model, layer, settings["modes"]):
            rng = run.stream("ablation", mode, layer)
            impact, base = slot_impact(run.model, run.facts, rows, layer, mode, rng)
            answers = tables.by_answer(impact)
            slots = tables.by_slot(answers)
            shares = tables.shares(slots, answers, n_units(memory, mode), base)
            found = _with_items(impact, run), slots, tables.by_position(impact), pd.DataFrame([shares])
            for table, part in zip(TYPES, found, strict=True):
                parts[table].append(part.assign(mode=mode, layer=layer))
    whole = {table: typed(parts[table], types, run.about) for table, types in TYPES.items()}
    return whole | {"cuts": typed(_cuts(run, settings), tables.CUTS, run.about)}


def part_tables(run: TrainedRun, settings: Mapping) -> dict[str, pd.DataFrame]:
    """How trained facts are answered without parts of the model.

    Parameters
    ----------
    settings : ``groups``, numbers of slots, and ``n_items``

    Returns
    -------
    ``part_answers``, of each fact (``parts.part_impact``), and ``ablation_parts``, their means (``parts.means``)

    Raises
    ------
    ValueError
        As ``parts.part_impact``.
    """
    rows, rng = first_rows(run, settings["n_items"]), run.stream("ablation", "parts")
    parts = part_impact(run.model, run.facts, rows, settings["groups"], rng)
    return {
        "part_answers": typed([_with_items(parts, run)], tables.PART_ANSWERS, run.about),
        "ablation_parts": typed([means(parts, run.facts.split)], tables.PARTS, run.about),
    }


def first_rows(run: TrainedRun, n_items: int) -> np.ndarray:
    """Of the first rows of each group of each split those that the run is trained on, ascending."""
    return np.intersect1d(followed_rows(run.facts, n_items), run.trained)


def modes_of(model: Decoder, layer: int, wanted: list[str]) -> list[str]:
    """Those of the wanted modes that a layer's memory has: those of values in the first layer that reads them."""
    allowed = [mode for mode in allowed_modes(ablatable(model)[layer]) if mode in wanted]
    return [mode for mode in allowed if mode not in VALUE_MODES or layer in pools(model)]


def _cuts(run: TrainedRun, settings: Mapping) -> list[pd.DataFrame]:
    """``cuts``, with exposures; none without a memory in the last layer."""
    if len(run.model.layers) - 1 not in ablatable(run.model):
        return []
    found = cuts(run.model, run.facts, first_rows(run, settings["n_cuts"]), settings["max_cut"])
    exposures, _ = passes_of(run.condition, run.facts, run.seed).exposures(run.condition["steps"])
    return [_with_items(found.assign(exposures=exposures[found["row"]]), run)]


def _with_items(table: pd.DataFrame, run: TrainedRun) -> pd.DataFrame:
    """A table of rows of the data set, with their splits and items."""
    return table.assign(split=run.facts.split[table["row"]], item=run.items[table["row"]])
