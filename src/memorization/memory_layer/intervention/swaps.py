"""The swap matrix: of each pair of the most used slots what the examples of one are answered in the other's place."""

import numpy as np
import pandas as pd

from memorization.memory_layer.intervention.answered import Answered, answers_after_swap, largest, total_weights
from memorization.memory_layer.intervention.shares import SWAP, contents_of, pair_shares
from memorization.memory_layer.model import memories
from memorization.memory_layer.training import Facts
from memorization.memory_layer.typed_tables import typed
from memorization.models.decoder import Decoder
from memorization.models.memory_layer import FlatKeyMemory, Memory


def kinds_of(memory: Memory) -> tuple[str, str]:
    """The swaps of a matrix: values, and keys; of product keys both half-keys of the slots, which other slots share."""
    return ("values", "keys" if isinstance(memory, FlatKeyMemory) else "half_keys")


def examples_of(kept: Answered) -> pd.DataFrame:
    """A slot's examples: the tokens that are answered right and whose largest weight, summed over heads, is on it.

    Returns
    -------
    DataFrame, by index in ``kept``: ``slot``, ``position``, ``target``
    """
    every = pd.DataFrame({"slot": largest(kept), "position": kept.position, "target": kept.target})
    return every[kept.target == kept.given]


def most_used(kept: Answered, examples: pd.DataFrame, n_slots: int) -> np.ndarray:
    """The ``n_slots`` slots of the largest total weight, of those that have examples: the largest first."""
    weights, used = total_weights(kept), np.unique(examples["slot"])
    return used[np.argsort(-weights[used], kind="stable")][:n_slots]


def swap_table(model: Decoder, facts: Facts, kept: Answered, n_slots: int) -> pd.DataFrame:
    """``swap``: of each kind of swap, ordered pair of slots and position of the answer, ``shares.pair_shares``.

    Parameters
    ----------
    kept : of rows that were trained
    n_slots : of the most used slots that have examples, how many are swapped in pairs
    """
    memory, examples = memories(model)[kept.layer], examples_of(kept)
    slots = most_used(kept, examples, n_slots)
    examples = examples[examples["slot"].isin(slots)]
    number = pd.Series(np.arange(len(slots)), index=slots)
    numbered = examples.assign(slot=examples["slot"].map(number).astype(np.int64))
    n_positions = int(kept.position.max(initial=0)) + 1
    contents = contents_of(*(numbered[name].to_numpy() for name in numbered), len(slots), n_positions)
    parts = []
    for kind in kinds_of(memory):
        shares = pair_shares(outcomes_of(model, facts, kept, numbered, slots, kind), *contents)
        shares = shares.assign(slot=slots[shares["slot"]], partner_slot=slots[shares["partner_slot"]])
        parts.append(shares.assign(kind=kind, layer=kept.layer))
    return typed(parts, SWAP)


def outcomes_of(
    model: Decoder, facts: Facts, kept: Answered, examples: pd.DataFrame, slots: np.ndarray, kind: str
) -> pd.DataFrame:
    """What the examples of each slot are answered after its swap with each other one.

    Parameters
    ----------
    examples : ``examples_of``'s, with numbers in ``slots`` as their ``slot``

    Returns
    -------
    DataFrame: ``slot`` and ``partner_slot``, numbers in ``slots``, ``position``, ``own``, ``after``, ``change`` (bits)
    """
    of = {number: part.index.to_numpy() for number, part in examples.groupby("slot")}
    empty = dict.fromkeys(("slot", "partner_slot", "token", "after"), np.int64) | {"bits": np.float64}
    parts = {name: [np.zeros(0, kind)] for name, kind in empty.items()}
    for a in range(len(slots)):
        for b in range(a + 1, len(slots)):
            tokens = np.concatenate([of[a], of[b]])
            slot = np.repeat([a, b], [len(of[a]), len(of[b])])
            answered = answers_after_swap(model, facts, kept, tokens, kind, int(slots[a]), int(slots[b]))
            for name, values in zip(parts, (slot, a + b - slot, tokens, *answered), strict=True):
                parts[name].append(values)
    found = pd.DataFrame({name: np.concatenate(values) for name, values in parts.items()})
    tokens = found.pop("token").to_numpy()
    change = found.pop("bits") - kept.nll_bits[tokens]
    return found.assign(position=kept.position[tokens], own=kept.given[tokens], change=change)
