"""memory_layer's ablation of every slot against running again only the texts that retrieve it."""

from collections.abc import Callable

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
from memorization.provenance import generator
from memorization.training.devices import set_up

PAIRS = {"name": "pairs", "kind": "digit_lookup", "tokenizer": "characters", "copies": 1}
PAIRS |= {"size": 2000, "new": 1, "novel": 1}
MODEL = {"n_layers": 2, "n_heads": 4, "d_model": 128, "positions": "learned", "init_std": 0.02, "arm": "memory"}
MODEL |= {"memory_layers": [-1], "shared_pool": False, "keys": "product", "n_keys": 128, "memory_heads": 4, "top_k": 8}
MODEL |= {"key_dim": 64, "query_norm": "none", "gate": True, "value_update": "dense"}
LAYER, EVERY = 1, 20


def every_slot() -> tuple[Callable[[], None], Callable[[], None]]:
    """The matrix of all slots; and re-runs of the texts of one slot in 20, drawn evenly by how many texts it has."""
    set_up("cpu", threads=1)
    torch.manual_seed(0)
    table = kinds.make(PAIRS, generator("memory_layer", "pairs", 0, "data"))
    facts = Facts(kinds.tokens(table, PAIRS), "cpu")
    model, rows = build(MODEL, facts.vocabulary, facts.length).eval(), facts.rows("train")
    memory, texts = model.layers[LAYER].feed_forward, texts_by_slot(model, facts, rows)
    sample = sorted(texts, key=lambda slot: len(texts[slot]))[EVERY // 2 :: EVERY]

    def ours() -> None:
        slot_impact(model, facts, rows, LAYER, "slot_mask", np.random.default_rng(0))

    @torch.no_grad()
    def theirs() -> None:
        for slot in sample:
            tokens, at, columns, lengths, targets = facts.batch(texts[slot])
            memory.best = lambda queries, k, slot=slot: best_without(memory, slot, queries, k)
            logits, _ = answer_logits(model, tokens, at, columns, lengths)
            del memory.best
            F.cross_entropy(logits, targets, reduction="none")

    return ours, theirs


def texts_by_slot(model: torch.nn.Module, facts: Facts, rows: np.ndarray) -> dict[int, np.ndarray]:
    """By slot that is retrieved, the rows that retrieve it."""
    memory, texts = model.layers[LAYER].feed_forward, {}
    for kept in keep(model, facts, rows, LAYER):
        place, slot = edit(memory, "slot_mask", np.random.default_rng(0)).pairs(kept)
        for row, each in zip(kept.rows[kept.text[place].numpy()].tolist(), slot.tolist(), strict=True):
            texts.setdefault(each, set()).add(row)
    return {slot: np.sort(list(of)) for slot, of in texts.items()}


def best_without(memory: torch.nn.Module, slot: int, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """What a memory retrieves without a slot: the best k + 1, less it or the last one."""
    scores, slots = type(memory).best(memory, queries, k + 1)
    scores, chosen = scores.masked_fill(slots == slot, -torch.inf).topk(k, dim=-1)
    return scores, slots.gather(-1, chosen)


ROWS = [  # a ratio of 1 is a speed of 20
    (
        "memory_layer, ablation of each of 16,384 slots by itself, 2,000 pairs",
        f"re-running the pairs that retrieve a slot, for 1 slot in {EVERY} alone",
        1.0,
        every_slot,
    )
]
