"""Pairs of six-digit numbers: facts that cannot be guessed, of which there are many.

Imported when the Snakefile is read: nothing here may import torch or pandas.
"""

import numpy as np

from memorization.configuration import ConfigurationError

LOWEST, NUMBERS = 100_000, 900_000  # 100000 to 999999
CHANCE = (1 / 9 + 5 / 10) / 6  # of a digit: the first is never 0
PRIOR_BITS = float(np.log2(NUMBERS))
DIGITS = "0123456789"


def sample_pairs(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Keys that are all different and their values, drawn uniformly; a smaller set of a stream is a larger's first.

    Returns
    -------
    keys, values : (count,) int64, of six digits. Values may be equal.

    Raises
    ------
    ConfigurationError
        If there are fewer than ``count`` such numbers.
    """
    check_count(count, "pairs")
    keys = rng.permutation(NUMBERS)[:count] + LOWEST
    return keys, rng.integers(LOWEST, LOWEST + NUMBERS, count)


def check_count(count: int, where: str) -> None:
    """Refuse more pairs than there are keys.

    Raises
    ------
    ConfigurationError
    """
    if not 1 <= count <= NUMBERS:
        raise ConfigurationError(
            f"{where}: {count} pairs, but there are {NUMBERS} six-digit numbers; allowed: 1 to {NUMBERS} pairs"
        )


def columns(questions: list[str], values: np.ndarray) -> dict[str, object]:
    """The columns that follow from what is asked, the sign before the answer included, and from the numbers answered.

    A space closes each answer.
    """
    starts = np.array([len(question) for question in questions], np.int64)
    return {
        "text": [f"{question}{value} " for question, value in zip(questions, values.tolist(), strict=True)],
        "answer_start": starts,
        "answer_end": starts + 6,
        "chance": CHANCE,
        "prior_bits": PRIOR_BITS,
        "answer": values.astype(str),
    }
