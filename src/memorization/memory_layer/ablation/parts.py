"""The ablation of parts: a memory as a whole, its values, its keys, the slots that matter most, attention heads."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.func import functional_call

from memorization.memory_layer.ablation.edits import new_keys, new_values
from memorization.memory_layer.ablation.forward import (
    Read,
    ablatable,
    ablated,
    after,
    before,
    best,
    best_without,
    keep,
    nll_bits,
)
from memorization.memory_layer.training import Facts
from memorization.models.decoder import Decoder
from memorization.models.memory_layer import Memory

ENTRIES = 2**22  # of a group's comparisons that are held at once
KEYS = ["part", "layer", "number"]


@torch.no_grad()
def part_impact(
    model: Decoder, facts: Facts, rows: np.ndarray, groups: Sequence[int], rng: np.random.Generator
) -> pd.DataFrame:
    """How some rows are answered without parts of the model; its weights are left alone.

    Parts are ``memory`` (of a layer: nothing goes out), ``values_zero`` (keys kept; the same, since nothing is added to
    what is read), ``values_random``, ``keys_zero`` (all slots score 0, and which ones are read is an accident),
    ``keys_random`` (values kept), ``own_slots`` (the ``number`` slots of largest summed weight of the answer itself are
    masked, the next best enter), ``random_slots`` (as many of those that other answers retrieve), ``head`` (the
    ``number``-th of a layer's attention). New vectors are those of a new memory. All of this is done in one layer:
    where layers share a pool, the others go on reading its trained values, while the modes ``value_…`` of
    ``slots.slot_impact`` reach every layer that reads a slot.

    Parameters
    ----------
    model : put into evaluation
    rows : of the data set
    groups : sizes of the groups of slots
    rng : of random vectors and slots

    Raises
    ------
    ValueError
        If a memory is of arm peer, or has too few slots for a head to retrieve once the largest group is masked.

    Returns
    -------
    DataFrame: ``part``, ``layer``, ``number`` (-1 for a part that has none), ``row``, ``exact_before``,
    ``exact_after``, ``nll_before_bits``, ``nll_after_bits``, of each answer.
    """
    model.eval()
    found, largest = ablatable(model), max(groups, default=0)
    for memory in found.values():
        if largest > memory.n_slots - memory.top_k:
            raise ValueError(f"groups: {largest}; allowed with this memory: at most {memory.n_slots - memory.top_k}")
    base, tables = answers_with(model, facts, rows), []
    for layer, memory in found.items():
        for part, new in _replacements(memory, rng):
            read = partial(_read_with, model, layer, new)
            tables.append(_compared(base, answers_with(model, facts, rows, read), part, layer))
        for part, sets in groups_of(model, facts, rows, layer, largest, rng).items():
            for size in groups:
                now = without_slots(model, facts, rows, layer, sets[:, :size])
                tables.append(_compared(base, now, part, layer, size))
    for layer in range(len(model.layers)):
        for head in range(model.layers[layer].attention.n_heads):
            with without_head(model, layer, head):
                tables.append(_compared(base, answers_with(model, facts, rows), "head", layer, head))
    return pd.concat(tables, ignore_index=True)


def means(parts: pd.DataFrame, split: np.ndarray) -> pd.DataFrame:
    """Means of ``part_impact`` by part and split.

    Parameters
    ----------
    split : (n,) str, of all rows of the data set

    Returns
    -------
    DataFrame: ``part``, ``layer``, ``number``, ``split``, ``n``, ``exact_before``, ``exact_after``, ``lost_share``
    (of all answers, those that were exact and are not), ``nll_before_bits``, ``nll_after_bits``.
    """
    lost = parts["exact_before"] & ~parts["exact_after"]
    of = parts.assign(split=split[parts["row"]], lost_share=lost).groupby([*KEYS, "split"], sort=False)
    columns = ["exact_before", "exact_after", "lost_share", "nll_before_bits", "nll_after_bits"]
    return pd.concat([of.size().rename("n"), of[columns].mean()], axis=1).reset_index()


@torch.no_grad()
def answers_with(model: Decoder, facts: Facts, rows: np.ndarray, read: Read | None = None) -> pd.DataFrame:
    """How some rows are answered: ``row``, ``exact``, ``nll_bits``; ``read`` as in ``forward.after``."""
    parts = [_answers(model, facts, part, read) for part in facts.batches(rows)]
    return pd.concat(parts, ignore_index=True)


def _answers(model: Decoder, facts: Facts, part: np.ndarray, read: Read | None) -> pd.DataFrame:
    tokens, at, columns, _, targets = facts.batch(part)
    stream = before(model, tokens[:, : int(columns.max())], 0)
    logits = after(model, stream, 0, at, columns, read)
    wrong, bits = (logits.argmax(dim=-1) != targets).float(), nll_bits(logits, targets)
    sums = bits.new_zeros(2, len(part)).index_add(1, at, torch.stack([wrong, bits])).cpu().numpy()
    return pd.DataFrame({"row": part, "exact": sums[0] == 0, "nll_bits": sums[1]})


def _replacements(memory: Memory, rng: np.random.Generator) -> Iterator[tuple[str, Mapping[str, Tensor] | None]]:
    """By part, the weights with which a memory is run; None where nothing goes out."""
    yield "memory", None
    yield "values_zero", {"values.weight": new_values(memory, "zero", rng)}
    yield "values_random", {"values.weight": new_values(memory, "random", rng)}
    yield "keys_zero", {"keys": new_keys(memory, "zero", rng)}
    yield "keys_random", {"keys": new_keys(memory, "random", rng)}


def _read_with(
    model: Decoder, layer: int, new: Mapping[str, Tensor] | None, n: int, inner: Tensor, _: Tensor
) -> Tensor:
    """A ``Read`` in which the memory of a layer has other weights, or nothing goes out of it."""
    if n != layer:
        return model.layers[n].feed_forward(inner)
    return (
        torch.zeros_like(inner) if new is None else functional_call(model.layers[n].feed_forward, dict(new), (inner,))
    )


@contextmanager
def without_head(model: Decoder, layer: int, head: int) -> Iterator[None]:
    """Inside, what a head of a layer's attention gives the output projection is 0."""
    attention = model.layers[layer].attention

    def silence(_, arguments: tuple[Tensor]) -> Tensor:
        heads = arguments[0].unflatten(-1, (attention.n_heads, -1)).clone()
        heads[..., head, :] = 0
        return heads.flatten(-2)

    hook = attention.output.register_forward_pre_hook(silence)
    try:
        yield
    finally:
        hook.remove()


@torch.no_grad()
def groups_of(
    model: Decoder, facts: Facts, rows: np.ndarray, layer: int, size: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Of each row the slots of a memory that are masked.

    Returns
    -------
    ``own_slots``, by falling weight summed over the row's answer, -1 where it has no more; ``random_slots``, drawn from
    those that some other row retrieves: (n, size) each.
    """
    memory = ablated(model, layer)
    row, slot, weight, done = [], [], [], 0
    for kept in keep(model, facts, rows, layer):
        read = kept.slots[..., : memory.top_k]
        row.append((kept.text + done)[:, None, None].expand_as(read).flatten().cpu().numpy())
        slot.append(read.flatten().cpu().numpy())
        weight.append(kept.weights.flatten().cpu().numpy())
        done += len(kept.rows)
    code, back = np.unique(np.concatenate(row) * memory.n_slots + np.concatenate(slot), return_inverse=True)
    summed = np.bincount(back, np.concatenate(weight))
    row, slot = np.divmod(code, memory.n_slots)
    order = np.lexsort((slot, -summed, row))
    row, slot = row[order], slot[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    own = np.full((len(rows), size), -1)
    own[row[rank < size], rank[rank < size]] = slot[rank < size]
    users = np.bincount(slot, minlength=memory.n_slots)
    edges = np.searchsorted(row, np.arange(len(rows) + 1))
    drawn = np.full((len(rows), size), -1)
    for n, (first, last) in enumerate(pairwise(edges)):
        others = users.copy()
        others[slot[first:last]] -= 1
        others = np.flatnonzero(others)
        some = rng.choice(others, min(size, len(others)), replace=False)
        drawn[n, : len(some)] = some
    return {"own_slots": own, "random_slots": drawn}


@torch.no_grad()
def without_slots(model: Decoder, facts: Facts, rows: np.ndarray, layer: int, sets: np.ndarray) -> pd.DataFrame:
    """How some rows are answered, each without slots of its own of a memory; the next best ones enter.

    Parameters
    ----------
    sets : (n, size), slots of each row; -1 is none
    """
    memory, parts, done = ablated(model, layer), [], 0
    for part in facts.batches(rows):
        masked = torch.as_tensor(sets[done : done + len(part)], device=facts.device)
        done += len(part)
        read = partial(_read_without, model, layer, memory, masked)
        parts.append(_answers(model, facts, part, read))
    return pd.concat(parts, ignore_index=True)


def _read_without(
    model: Decoder, layer: int, memory: Memory, masked: Tensor, n: int, inner: Tensor, texts: Tensor
) -> Tensor:
    """A ``Read`` in which each text is without slots of its own, (texts, size), of the memory of a layer."""
    if n != layer:
        return model.layers[n].feed_forward(inner)
    flat, texts, out = inner.flatten(0, -2), texts.flatten(), []
    k = memory.top_k + masked.shape[1]
    size = max(1, ENTRIES // (memory.n_heads * k * max(1, masked.shape[1])))
    for some, of in zip(flat.split(size), texts.split(size), strict=True):
        scores, slots = best(memory, memory.queries(some), k)
        without = (slots[..., None] == masked[of, None, None]).any(dim=-1)
        scores, slots = best_without(scores, slots, without, memory.top_k)
        out.append(memory.read(some, scores.softmax(dim=-1), slots.clamp(min=0)))
    return torch.cat(out).view_as(inner)


def _compared(base: pd.DataFrame, now: pd.DataFrame, part: str, layer: int, number: int = -1) -> pd.DataFrame:
    columns = {"exact_before": base["exact"], "exact_after": now["exact"]}
    columns |= {"nll_before_bits": base["nll_bits"], "nll_after_bits": now["nll_bits"]}
    return pd.DataFrame({"part": part, "layer": layer, "number": number, "row": base["row"], **columns})
