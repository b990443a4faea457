"""What old facts lose while new ones are learned, beside what their shared slots foretell."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from memorization.memory_layer.evaluation.tables import by_token
from memorization.memory_layer.model import Retrieved, memories
from memorization.memory_layer.training import FactLearner, Facts, answers, passes_of, start
from memorization.memory_layer.value_updates import layers_of_pools

LN2 = np.log(2)
COLUMNS = ("condition", "seed", "item", "overlap", "nll_before_bits", "nll_after_bits", "exact_before", "exact_after")


def forgetting_table(
    condition: Mapping,
    facts: Facts,
    after: pd.DataFrame,
    pretrained: str | None,
    seed: int,
    device: str,
    run: Mapping,
) -> pd.DataFrame:
    """``forgetting``: of each old fact its overlap with the new ones before these were trained, and what it lost.

    The overlap is Σ over slots of the old fact's share of weight on a slot and the new facts' share of weight on it,
    in units of uniform use, 1/S, the mean over layers: 1 where both are spread evenly, 0 where they share no slot. With
    ``top_t`` the new facts' weight counts on the rows that their batches would move.

    Parameters
    ----------
    after : ``by_fact`` at the end
    pretrained : the checkpoint that the training began with; the table is empty without
    """
    old = np.flatnonzero(~np.isin(facts.split, condition["train_on"]) & (facts.copies > 0))
    if pretrained is None or not len(old):
        types = {"item": str, "exact_before": bool, "exact_after": bool, "seed": int, "condition": str}
        return pd.DataFrame({name: pd.Series(dtype=types.get(name, float)) for name in COLUMNS})
    model = start(condition, facts, seed, pretrained).to(device)
    new = np.flatnonzero(np.isin(facts.split, condition["train_on"]) & (facts.copies > 0))
    moved = {layer: np.zeros(memory.n_slots) for layer, memory in memories(model).items()}
    for part, at, _, _, retrieved in answers(model, facts, new):
        for layer, _, slot, share in slot_shares(part[at.cpu().numpy()], retrieved):
            moved[layer] += np.bincount(slot, share, minlength=len(moved[layer]))
    if condition["value_update"] == "top_t":
        moves = _moves(condition, facts, pretrained, seed, device)
        moved = {layer: moved[layer] * share for layer, share in zip(moved, moves, strict=True)}
    overlap = np.zeros(len(facts))

    def add_overlap(row: np.ndarray, retrieved: Sequence[Retrieved]) -> None:
        for layer, of_row, slot, share in slot_shares(row, retrieved):
            in_uniform = moved[layer][slot] * len(moved[layer]) / (moved[layer].sum() or 1.0)
            overlap[:] += np.bincount(of_row, share * in_uniform / len(moved), minlength=len(facts))

    of = by_token(model, facts, old, add_overlap).groupby("row")
    nll, exact = of["nll"].sum() / LN2, of["right"].all()
    columns = {
        "item": after["item"].iloc[old].to_numpy(),
        "overlap": overlap[old] if moved else np.nan,
        "nll_before_bits": nll.to_numpy(),
        "nll_after_bits": after["nll_bits"].iloc[old].to_numpy(),
        "exact_before": exact.to_numpy(),
        "exact_after": after["exact"].iloc[old].to_numpy(),
    }
    return pd.DataFrame({**run, **columns})[list(COLUMNS)]


def slot_shares(
    row: np.ndarray, retrieved: Sequence[Retrieved]
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """What the answers of some rows retrieve.

    Parameters
    ----------
    row : (m,), of each token of their answers
    retrieved : what the memories retrieved for these

    Yields
    ------
    a layer with a memory; of each retrieval the row, the slot, and its share of the weight that the row's answer has in
    the layer, (n,) each: the shares of a row sum to 1
    """
    for layer, _, weights, slots in retrieved:
        of_row = np.repeat(row, slots[0].numel())
        weight = weights.flatten().double().cpu().numpy()
        yield layer, of_row, slots.flatten().cpu().numpy(), weight / np.bincount(of_row, weight)[of_row]


def _moves(condition: Mapping, facts: Facts, pretrained: str, seed: int, device: str) -> list[np.ndarray]:
    """By layer with a memory, in what share of the batches of a first pass each slot would move."""
    learner = FactLearner(condition, facts, seed, device, pretrained)
    passes = passes_of(condition, facts, seed)
    number = -(-len(passes) // condition["batch_size"])
    moved = {first: torch.zeros(len(top.df)) for first, top in learner.top_t.items()}
    for n in range(1, number + 1):
        for first, counts in learner.retrievals(passes.batch(n)).items():
            moved[first][learner.top_t[first].rows(counts).cpu()] += 1 / number
    read = layers_of_pools(learner.model)
    return [moved[first].numpy() for n in memories(learner.model) for first in read if n in read[first]]
