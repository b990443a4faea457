"""What old facts lose while new ones are learned, beside what their shared slots foretell."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch

from memorization.memory_layer.evaluation.tables import by_token
from memorization.memory_layer.model import memories
from memorization.memory_layer.training import FactLearner, Facts, answers, passes_of, start
from memorization.memory_layer.value_updates import layers_of_pools
from memorization.models.decoder import Decoder

ENTRIES = 2**25  # of weights on slots that are held at once: 128 MB
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
    for part in _parts(model, new):
        for layer, weight in slot_weights(model, facts, part).items():
            moved[layer] += weight.sum(axis=0)
    if condition["value_update"] == "top_t":
        moves = _moves(condition, facts, pretrained, seed, device)
        moved = {layer: moved[layer] * share for layer, share in zip(moved, moves, strict=True)}
    overlap = np.concatenate([_overlap(slot_weights(model, facts, part), moved) for part in _parts(model, old)])
    of = by_token(model, facts, old).groupby("row")
    nll, exact = of["nll"].sum() / LN2, of["right"].all()
    columns = {
        "item": after["item"].iloc[old].to_numpy(),
        "overlap": overlap if moved else np.nan,
        "nll_before_bits": nll.to_numpy(),
        "nll_after_bits": after["nll_bits"].iloc[old].to_numpy(),
        "exact_before": exact.to_numpy(),
        "exact_after": after["exact"].iloc[old].to_numpy(),
    }
    return pd.DataFrame({**run, **columns})[list(COLUMNS)]


def _parts(model: Decoder, rows: np.ndarray) -> list[np.ndarray]:
    """Rows in parts whose weights on all slots are about ``ENTRIES`` numbers in a layer."""
    n_slots = max((memory.n_slots for memory in memories(model).values()), default=1)
    return np.array_split(rows, -(-len(rows) * n_slots // ENTRIES))


def _overlap(weights: Mapping[int, np.ndarray], moved: Mapping[int, np.ndarray]) -> np.ndarray:
    """Of some rows, from their weights on slots and those of the rows that move, by layer: (n,)."""
    of_layers = [
        weight @ (moved[layer] / (moved[layer].sum() or 1.0)) * weight.shape[1] for layer, weight in weights.items()
    ]
    return np.mean(of_layers, axis=0) if of_layers else np.zeros(0)


def slot_weights(model: Decoder, facts: Facts, rows: np.ndarray) -> dict[int, np.ndarray]:
    """By layer, the share of weight that each row's answer has on each slot: (n, n_slots) float32, rows sum to 1."""
    shares = {n: np.zeros((len(rows), memory.n_slots), np.float32) for n, memory in memories(model).items()}
    done = 0
    for part, at, _, _, retrieved in answers(model, facts, rows):
        for layer, _, weights, slots in retrieved:
            row = at[:, None, None].expand_as(slots).cpu().numpy() + done
            np.add.at(shares[layer], (row, slots.cpu().numpy()), weights.cpu().numpy())
        done += len(part)
    return {layer: each / np.maximum(each.sum(axis=1, keepdims=True), 1e-12) for layer, each in shares.items()}


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
