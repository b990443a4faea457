"""What one pass over the answers keeps, so that an intervention recomputes the tokens that it concerns alone."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from memorization.memory_layer.ablation.forward import Kept, answer_places, keep, nll_bits, positions
from memorization.memory_layer.intervention.changes import exchanged, swapped
from memorization.memory_layer.model import memories
from memorization.memory_layer.training import Facts, answers
from memorization.models.decoder import Decoder


class Answered(NamedTuple):
    """The tokens of some rows' answers, in the order of rows, and what a layer's memory retrieves for them.

    ``row``, ``position`` in the answer, ``target``, ``given`` (the likeliest token): (n,) int64 each; ``nll_bits`` of
    the target. ``weights`` and ``slots``: (n, n_heads, top_k). ``residual`` and ``inner``, what the layer's norm gets
    and gives: (n, d_model) where nothing but the head comes after the layer and no other layer reads its pool, else
    None.
    """

    layer: int
    row: np.ndarray
    position: np.ndarray
    target: np.ndarray
    given: np.ndarray
    nll_bits: np.ndarray
    weights: Tensor
    slots: Tensor
    residual: Tensor | None
    inner: Tensor | None


@torch.no_grad()
def answered(model: Decoder, facts: Facts, rows: np.ndarray, layer: int) -> Answered:
    """Answer some rows, ascending, and keep what interventions on a layer's memory start from.

    Raises
    ------
    ValueError
        As ``ablation.forward.ablated``: if the layer has no memory, or one of arm peer.
    """
    parts = zip(*(_of_answers(kept) for kept in keep(model, facts, rows, layer)), strict=True)
    *numbers, weights, slots, residual, inner = parts
    ends = _ends_with(model, layer)
    vectors = (torch.cat(each) if ends else None for each in (residual, inner))
    return Answered(layer, *map(np.concatenate, numbers), torch.cat(weights), torch.cat(slots), *vectors)


def _of_answers(kept: Kept) -> tuple:
    """The fields of ``Answered`` behind the layer, of some texts."""
    here = answer_places(kept)
    row = kept.rows[kept.at.cpu().numpy()]
    numbers = positions(kept), kept.targets, kept.logits.argmax(dim=-1), nll_bits(kept.logits, kept.targets).double()
    vectors = kept.weights[here], kept.slots[here][..., :-1], kept.residual[here], kept.inner[here]
    return row, *(each.cpu().numpy() for each in numbers), *vectors


def largest(kept: Answered) -> np.ndarray:
    """Of each token the slot with the largest weight, summed over heads, (n,); ties go to the first head's."""
    slots, weights = kept.slots.flatten(1), kept.weights.flatten(1)
    summed = torch.stack([(weights * (slots == one[:, None])).sum(dim=1) for one in slots.T], dim=1)
    return slots.gather(1, summed.argmax(dim=1, keepdim=True))[:, 0].cpu().numpy()


def total_weights(kept: Answered) -> np.ndarray:
    """The weight of each slot over all tokens, to the last slot that is retrieved."""
    return torch.bincount(kept.slots.flatten(), kept.weights.flatten().double()).cpu().numpy()


@torch.no_grad()
def answers_after_swap(
    model: Decoder, facts: Facts, kept: Answered, tokens: np.ndarray, kind: str, i: int, j: int
) -> tuple[np.ndarray, np.ndarray]:
    """What some tokens are answered with slots i and j swapped.

    After the last layer only the head follows, so these tokens are recomputed from what it read. With a memory in an
    earlier layer the rows of these tokens run through the swapped model.

    Parameters
    ----------
    tokens : (m,), indices in ``kept``

    Returns
    -------
    likeliest tokens, bits of the targets: (m,) each
    """
    memory = memories(model)[kept.layer]
    if kept.residual is not None:
        inner, slots = kept.inner[tokens], exchanged(memory, kind, kept.slots[tokens], i, j)
        x = kept.residual[tokens] + memory.read(inner, kept.weights[tokens], slots)
        logits = model.head(model.final_norm(x)).float()
    else:
        rows = np.unique(kept.row[tokens])
        with swapped(memory, kind, i, j):
            of_rows = torch.cat([logits for _, _, logits, _, _ in answers(model, facts, rows)])
        logits = of_rows[np.searchsorted(np.flatnonzero(np.isin(kept.row, rows)), tokens)]
    bits = nll_bits(logits, torch.from_numpy(kept.target[tokens]).to(logits.device))
    return logits.argmax(dim=-1).cpu().numpy(), bits.double().cpu().numpy()


def _ends_with(model: Decoder, layer: int) -> bool:
    """Whether nothing but the head depends on what a layer's memory holds."""
    found = memories(model)
    return layer == len(model.layers) - 1 and sum(each.values is found[layer].values for each in found.values()) == 1
