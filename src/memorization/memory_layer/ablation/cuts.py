"""Minimal cuts: the fewest slots whose joint removal makes an answer wrong."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from memorization.memory_layer.ablation.edits import Masked
from memorization.memory_layer.ablation.forward import Kept, ablated, best, best_without, keep
from memorization.memory_layer.ablation.slots import PAIRS, changed_stream
from memorization.memory_layer.training import Facts
from memorization.models.decoder import Decoder

ANSWERS = 2**10  # tokens whose wider retrievals are held at once


@torch.no_grad()
def cuts(model: Decoder, facts: Facts, rows: np.ndarray, maximum: int) -> pd.DataFrame:
    """How many slots of the last layer's memory must be masked until an answer is no longer right.

    Greedy: of each token of the answer, again and again, that slot is masked without which the token's margin (its
    logit less the largest other one) is smallest; the next best slots enter. The cut of an answer is that of the token
    that is the first to be wrong: each token is given the true ones before it, so none depends on another.

    Parameters
    ----------
    model : put into evaluation
    rows : of the data set; those that are not answered exactly are left out
    maximum : slots that are masked at most

    Returns
    -------
    DataFrame: ``row``, ``cut``, ``flipped`` (whether the answer is wrong then), ``margin`` (of the answer as it is, the
    smallest of its tokens, nats). Cuts are censored: where even
    ``maximum`` slots are not enough, ``cut`` is ``maximum`` and ``flipped`` is False; the true one is larger, and so is
    the mean of cuts, some of which are not flipped.

    Raises
    ------
    ValueError
        If the last layer has no memory, or one of arm peer, or with so many slots masked a head has too few left.
    """
    layer = len(model.layers) - 1
    memory = ablated(model, layer)
    if not 1 <= maximum <= memory.n_slots - memory.top_k:
        raise ValueError(f"maximum: {maximum}; allowed with this memory: 1 to {memory.n_slots - memory.top_k}")
    none = {"row": np.int64, "cut": np.int64, "flipped": bool, "margin": np.float32}
    parts = [pd.DataFrame({name: np.zeros(0, kind) for name, kind in none.items()})]
    for kept in keep(model, facts, rows, layer, ANSWERS):
        cut = _cuts(model, kept, Masked(memory), maximum)
        wrong = (kept.logits.argmax(dim=-1) != kept.targets).float()
        exact = wrong.new_zeros(len(kept.rows)).index_add(0, kept.at, wrong) == 0
        margins = _margins(kept.logits.float(), kept.targets)
        margin = margins.new_full((len(kept.rows),), torch.inf).scatter_reduce(0, kept.at, margins, "amin")
        columns = {
            "row": kept.rows,
            "cut": cut.clamp(max=maximum).cpu().numpy(),
            "flipped": (cut <= maximum).cpu().numpy(),
            "margin": margin.cpu().numpy(),
        }
        parts.append(pd.DataFrame(columns)[exact.cpu().numpy()])
    return pd.concat(parts, ignore_index=True)


def _cuts(model: Decoder, kept: Kept, changes: Masked, maximum: int) -> Tensor:
    """Of each text, (texts,): the slots of its first token to be wrong; maximum + 1 where none is."""
    memory = changes.memory
    wide = best(memory, kept.queries, memory.top_k + 1 + maximum)
    cut = torch.full((len(kept.rows),), maximum + 1, device=kept.at.device)
    masked = torch.full((len(kept.at), maximum), -2, device=kept.at.device)  # no slot
    for step in range(maximum):
        open_ = (cut[kept.at] > maximum).nonzero()[:, 0]
        if not len(open_):
            break
        without = (wide[1][open_, ..., None] == masked[open_, None, None, :step]).any(dim=-1)
        now = best_without(wide[0][open_], wide[1][open_], without, memory.top_k + 1)
        here = _at(kept, open_, *now)
        margin, masked[open_, step] = _smallest_margin(model, here, changes)
        wrong = here.at[margin < 0]
        cut[wrong] = step + 1
    return cut


def _at(kept: Kept, places: Tensor, scores: Tensor, slots: Tensor) -> Kept:
    """Some places of what is kept, with what is retrieved there now."""
    names = ("text", "column", "residual", "inner", "gate", "queries", "at", "columns", "targets", "logits")
    return kept._replace(scores=scores, slots=slots, **{name: getattr(kept, name)[places] for name in names})


def _smallest_margin(model: Decoder, kept: Kept, changes: Masked) -> tuple[Tensor, Tensor]:
    """Of each place the smallest margin without one of the slots that it retrieves, in nats, and this slot."""
    place, unit = changes.pairs(kept)
    margins = []
    for some, units in zip(place.split(PAIRS), unit.split(PAIRS), strict=True):
        logits = model.head(model.final_norm(changed_stream(kept, changes, some, units)))
        margins.append(_margins(logits, kept.targets[some]))
    margin = torch.cat(margins)
    smallest = margin.new_full((len(kept.at),), torch.inf).scatter_reduce(0, place, margin, "amin")
    chosen = torch.full_like(kept.at, changes.n_units)
    is_smallest = margin == smallest[place]
    return smallest, chosen.scatter_reduce(0, place[is_smallest], unit[is_smallest], "amin")


def _margins(logits: Tensor, targets: Tensor) -> Tensor:
    """Of each token (n,) its target's logit less the largest other one, in nats: logits (n, vocabulary)."""
    others = logits.scatter(1, targets[:, None], -torch.inf).max(dim=1).values
    return logits.gather(1, targets[:, None])[:, 0] - others
