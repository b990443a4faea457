"""The tables of a run's ablations, from its checkpoint and its data set."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from torch import Tensor

from memorization.memory_layer.ablation import tables
from memorization.memory_layer.ablation.cuts import cuts
from memorization.memory_layer.ablation.edits import VALUE_MODES, allowed_modes, n_units
from memorization.memory_layer.ablation.parts import KEYS, means, part_impact
from memorization.memory_layer.ablation.slots import slot_impact
from memorization.memory_layer.model import build, memories, pools
from memorization.memory_layer.training import Facts, followed_rows, passes_of
from memorization.models.decoder import Decoder
from memorization.models.memory_layer import PEER, Memory
from memorization.provenance import generator

TEXT = dict.fromkeys(("condition", "mode", "split", "item", "part"), str)
WHOLE = dict.fromkeys(("seed", "layer", "half", "slot", "position", "n", "lost", "gained", "n_changed"), np.int64)
WHOLE |= dict.fromkeys(("number", "exposures", "cut", "n_slots", "n_answers"), np.int64)
TRUTHS = dict.fromkeys(("exact_before", "exact_after", "changed", "flipped"), bool)
OF = ("condition", "seed", "mode", "layer")
COLUMNS = {
    "impact": ("half", "slot", "split", "item", "nll_change_bits", "exact_before", "exact_after", "changed"),
    "ablation": ("half", "slot", "n", "lost", "gained", "n_changed", "nll_change_bits", "most_bits"),
    "ablation_positions": ("half", "slot", "position", "n", "lost", "gained", "nll_change_bits"),
    "ablation_shares": (
        "n_slots", "unused", "redundant", "deciding", "n_answers", "exact_share", "fragile", "lost_share", "most_bits",
    ),
}  # fmt: skip
CUTS = ("condition", "seed", "split", "item", "exposures", "cut", "flipped")
ANSWERS = ("split", "item", "exact_before", "exact_after", "nll_before_bits", "nll_after_bits")
MEANS = ("split", "n", "exact_before", "exact_after", "lost", "nll_before_bits", "nll_after_bits")


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
    """What the answers of trained facts lose with each slot; empty tables for a model without a memory, or of peers.

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
    ``impact`` (``tables.by_answer``), ``ablation`` (``by_slot``), ``ablation_positions`` (``by_position``),
    ``ablation_shares`` (``shares``), of every mode and layer; ``cuts``, with the exposures of each fact
    """
    facts, run = Facts(arrays, device), {"condition": name, "seed": seed}
    model = model_of(condition, facts, state, device)
    rows, items = trained_rows(condition, facts, settings["n_items"]), data["item"].to_numpy()
    parts = {table: [_empty((*OF, *columns))] for table, columns in COLUMNS.items()}
    for layer, memory in ablatable(model).items():
        for mode in modes_of(model, layer, settings["modes"]):
            rng = generator("memory_layer", seed, "ablation", mode, layer)
            impact, base = slot_impact(model, facts, rows, layer, mode, rng)
            of, answers = run | {"mode": mode, "layer": layer}, tables.by_answer(impact, base)
            slots = tables.by_slot(answers)
            found = {"impact": _with_items(answers, facts, items), "ablation": slots}
            found |= {"ablation_positions": tables.by_position(impact)}
            found |= {"ablation_shares": pd.DataFrame([tables.shares(slots, answers, n_units(memory, mode), base)])}
            for table, part in found.items():
                parts[table].append(part.assign(**of)[[*OF, *COLUMNS[table]]])
    whole = {table: pd.concat(some[1:] or some, ignore_index=True) for table, some in parts.items()}
    return whole | {"cuts": _cuts(condition, model, facts, items, settings, run)}


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
    """
    facts, run = Facts(arrays, device), {"condition": name, "seed": seed}
    model, rows = model_of(condition, facts, state, device), trained_rows(condition, facts, settings["n_items"])
    rng = generator("memory_layer", seed, "ablation", "parts")
    parts = part_impact(model, facts, rows, settings["groups"], rng)
    answers = _with_items(parts, facts, data["item"].to_numpy()).assign(**run)
    of = ["condition", "seed", *KEYS]
    return {
        "part_answers": answers[[*of, *ANSWERS]],
        "ablation_parts": means(parts, facts.split).assign(**run)[[*of, *MEANS]],
    }


def model_of(condition: Mapping, facts: Facts, state: Mapping[str, Tensor], device: str) -> Decoder:
    """The model of a run, with its tensors."""
    model = build(condition, facts.vocabulary, facts.length).to(device)
    model.load_state_dict(state)
    return model.eval()


def trained_rows(condition: Mapping, facts: Facts, n_items: int) -> np.ndarray:
    """The first rows of each group of each split that is trained, ascending."""
    rows = followed_rows(facts, n_items)
    return rows[np.isin(facts.split[rows], condition["train_on"]) & (facts.copies[rows] > 0)]


def ablatable(model: Decoder) -> dict[int, Memory]:
    """The memories by layer whose slots can be ablated."""
    return {layer: memory for layer, memory in memories(model).items() if not isinstance(memory, PEER)}


def modes_of(model: Decoder, layer: int, wanted: list[str]) -> list[str]:
    """Those of the wanted modes that a layer's memory has: those of values in the first layer that reads them."""
    allowed = [mode for mode in allowed_modes(memories(model)[layer]) if mode in wanted]
    return [mode for mode in allowed if mode not in VALUE_MODES or layer in pools(model)]


def _cuts(
    condition: Mapping, model: Decoder, facts: Facts, items: np.ndarray, settings: Mapping, run: Mapping
) -> pd.DataFrame:
    """``cuts`` of a memory in the last layer, with exposures."""
    layer = len(model.layers) - 1
    if layer not in ablatable(model):
        return _empty(CUTS)
    rows = trained_rows(condition, facts, settings["n_cuts"])
    found = cuts(model, facts, rows, settings["max_cut"])
    exposures, _ = passes_of(condition, facts, run["seed"]).exposures(condition["steps"])
    found = _with_items(found.assign(exposures=exposures[found["row"]]), facts, items)
    return found.assign(**run)[list(CUTS)]


def _with_items(table: pd.DataFrame, facts: Facts, items: np.ndarray) -> pd.DataFrame:
    """A table of rows of the data set, with their splits and items."""
    return table.assign(split=facts.split[table["row"]], item=items[table["row"]])


def _empty(columns: tuple[str, ...]) -> pd.DataFrame:
    types = TEXT | WHOLE | TRUTHS
    return pd.DataFrame({name: pd.Series(dtype=types.get(name, float)) for name in columns})
