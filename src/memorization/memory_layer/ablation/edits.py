"""What a memory pools once a slot or a half-key is ablated: which places that changes, and what they then read."""

import numpy as np
import torch
from torch import Tensor

from memorization.memory_layer.ablation.forward import Kept, best_without, weighted_sum, weights_of
from memorization.models.memory_layer import FlatKeyMemory, Memory, ProductKeyMemory, candidates

VALUE_MODES = ("value_zero", "value_random")
MODES = ("slot_mask", *VALUE_MODES, "key_zero", "key_random", "halfkey_zero", "halfkey_random")
ENTRIES = 2**23  # of scores of new keys that are held at once: 32 MB


class Edit:
    """The ablation of each unit of a memory by itself; a unit is a slot, or a half-key.

    Parameters
    ----------
    memory : whose weights are read and left alone

    Attributes
    ----------
    only : (some,) int64, the units that are ablated; by default all
    """

    def __init__(self, memory: Memory):
        self.memory, self.n_units = memory, memory.n_slots
        self.only: Tensor | None = None

    def units(self, slots: Tensor) -> Tensor:
        """The units to which retrieved slots belong: (n, k) -> (n, some)."""
        return slots

    def pairs(self, kept: Kept) -> tuple[Tensor, Tensor]:
        """All pairs of a place and a unit whose ablation may change what is read there, each once, ascending."""
        units = self.units(kept.slots[..., : self.memory.top_k].flatten(1))
        places = torch.arange(len(units), device=units.device)[:, None]
        found = torch.cat([(places * self.n_units + units).flatten(), *self.attracted(kept)]).unique()
        if self.only is not None:
            found = found[torch.isin(found % self.n_units, self.only)]
        return found // self.n_units, found % self.n_units

    def attracted(self, kept: Kept) -> list[Tensor]:
        """More pairs, as place · n_units + unit, of places that do not retrieve a unit, but do once it is changed."""
        return []

    def pooled(self, kept: Kept, place: Tensor, unit: Tensor) -> Tensor:
        """What some places read without some units: (n,) each -> (n, d_model)."""
        scores, slots = self.retrieved(kept, place, unit)
        return weighted_sum(self.memory, weights_of(scores), slots)

    def retrieved(self, kept: Kept, place: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
        """What they then retrieve: scores and slots (n, n_heads, top_k)."""
        raise NotImplementedError


class Masked(Edit):
    """The slot scores -inf: the next best one enters."""

    def retrieved(self, kept: Kept, place: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
        slots = kept.slots[place]
        return best_without(kept.scores[place], slots, slots == unit[:, None, None], self.memory.top_k)


class Valued(Edit):
    """The slot's value is another one: the same slots are retrieved.

    Parameters
    ----------
    vectors : (n_slots, d_model)
    """

    def __init__(self, memory: Memory, vectors: Tensor):
        super().__init__(memory)
        self.vectors = vectors

    def pooled(self, kept: Kept, place: Tensor, unit: Tensor) -> Tensor:
        top_k = self.memory.top_k
        return kept.pooled[place] + self.change(kept.weights[place], kept.slots[place][..., :top_k], unit)

    def change(self, weights: Tensor, slots: Tensor, unit: Tensor) -> Tensor:
        """Of the pooled values: weights and slots (…, n_heads, top_k), unit (…,) -> (…, d_model)."""
        weight = (weights * (slots == unit[..., None, None])).sum(dim=(-1, -2))
        return weight[..., None] * (self.vectors[unit] - self.memory.values.weight[unit])


class Keyed(Edit):
    """The slot's keys, of all heads, are others; of a memory with flat keys.

    Parameters
    ----------
    vectors : (n_heads, n_slots, key_dim)
    """

    def __init__(self, memory: FlatKeyMemory, vectors: Tensor):
        super().__init__(memory)
        self.vectors = vectors

    def attracted(self, kept: Kept) -> list[Tensor]:
        """Where the new key scores above the last slot that a head retrieves."""
        last, found = kept.scores[..., self.memory.top_k - 1], []
        for places in torch.arange(len(last), device=last.device).split(max(1, ENTRIES // self.n_units)):
            enters = torch.zeros(len(places), self.n_units, dtype=torch.bool, device=last.device)
            for head, keys in enumerate(self.vectors):
                enters |= kept.queries[places, head] @ keys.T > last[places, head, None]
            place, unit = enters.nonzero(as_tuple=True)
            found.append(places[place] * self.n_units + unit)
        return found

    def retrieved(self, kept: Kept, place: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
        score = (kept.queries[place] * self.vectors[:, unit].transpose(0, 1)).sum(dim=-1)
        return exchanged(kept.scores[place], kept.slots[place], score, unit, self.memory.top_k)


class HalfKeyed(Edit):
    """A half-key, half · n_keys + index, of all heads, is another; of a memory with product keys.

    Parameters
    ----------
    vectors : (n_heads, 2, n_keys, key_dim / 2)
    """

    def __init__(self, memory: ProductKeyMemory, vectors: Tensor):
        super().__init__(memory)
        self.vectors, self.n_units = vectors, 2 * memory.n_keys

    def units(self, slots: Tensor) -> Tensor:
        n_keys = self.memory.n_keys
        return torch.cat([slots // n_keys, n_keys + slots % n_keys], dim=1)

    def attracted(self, kept: Kept) -> list[Tensor]:
        """Where the new half-key with the best one of the other half scores above the last slot of a head."""
        last, found = kept.scores[..., self.memory.top_k - 1], []
        size = max(1, ENTRIES // (self.n_units * self.memory.n_heads))
        for places in torch.arange(len(last), device=last.device).split(size):
            queries = kept.queries[places]
            halves = queries.unflatten(-1, (2, -1))
            other = self.memory.half_scores(queries).max(dim=-1).values.flip(-1)  # (places, n_heads, 2)
            new = torch.einsum("phad,haid->phai", halves, self.vectors) + other[..., None]
            place, unit = (new > last[places, :, None, None]).any(dim=1).flatten(1).nonzero(as_tuple=True)
            found.append(places[place] * self.n_units + unit)
        return found

    def retrieved(self, kept: Kept, place: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
        n_keys, top_k = self.memory.n_keys, self.memory.top_k
        half, index = unit // n_keys, unit % n_keys
        places, back = place.unique(return_inverse=True)
        queries = kept.queries[places]
        scores, keys = self.memory.half_scores(queries).topk(min(top_k + 1, n_keys), dim=-1)
        query = queries.unflatten(-1, (2, -1))[back, :, half]
        score = (query * self.vectors[:, half, index].transpose(0, 1)).sum(dim=-1)
        changed, new = exchanged(scores[back, :, half], keys[back, :, half], score, index, top_k)
        first, second = candidates(top_k, unit.device)
        sums = changed[..., first] + scores[back, :, 1 - half][..., second]
        ours, theirs = new[..., first], keys[back, :, 1 - half][..., second]
        slots = torch.where(half[:, None, None] == 0, ours * n_keys + theirs, theirs * n_keys + ours)
        sums, chosen = sums.topk(top_k, dim=-1)
        return sums, slots.gather(-1, chosen)


def exchanged(scores: Tensor, slots: Tensor, score: Tensor, unit: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best once ``unit`` (n,) scores ``score`` (n, n_heads) instead of what it does among (n, n_heads, k + 1)."""
    without = slots == unit[:, None, None]
    scores = torch.cat([scores.masked_fill(without, -torch.inf), score[..., None]], dim=-1)
    slots = torch.cat([slots, unit[:, None, None].expand(*slots.shape[:-1], 1)], dim=-1)
    scores, chosen = scores.topk(k, dim=-1)
    return scores, slots.gather(-1, chosen)


def allowed_modes(memory: Memory) -> tuple[str, ...]:
    """The modes of a memory: of slots' keys where they are flat, of half-keys where they are products."""
    keys = "halfkey_" if isinstance(memory, ProductKeyMemory) else "key_"
    return tuple(mode for mode in MODES if mode.startswith(("slot_", "value_", keys)))


def n_units(memory: Memory, mode: str) -> int:
    """Slots, or half-keys, that a mode ablates."""
    return 2 * memory.n_keys if mode.startswith("halfkey") else memory.n_slots


def edit(memory: Memory, mode: str, rng: np.random.Generator | None = None) -> Edit:
    """The edits of a mode.

    Parameters
    ----------
    mode : ``slot_mask`` (the slot scores -inf), ``value_zero``, ``value_random``; ``key_zero``, ``key_random``, of a
        memory with flat keys; ``halfkey_zero``, ``halfkey_random``, of one with product keys
    rng : from which the modes ``…_random`` draw a vector for each slot, or half-key, as they were when the memory was
        new; the others need none

    Raises
    ------
    ValueError
        If the mode is not one of the memory's.
    """
    if mode not in allowed_modes(memory):
        raise ValueError(f"mode: {mode!r}; allowed with this memory: {', '.join(allowed_modes(memory))}")
    if mode == "slot_mask":
        return Masked(memory)
    kind, _, how = mode.partition("_")
    if kind == "value":
        return Valued(memory, new_values(memory, how, rng))
    return (Keyed if kind == "key" else HalfKeyed)(memory, new_keys(memory, how, rng))


def new_values(memory: Memory, how: str, rng: np.random.Generator | None = None) -> Tensor:
    """Values, ``zero``, or ``random`` as those of a new memory: normal with standard deviation d_model^-½."""
    values = memory.values.weight
    if how == "zero":
        return torch.zeros_like(values)
    return torch.from_numpy(rng.standard_normal(values.shape, np.float32)).to(values) * values.shape[1] ** -0.5


def new_keys(memory: Memory, how: str, rng: np.random.Generator | None = None) -> Tensor:
    """Keys, ``zero``, or ``random`` as those of a new memory: uniform between ±key_dim^-½."""
    keys = memory.keys
    if how == "zero":
        return torch.zeros_like(keys)
    return torch.from_numpy(2 * rng.random(keys.shape, np.float32) - 1).to(keys) * memory.key_dim**-0.5
