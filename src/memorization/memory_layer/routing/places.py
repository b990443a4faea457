"""The places of some texts, each token's own, what is told of them by the tokens alone, and which ones count."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from memorization.memory_layer.routing.token_types import type_codes

BEGINNING = 2  # tokens of a text's beginning that make texts alike
NONE = -1  # where there is no such thing
ANSWERS, TEXTS = "answers", "texts"  # which places of a layer count


def places(arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> pd.DataFrame:
    """Every token of some rows, without padding, row by row.

    Parameters
    ----------
    arrays : of a data set: ``tokens``, ``labels`` (n, longest), ``lengths`` (n,), ``pieces`` (vocabulary,)
    rows : of them

    Returns
    -------
    DataFrame of int64: ``row``; ``text_position``; ``token``, that is read here; ``type`` of it, a place in ``TYPES``;
    ``previous``, the token before; ``next``, the token that comes, and ``answer_position``, its position in the answer,
    both ``NONE`` where what comes is no answer; ``answer_behind``, 1 where a token of an answer comes, at once or
    later, else 0; ``word``, a number of the word so far, the letters and digits up to here, where it has two tokens or
    more; ``beginning``, a number of the text's first two tokens, behind them; ``seen``, a number of all that the model
    has seen here. What is not there is ``NONE``.
    """
    tokens, answers = arrays["tokens"][rows].astype(np.int64), arrays["labels"][rows].astype(bool)
    there = np.arange(tokens.shape[1]) < arrays["lengths"][rows][:, None]
    goes_on = _continues(tokens, arrays["pieces"])
    words = sequences(tokens, goes_on)
    seen = sequences(tokens, np.ones_like(goes_on))
    comes = np.pad(answers[:, 1:], ((0, 0), (0, 1)))
    order = np.cumsum(answers, axis=1)  # of a token's answers so far, itself included: the place of the next one
    last = min(BEGINNING, tokens.shape[1]) - 1
    behind = np.arange(tokens.shape[1]) > last
    columns = {
        "row": np.broadcast_to(rows[:, None], tokens.shape),
        "text_position": np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape),
        "token": tokens,
        "type": type_codes(arrays["pieces"])[tokens],
        "previous": np.pad(tokens[:, :-1], ((0, 0), (1, 0)), constant_values=NONE),
        "next": np.where(comes, np.pad(tokens[:, 1:], ((0, 0), (0, 1))), NONE),
        "answer_position": np.where(comes, order, NONE),
        "answer_behind": np.logical_or.accumulate(comes[:, ::-1], axis=1)[:, ::-1],
        "word": np.where(goes_on, words, NONE),
        "beginning": np.where(behind, seen[:, last, None], NONE),
        "seen": seen,
    }
    return pd.DataFrame({name: values[there].astype(np.int64) for name, values in columns.items()})


def counted(table: pd.DataFrame, is_last: bool) -> np.ndarray:
    """The places at which what a memory reads can change an answer, ascending: the others are never trained.

    In the last layer those that predict a token of an answer (``ANSWERS``), in a layer before it all up to the last of
    these (``TEXTS``), at which later layers look.

    Parameters
    ----------
    table : as ``places`` gives it
    is_last : whether the memory is in the last layer
    """
    matters = table["answer_position"] != NONE if is_last else table["answer_behind"] == 1
    return np.flatnonzero(matters)


def sequences(tokens: np.ndarray, goes_on: np.ndarray) -> np.ndarray:
    """A number for each different run of tokens that ends at a place, equal exactly where the runs are.

    Parameters
    ----------
    tokens : (n, length) int64, from 0
    goes_on : (n, length) bool, whether a place's run began before it; in the first column it did not

    Returns
    -------
    (n, length) int64, from 1
    """
    numbers: dict[tuple[int, int], int] = {}
    found = np.zeros(tokens.shape, np.int64)
    size = int(tokens.max(initial=0)) + 1
    for column in range(tokens.shape[1]):
        before = found[:, column - 1] * goes_on[:, column] if column else np.zeros(len(tokens), np.int64)
        keys, inverse = np.unique(before * size + tokens[:, column], return_inverse=True)
        of_keys = [numbers.setdefault(key, len(numbers) + 1) for key in keys.tolist()]
        found[:, column] = np.array(of_keys, np.int64)[inverse]
    return found


def pool_of(table: pd.DataFrame, n_places: int, rng: np.random.Generator) -> np.ndarray:
    """The places of a random pool, ascending: of places that have seen the same, which a model cannot tell apart, one.

    Parameters
    ----------
    table : as ``places`` gives it
    n_places : at most so many
    """
    order = rng.permutation(len(table))
    _, first = np.unique(table["seen"].to_numpy()[order], return_index=True)
    return np.sort(order[np.sort(first)[:n_places]])


def _continues(tokens: np.ndarray, pieces: np.ndarray) -> np.ndarray:
    """Whether a token goes on with the word of the token before it: both are letters and digits, with no space."""
    inside = np.array([text.removeprefix("##").isalnum() for text in pieces])
    ends = np.array([text[-1:].isalnum() for text in pieces])
    goes_on = np.zeros(tokens.shape, bool)
    goes_on[:, 1:] = inside[tokens[:, 1:]] & ends[tokens[:, :-1]]
    return goes_on
