"""A memory in which one slot decides each answer, by construction: what interventions do where nothing is redundant."""

import numpy as np
import pandas as pd
import torch
from torch import nn

from memorization.memory_layer.intervention.answered import answered
from memorization.memory_layer.intervention.predictions import predictions_table
from memorization.memory_layer.intervention.shares import kind_shares, pooled_shares
from memorization.memory_layer.intervention.swaps import swap_table
from memorization.memory_layer.training import Facts
from memorization.memory_layer.typed_tables import typed
from memorization.models.decoder import Decoder
from memorization.models.memory_layer import FlatKeyMemory, Memory, ProductKeyMemory

N_KEYS = 6  # of each half
QUESTIONS = 12  # tokens, each with a slot and an answer of its own
FACTS, LENGTH = 60, 2  # questions of a fact, each followed by its answer
SCORE = 100.0  # of the right key of a half over the others: e^-SCORE is 0 in float32
CONTROL = {
    "keys": str, "intervention": str, "n": int, "partner_share": float, "own_share": float, "neither_share": float,
    "chance": float,
}  # fmt: skip
ANSWER, QUESTION = 8.0, 1.0  # size of an answer's logit in a value, and of the token in the residual stream


def control(keys: str, rng: np.random.Generator) -> tuple[Decoder, Facts]:
    """A model without attention, and its facts.

    A fact is a few questions, each followed by its answer, all of them tokens; every token is an axis of the residual
    stream, and the head reads the axes. A question's query is orthogonal to all keys but those of its slot, whose value
    points along the axis of the answer.

    Parameters
    ----------
    keys : ``product`` or ``flat``
    rng : draws the slots, the answers and the facts
    """
    vocabulary = 2 * QUESTIONS
    answers = QUESTIONS + rng.permutation(QUESTIONS)
    slots = rng.choice(N_KEYS**2, QUESTIONS, replace=False)
    memory = _memory(keys, slots, answers, vocabulary)
    model = Decoder(
        vocabulary, vocabulary, 2 * LENGTH, n_layers=1, n_heads=1, d_model=vocabulary, positions="none",
        feed_forward={0: memory},
    )  # fmt: skip
    with torch.no_grad():
        model.token_embedding.weight.copy_(QUESTION * torch.eye(vocabulary))
        model.head.weight.copy_(torch.eye(vocabulary))
        for parameter in (*model.layers[0].attention.parameters(), model.head.bias):
            parameter.zero_()
    return model.eval(), _facts(answers, vocabulary, rng)


def control_table(n_slots: int, n_examples: int, rng: np.random.Generator) -> pd.DataFrame:
    """``control``: by ``keys`` and ``intervention`` the shares of ``n`` predictions by whose answer they are.

    Nothing of a condition's model or data comes in: with one random stream it is the same beside every condition.
    ``swap_values``, ``swap_keys``, ``swap_half_keys``, ``replace_other`` and ``inject`` are to give the partner's
    answer always, the others never, and none the own one. ``matrix_…`` are the shares of the swap matrix.
    """
    parts = []
    for keys in ("product", "flat"):
        model, facts = control(keys, rng)
        kept = answered(model, facts, np.arange(FACTS), 0)
        items = np.arange(FACTS).astype(str)
        of_examples = kind_shares(predictions_table(model, facts, kept, items, n_examples, rng), ["intervention"])
        matrix = pooled_shares(swap_table(model, facts, kept, n_slots), ["kind"])
        matrix = matrix.assign(intervention="matrix_" + matrix["kind"])
        parts += [table.assign(keys=keys)[list(CONTROL)] for table in (of_examples, matrix)]
    return typed(parts, CONTROL)


@torch.no_grad()
def _memory(keys: str, slots: np.ndarray, answers: np.ndarray, d_model: int) -> Memory:
    """One head; question q has slot ``slots[q]``, which holds ``answers[q]``."""
    if keys == "product":
        key_dim, halves = 2 * N_KEYS, np.stack([slots // N_KEYS, N_KEYS + slots % N_KEYS], axis=1)
        memory = ProductKeyMemory(d_model, N_KEYS, n_heads=1, top_k=2, key_dim=key_dim, gate=False)
        memory.keys.copy_(torch.eye(N_KEYS).expand_as(memory.keys))
    else:
        key_dim, halves = N_KEYS**2, slots[:, None]
        memory = FlatKeyMemory(d_model, N_KEYS**2, n_heads=1, top_k=2, key_dim=key_dim, gate=False)
        memory.keys.copy_(torch.eye(key_dim)[None])
    question = torch.arange(QUESTIONS)
    nn.init.zeros_(memory.query.weight)
    for axes in torch.from_numpy(halves).T:
        memory.query.weight[axes, question] = SCORE
    nn.init.zeros_(memory.values.weight)
    memory.values.weight[torch.from_numpy(slots), torch.from_numpy(answers)] = ANSWER
    return memory


def _facts(answers: np.ndarray, vocabulary: int, rng: np.random.Generator) -> Facts:
    questions = rng.integers(QUESTIONS, size=(FACTS, LENGTH))
    tokens = np.stack([questions, answers[questions]], axis=2).reshape(FACTS, 2 * LENGTH)
    arrays = {
        "tokens": tokens,
        "labels": np.tile([False, True], (FACTS, LENGTH)),
        "lengths": np.full(FACTS, 2 * LENGTH),
        "vocabulary": vocabulary,
        "pieces": np.arange(vocabulary).astype(str),
        "split": np.full(FACTS, "train"),
        "group": np.ones(FACTS, int),
        "copies": np.ones(FACTS, int),
    }
    return Facts(arrays, "cpu")
