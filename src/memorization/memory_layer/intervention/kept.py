"""What one pass over the answers keeps, so that an intervention recomputes the tokens that it concerns alone."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from memorization.memory_layer.intervention.changes import exchanged, pools_of, swapped
from memorization.memory_layer.model import memories
from memorization.memory_layer.training import Facts, answers
from memorization.models.decoder import Decoder

LN2 = np.log(2)


class Kept(NamedTuple):
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
def keep(model: Decoder, facts: Facts, rows: np.ndarray, layer: int) -> Kept:
    """Answer some rows, ascending, and keep what interventions on a layer's memory start from."""
    ends, norms, parts = _ends_with(model, layer), [], []
    hook = model.layers[layer].feed_forward_norm.register_forward_hook(
        lambda _, inputs, output: norms.append((inputs[0], output)) if ends else None
    )
    try:
        for part, at, logits, targets, retrieved in answers(model, facts, rows):
            (of_layer,) = [each for each in retrieved if each.layer == layer]
            at = at.cpu().numpy()
            numbers = (part[at], _positions(at), targets.cpu().numpy(), *_answered(logits, targets))
            parts.append((*numbers, of_layer.weights, of_layer.slots))
    finally:
        hook.remove()
    *numbers, weights, slots = zip(*parts, strict=True)
    residual, inner = (torch.cat(each) for each in zip(*norms, strict=True)) if ends else (None, None)
    return Kept(layer, *map(np.concatenate, numbers), torch.cat(weights), torch.cat(slots), residual, inner)


def largest(kept: Kept) -> np.ndarray:
    """Of each token the slot with the largest weight, summed over heads, (n,); of equals the one of the first head."""
    slots, weights = kept.slots.flatten(1), kept.weights.flatten(1)
    summed = torch.stack([(weights * (slots == one[:, None])).sum(dim=1) for one in slots.T], dim=1)
    return slots.gather(1, summed.argmax(dim=1, keepdim=True))[:, 0].cpu().numpy()


def total_weights(kept: Kept) -> np.ndarray:
    """The weight of each slot over all tokens, to the last slot that is retrieved."""
    return torch.bincount(kept.slots.flatten(), kept.weights.flatten().double()).cpu().numpy()


@torch.no_grad()
def answers_after_swap(
    model: Decoder, facts: Facts, kept: Kept, tokens: np.ndarray, kind: str, i: int, j: int
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
    return _answered(logits, torch.from_numpy(kept.target[tokens]).to(logits.device))


def _ends_with(model: Decoder, layer: int) -> bool:
    """Whether nothing but the head depends on what a layer's memory holds."""
    found = memories(model)
    pools = [id(pool) for memory in found.values() for pool in pools_of(memory)]
    return layer == len(model.layers) - 1 and all(pools.count(id(pool)) == 1 for pool in pools_of(found[layer]))


def _answered(logits: Tensor, targets: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest tokens and the bits of the targets, (n,) each, of logits (n, vocabulary)."""
    bits = F.cross_entropy(logits, targets, reduction="none") / LN2
    return logits.argmax(dim=-1).cpu().numpy(), bits.double().cpu().numpy()


def _positions(at: np.ndarray) -> np.ndarray:
    """The place of each token among those of its row; rows ascending, (n,) -> (n,)."""
    return np.arange(len(at)) - np.searchsorted(at, at)
