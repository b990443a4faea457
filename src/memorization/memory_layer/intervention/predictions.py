"""Predictions before and after each intervention, example by example."""

from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from memorization.memory_layer.intervention.answered import Answered, largest
from memorization.memory_layer.intervention.changes import content, injected, mean_content, replaced, swapped
from memorization.memory_layer.model import answer_logits, memories
from memorization.memory_layer.training import Facts
from memorization.memory_layer.typed_tables import typed
from memorization.models.decoder import Decoder
from memorization.models.memory_layer import FlatKeyMemory, Memory

LN2 = np.log(2)
TEXTS = ("target", "before", "after", "partner_answer")
PREDICTIONS = {
    "intervention": str, "layer": int, "split": str, "item": str, "position": int,
    "slot": int, "partner_slot": int, "target": str, "before": str, "after": str, "partner_answer": str,
    "kind": str, "chance": float, "nll_before_bits": float, "nll_after_bits": float,
}  # fmt: skip


class Case(NamedTuple):
    """An example and its partner: tokens, as indices in ``Answered``, and the slots of their largest weights."""

    token: int
    partner: int
    slot: int
    partner_slot: int


def cases_of(kept: Answered, n_examples: int, rng: np.random.Generator) -> list[Case]:
    """Some tokens, each with a partner from ``partners``, all drawn without regard to how they are answered.

    A token without a possible partner is left out.
    """
    slots = largest(kept)
    drawn = np.sort(rng.choice(len(slots), min(n_examples, len(slots)), replace=False))
    found = []
    for token in drawn.tolist():
        others = partners(kept, slots, token)
        if len(others):
            partner = int(rng.choice(others))
            found.append(Case(token, partner, int(slots[token]), int(slots[partner])))
    return found


def partners(kept: Answered, slots: np.ndarray, token: int) -> np.ndarray:
    """Tokens at the same position of the answer, of another slot, whose answer is neither given nor right here."""
    other_answer = (kept.target != kept.target[token]) & (kept.target != kept.given[token])
    return np.flatnonzero(other_answer & (kept.position == kept.position[token]) & (slots != slots[token]))


def interventions(
    memory: Memory, kept: Answered, case: Case, at: tuple, noise: Tensor, mean: Tensor
) -> dict[str, AbstractContextManager]:
    """The changes that an example is answered under.

    Swaps of its slot with its partner's: ``swap_values``, ``swap_keys``, and of product keys ``swap_half_keys``. What
    its slot holds replaced: ``replace_mean``, by the mean of all slots; ``replace_other``, by what its partner's slot
    holds; ``replace_noise``, by a draw of the initial distribution; ``replace_zero``. ``inject``: it retrieves what
    its partner does, with the same weights.

    Parameters
    ----------
    at : where the example stands in what the memory gets, as in ``changes.injected``
    noise, mean : as ``changes.content``
    """
    i, j = case.slot, case.partner_slot
    kinds = ["values", "keys"] + ([] if isinstance(memory, FlatKeyMemory) else ["half_keys"])
    new = {"mean": mean, "other": content(memory, j), "noise": noise, "zero": torch.zeros_like(mean)}
    return (
        {f"swap_{kind}": swapped(memory, kind, i, j) for kind in kinds}
        | {f"replace_{name}": replaced(memory, i, each) for name, each in new.items()}
        | {"inject": injected(memory, at, kept.slots[case.partner], kept.weights[case.partner])}
    )


@torch.no_grad()
def predictions_table(
    model: Decoder,
    facts: Facts,
    kept: Answered,
    items: np.ndarray,
    n_examples: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """``predictions``: of some tokens of answers what is answered before and under each of ``interventions``.

    The model with the changed memory is run for each. ``kind`` is ``partner`` if the partner's answer is given, ``own``
    if the one from before, or ``neither``. ``chance`` is the share of its possible partners whose answer is given:
    the mean over rows is the chance level of ``partner``.

    Parameters
    ----------
    kept : of some rows
    items : (len(facts),) names
    n_examples : how many tokens at most
    """
    memory, rows = memories(model)[kept.layer], []
    slots, mean = largest(kept), mean_content(memory)
    for case in cases_of(kept, n_examples, rng):
        row, position, before = kept.row[case.token], kept.position[case.token], kept.given[case.token]
        noise = torch.from_numpy(rng.standard_normal(tuple(mean.shape))).to(mean) * mean.shape[0] ** -0.5
        tokens, _, columns, lengths, targets = facts.batch([int(row)])
        inputs = tokens, torch.zeros_like(columns), columns, lengths
        is_last = kept.layer == len(model.layers) - 1
        at = (int(position),) if is_last else (0, int(columns[position]) - 1)
        answers = kept.target[partners(kept, slots, case.token)]
        about = {"layer": kept.layer, "split": facts.split[row], "item": items[row], "position": position}
        about |= {"slot": case.slot, "partner_slot": case.partner_slot, "target": targets[position].item()}
        about |= {"before": before, "partner_answer": kept.target[case.partner]}
        nll_before, _ = _answer(model, inputs, int(position), int(targets[position]))
        for name, change in interventions(memory, kept, case, at, noise, mean).items():
            with change:
                nll_after, after = _answer(model, inputs, int(position), int(targets[position]))
            kind = "partner" if after == about["partner_answer"] else "own" if after == before else "neither"
            outcome = {"after": after, "kind": kind, "chance": (answers == after).mean()}
            bits = {"nll_before_bits": nll_before, "nll_after_bits": nll_after}
            rows.append({"intervention": name, **about, **outcome, **bits})
    table = pd.DataFrame(rows, columns=list(PREDICTIONS))
    texts = {name: facts.arrays["pieces"][table[name].to_numpy(int)] for name in TEXTS}
    return typed([table.assign(**texts)], PREDICTIONS)


def _answer(model: Decoder, inputs: tuple, position: int, target: int) -> tuple[float, int]:
    """The bits of a token and the likeliest one, at a position of the answer of a row alone."""
    logits = answer_logits(model, *inputs)[0][position].float()
    return float(-logits.log_softmax(dim=-1)[target]) / LN2, int(logits.argmax())
