"""Pairs of numbers that are all trained equally often, beside pairs that never are.

Imported when the Snakefile is read: nothing here may import torch or pandas.
"""

from collections.abc import Mapping

import numpy as np

from memorization.memory_layer.data.examples import examples
from memorization.memory_layer.data.number_pairs import DIGITS, check_count, columns, sample_pairs


def make(settings: Mapping, rng: np.random.Generator):
    """Examples "key:value " in the splits train, new and novel; keys are unique over all of them.

    The test set of known pairs is train itself; ``new`` holds what a second training adds, ``novel`` what none shows.
    The task's columns are ``key`` and ``answer``, numbers as text.

    Parameters
    ----------
    settings : how many pairs: ``size`` in train, ``new``, ``novel``; ``copies`` of each pair in a pass
    """
    sizes = {"train": settings["size"], "new": settings["new"], "novel": settings["novel"]}
    keys, values = sample_pairs(sum(sizes.values()), rng)
    split = np.repeat(list(sizes), list(sizes.values()))
    return examples(
        columns([f"{key}:" for key in keys.tolist()], values)
        | {
            "split": split,
            "item": keys.astype(str),
            "copies": np.where(split == "novel", 0, settings["copies"]),
            "bucket": settings["copies"],
            "key": keys.astype(str),
        }
    )


def check(settings: Mapping, where: str) -> None:
    """Refuse more pairs than numbers.

    Raises
    ------
    ConfigurationError
    """
    check_count(sum(settings[name] for name in ("size", "new", "novel")), f"{where}: size, new and novel")


def characters(settings: Mapping) -> str:
    """All that may stand in a text, sorted."""
    return "".join(sorted(f"{DIGITS}: "))


def masking(settings: Mapping) -> dict[str, str]:
    """The rule of ``memorization.training.masking`` by which tokens are answers, and its options."""
    return {"rule": "digit_lookup"}
