"""Changes of a memory that last for a ``with`` block, and that give every bit back after it, an error included.

What a slot holds is its value. Keys are those of all heads. Memories are of arm memory: ``ablation.forward.ablated``
refuses others.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from memorization.models.memory_layer import FlatKeyMemory, Memory

SWAPS = ("values", "keys", "half_keys")


def content(memory: Memory, slot: int) -> Tensor:
    """A copy of what a slot holds, (d_model,)."""
    return memory.values.weight[slot].detach().clone()


def mean_content(memory: Memory) -> Tensor:
    """The mean over all slots, (d_model,)."""
    return memory.values.weight.mean(dim=0).detach()


def exchange(ids: Tensor, i: int, j: int) -> Tensor:
    """Numbers of any shape in which i stands for j and j for i."""
    return torch.where(ids == i, j, torch.where(ids == j, i, ids))


def exchanged(memory: Memory, kind: str, slots: Tensor, i: int, j: int) -> Tensor:
    """What is read after a swap in place of ``slots``, of any shape: every swap is a permutation of slots.

    Who retrieved slot i reads slot j, by ``values`` as by ``keys``. ``half_keys`` also sends the slots that have a
    half-key in common with one of both to others.
    """
    if kind != "half_keys":
        return exchange(slots, i, j)
    n = memory.n_keys
    return exchange(slots // n, i // n, j // n) * n + exchange(slots % n, i % n, j % n)


@contextmanager
def swapped(memory: Memory, kind: str, i: int, j: int) -> Iterator[None]:
    """Swap two slots: their ``values``, their ``keys``, or the ``half_keys`` of which their keys are made.

    Raises
    ------
    ValueError
        If the kind is unknown, or half-keys are asked of a memory that has none.
    """
    if kind not in SWAPS:
        raise ValueError(f"kind: {kind!r} is not one of {', '.join(SWAPS)}")
    with ExitStack() as stack:
        if kind == "values":
            stack.enter_context(swapped_values(memory, i, j))
        elif kind == "keys":
            stack.enter_context(swapped_keys(memory, i, j))
        else:
            n = _n_keys(memory)
            for half, one, other in ((0, i // n, j // n), (1, i % n, j % n)):
                stack.enter_context(swapped_half_keys(memory, half, one, other))
        yield


@contextmanager
def swapped_values(memory: Memory, i: int, j: int) -> Iterator[None]:
    """Swap what two slots hold, in every layer that shares the pool."""
    with _written(memory.values.weight, [i, j], memory.values.weight[[j, i]]):
        yield


@contextmanager
def swapped_keys(memory: Memory, i: int, j: int) -> Iterator[None]:
    """Swap the keys of two slots.

    The halves of a product key belong to other slots too. There the two slots are exchanged in what is retrieved, which
    is what a swap of whole keys does. Unless layers share the pool, the function is that of ``swapped_values``.
    """
    if isinstance(memory, FlatKeyMemory):
        with _written(memory.keys, (slice(None), [i, j]), memory.keys[:, [j, i]]):
            yield
        return
    best = memory.best

    def exchanged_best(queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        scores, slots = best(queries, k)
        return scores, exchange(slots, i, j)

    with _method(memory, "best", exchanged_best):
        yield


@contextmanager
def swapped_half_keys(memory: Memory, half: int, i: int, j: int) -> Iterator[None]:
    """Swap two keys of a half, 0 or 1: n_keys slots each get another key.

    Raises
    ------
    ValueError
        If the memory has no half-keys.
    """
    _n_keys(memory)
    with _written(memory.keys, (slice(None), half, [i, j]), memory.keys[:, half, [j, i]]):
        yield


@contextmanager
def replaced(memory: Memory, slot: int, new: Tensor) -> Iterator[None]:
    """Let a slot hold something else, (d_model,), in every layer that shares the pool."""
    with _written(memory.values.weight, [slot], new[None]):
        yield


@contextmanager
def injected(memory: Memory, at: tuple, slots: Tensor, weights: Tensor) -> Iterator[None]:
    """Let some positions retrieve given slots with given weights.

    Parameters
    ----------
    at : index of these positions in what comes in, such as ``(row, column)`` of (batch, length, d_model); in
        ``model.answer_logits`` the last layer gets the answers' tokens alone, (n, d_model)
    slots, weights : (…, n_heads, top_k) for the indexed positions; the weights of a head sum to 1
    """
    retrieve = memory.retrieve

    def injecting_retrieve(x: Tensor, unpadded: Tensor | None = None) -> tuple[Tensor, Tensor]:
        scores, found = (each.clone() for each in retrieve(x, unpadded))
        scores[at], found[at] = weights.log(), slots  # the softmax of the logarithms is the weights
        return scores, found

    with _method(memory, "retrieve", injecting_retrieve):
        yield


def _n_keys(memory: Memory) -> int:
    if isinstance(memory, FlatKeyMemory):
        raise ValueError("half_keys: flat keys have no halves")
    return memory.n_keys


@contextmanager
def _written(tensor: Tensor, index, new: Tensor) -> Iterator[None]:
    before, new = tensor[index].detach().clone(), new.detach().clone()
    try:
        with torch.no_grad():
            tensor[index] = new
        yield
    finally:
        with torch.no_grad():
            tensor[index] = before


@contextmanager
def _method(module: nn.Module, name: str, function: Callable) -> Iterator[None]:
    before = module.__dict__.get(name)
    setattr(module, name, function)
    try:
        yield
    finally:
        if before is None:
            delattr(module, name)
        else:
            setattr(module, name, before)
