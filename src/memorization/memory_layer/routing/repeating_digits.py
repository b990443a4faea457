"""Numbers whose digits repeat: whether they use other slots, or are recalled otherwise."""

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import pandas as pd

from memorization.statistics import spearman

ENTITIES = ("key", "answer")
MEASURES = ("repeats", "longest_run")
AGAINST = ("n_slots", "weight_entropy_bits", "recall", "nll_bits")
REPEATING_DIGITS = {
    "split": str, "entity": str, "measure": str, "against": str, "rho": float, "low": float, "high": float, "n": int
}  # fmt: skip


def repeats(text: str) -> int:
    """Digits that stood in the text before: its length less its different digits."""
    return len(text) - len(set(text))


def longest_run(text: str) -> int:
    """The most equal digits in a row."""
    return max(len(list(run)) for _, run in groupby(text))


def repeating_digits_table(
    data: pd.DataFrame, use: pd.DataFrame, by_fact: pd.DataFrame, rows: np.ndarray
) -> pd.DataFrame:
    """``repeating_digits``: how repeating digits go with slot use and recall, by split.

    Parameters
    ----------
    data : a data set; where its ``key`` and ``answer`` are no digits there is nothing to tell
    use : as ``slot_use`` gives it
    by_fact : ``recall`` and ``nll_bits`` of the same rows, in their order
    rows : of the data set

    Returns
    -------
    DataFrame: ``split``; ``entity``, key or answer; ``measure``, ``repeats`` or ``longest_run``; ``against``, one of
    ``AGAINST``; ``rho`` of Spearman, ``low`` and ``high`` of its 95% interval over items, NaN where all are alike;
    ``n`` items.
    """
    found = pd.DataFrame(list(_correlations(data, use, by_fact, rows)), columns=list(REPEATING_DIGITS))
    return found.astype(REPEATING_DIGITS)


def _correlations(data: pd.DataFrame, use: pd.DataFrame, by_fact: pd.DataFrame, rows: np.ndarray) -> Iterator[tuple]:
    if not has_digits(data) or use.empty:
        return
    table = by_fact[["recall", "nll_bits"]].set_axis(rows).join(use)
    some = data.iloc[rows]
    for split in dict.fromkeys(some["split"]):
        of_split = (some["split"] == split).to_numpy()
        for entity in ENTITIES:
            for measure, of in zip(MEASURES, (repeats, longest_run), strict=True):
                x = some[entity][of_split].map(of).to_numpy()
                for against in AGAINST:
                    y = table[against].to_numpy()[of_split]
                    yield split, entity, measure, against, *spearman(x, y), int(of_split.sum())


def has_digits(data: pd.DataFrame) -> bool:
    """Whether a data set has keys and answers that are digits."""
    return set(ENTITIES) <= set(data) and all(data[entity].str.fullmatch("[0-9]+").all() for entity in ENTITIES)
