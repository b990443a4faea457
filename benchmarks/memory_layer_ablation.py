"""memory_layer's ablation of every slot, and of every half-key, against running texts again without each of some.

Running all of them again would take hours, so the other side does it for an even sample; a row says for how many.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from memorization.memory_layer.ablation.edits import edit
from memorization.memory_layer.ablation.forward import keep
from memorization.memory_layer.ablation.slots import slot_impact
from memorization.memory_layer.data import kinds
from memorization.memory_layer.model import answer_logits, build
from memorization.memory_layer.training import Facts
from memorization.models.decoder import Decoder
from memorization.models.memory_layer import Memory
from memorization.provenance import generator
from memorization.training.devices import set_up

PAIRS = {"name": "pairs", "kind": "digit_lookup", "tokenizer": "characters", "copies": 1}
PAIRS |= {"size": 2000, "new": 1, "novel": 1}
MODEL = {"n_layers": 2, "n_heads": 4, "d_model": 128, "positions": "learned", "init_std": 0.02, "arm": "memory"}
MODEL |= {"memory_layers": [-1], "shared_pool": False, "keys": "product", "n_keys": 128, "memory_heads": 4, "top_k": 8}
MODEL |= {"key_dim": 64, "query_norm": "none", "gate": True, "value_update": "dense"}
LAYER, RETRIEVED_IN, SLOTS_IN, HALF_KEYS_IN = 1, 20, 2048, 16
MOST_SECONDS = 10.0  # of all slots, on one core

Sides = tuple[Callable[[], None], Callable[[], None]]


def setting() -> tuple[Decoder, Facts, np.ndarray]:
    """A model, facts, and their rows that are looked at."""
    set_up("cpu", threads=1)
    torch.manual_seed(0)
    facts = facts_of(PAIRS, "cpu")
    return build(MODEL, facts.vocabulary, facts.length).eval(), facts, facts.rows("train")


def facts_of(data: dict, device: str) -> Facts:
    """The facts of a data set."""
    table = kinds.make(data, generator("memory_layer", data["name"], 0, "data"))
    return Facts(kinds.tokens(table, data), device)


def retrieved_again() -> Sides:
    """The matrix of all slots; and the texts that retrieve one slot in 20, drawn evenly by how many texts it has."""
    model, facts, rows = setting()
    memory, texts = model.layers[LAYER].feed_forward, texts_by_slot(model, facts, rows)
    sample = sorted(texts, key=lambda slot: len(texts[slot]))[RETRIEVED_IN // 2 :: RETRIEVED_IN]

    def theirs() -> None:
        for slot in sample:
            with masked(memory, slot):
                answer(model, facts, texts[slot])

    return every_slot(model, facts, rows), theirs


def all_again() -> Sides:
    """The matrix of all slots; and all texts without one slot in 2,048."""
    model, facts, rows = setting()
    memory = model.layers[LAYER].feed_forward

    def theirs() -> None:
        for slot in range(SLOTS_IN // 2, memory.n_slots, SLOTS_IN):
            with masked(memory, slot):
                answer(model, facts, rows)

    return every_slot(model, facts, rows), theirs


def half_keys_again() -> Sides:
    """Every half-key drawn anew; and all texts with one half-key in 16 drawn anew."""
    model, facts, rows = setting()
    memory = model.layers[LAYER].feed_forward
    vectors = edit(memory, "halfkey_random", np.random.default_rng(0)).vectors

    def ours() -> None:
        slot_impact(model, facts, rows, LAYER, "halfkey_random", np.random.default_rng(0))

    @torch.no_grad()
    def theirs() -> None:
        for unit in range(HALF_KEYS_IN // 2, 2 * memory.n_keys, HALF_KEYS_IN):
            here = slice(None), *divmod(unit, memory.n_keys)
            before = memory.keys[here].clone()
            memory.keys[here] = vectors[here]
            answer(model, facts, rows)
            memory.keys[here] = before

    return ours, theirs


def every_slot(model: Decoder, facts: Facts, rows: np.ndarray) -> Callable[[], None]:
    """The matrix of all slots, which is to take ``MOST_SECONDS`` at most."""

    def run() -> None:
        start = time.perf_counter()
        slot_impact(model, facts, rows, LAYER, "slot_mask")
        if (seconds := time.perf_counter() - start) > MOST_SECONDS:
            raise RuntimeError(f"the ablation of all slots takes {seconds:.1f} s, more than {MOST_SECONDS}")

    return run


@torch.no_grad()
def answer(model: Decoder, facts: Facts, rows: np.ndarray) -> None:
    """Bits of the answers of some rows, by the model as it is."""
    for part in facts.batches(rows):
        tokens, at, columns, lengths, targets = facts.batch(part)
        logits, _ = answer_logits(model, tokens, at, columns, lengths)
        F.cross_entropy(logits, targets, reduction="none")


def texts_by_slot(model: Decoder, facts: Facts, rows: np.ndarray) -> dict[int, np.ndarray]:
    """By slot that is retrieved, the rows that retrieve it."""
    memory, texts = model.layers[LAYER].feed_forward, {}
    for kept in keep(model, facts, rows, LAYER):
        place, slot = edit(memory, "slot_mask").pairs(kept)
        for row, each in zip(kept.rows[kept.text[place].numpy()].tolist(), slot.tolist(), strict=True):
            texts.setdefault(each, set()).add(row)
    return {slot: np.sort(list(of)) for slot, of in texts.items()}


@contextmanager
def masked(memory: Memory, slot: int) -> Iterator[None]:
    """Inside, a memory retrieves the best k + 1 without a slot, or without the last one."""

    def best(queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        scores, slots = type(memory).best(memory, queries, k + 1)
        scores, chosen = scores.masked_fill(slots == slot, -torch.inf).topk(k, dim=-1)
        return scores, slots.gather(-1, chosen)

    memory.best = best
    try:
        yield
    finally:
        del memory.best


SLOTS = "memory_layer, ablation of each of 16,384 slots by itself, 2,000 pairs"
HALF_KEYS = "memory_layer, each of 256 half-keys by itself drawn anew, 2,000 pairs"
ROWS = [  # the least: 20, 1,000 and 16 times as fast as the other side without sampling
    (
        SLOTS,
        f"pairs that retrieve the slot again, 1 slot in {RETRIEVED_IN}: times {RETRIEVED_IN}",
        1.0,
        retrieved_again,
    ),
    (SLOTS, f"all pairs again, 1 slot in {SLOTS_IN:,}: times {SLOTS_IN:,}", 0.49, all_again),
    (HALF_KEYS, f"all pairs again, 1 half-key in {HALF_KEYS_IN}: times {HALF_KEYS_IN}", 1.0, half_keys_again),
]
