"""Pairs of numbers that training shows 1, 2, 4, …, 128 times in one pass: recall against exposures.

Imported when the Snakefile is read: nothing here may import torch or pandas.
"""

from collections.abc import Mapping

import numpy as np

from memorization.configuration import ConfigurationError
from memorization.memory_layer.data.examples import examples, held_out
from memorization.memory_layer.data.number_pairs import DIGITS, check_count, columns, sample_pairs

BUCKETS = tuple(2**n for n in range(8))  # exposures in one pass
QUESTIONS = {
    "pairs": ("{}:",),
    "question": (
        "Which number belongs to {}?",
        "What number stands beside {}?",
        "If the key is {}, what is the value?",
        "{} is paired with which number?",
    ),
}


def make(settings: Mapping, rng: np.random.Generator):
    """Examples of ``num_pairs`` pairs, as many in each bucket (or one more), in the splits train, val and test.

    A split is by item: those of val and test are never trained, and carry the bucket that they would have had.
    The task's columns are ``key`` and ``answer``, numbers as text.

    Parameters
    ----------
    settings : ``num_pairs``; ``template``, a key of ``QUESTIONS``; ``val`` and ``test``, shares of each bucket
    """
    count = settings["num_pairs"]
    keys, values = sample_pairs(count, rng)
    templates = QUESTIONS[settings["template"]]
    asked = rng.integers(len(templates), size=count)
    bucket = np.arange(count) % len(BUCKETS)
    split = np.full(count, "train", dtype="<U5")
    for place in range(len(BUCKETS)):
        members = np.flatnonzero(bucket == place)  # in random order, as the keys are
        val, test = (held_out(len(members), settings[name]) for name in ("val", "test"))
        split[members[:val]] = "val"
        split[members[val : val + test]] = "test"
    exposures = np.array(BUCKETS)[bucket]
    questions = [templates[n].format(key) for n, key in zip(asked, keys.tolist(), strict=True)]
    return examples(
        columns(questions, values)
        | {
            "split": split,
            "item": keys.astype(str),
            "copies": np.where(split == "train", exposures, 0),
            "bucket": exposures,
            "key": keys.astype(str),
        }
    )


def check(settings: Mapping, where: str) -> None:
    """Refuse more pairs than numbers, and shares that leave a bucket without training.

    Raises
    ------
    ConfigurationError
    """
    count, template = settings["num_pairs"], settings["template"]
    check_count(count, f"{where}.num_pairs")
    if template not in QUESTIONS:
        raise ConfigurationError(f"{where}.template: {template!r} is not allowed; allowed: {', '.join(QUESTIONS)}")
    sizes = {count // len(BUCKETS), -(-count // len(BUCKETS))}
    if any(size <= sum(held_out(size, settings[name]) for name in ("val", "test")) for size in sizes):
        raise ConfigurationError(
            f"{where}: val {settings['val']} and test {settings['test']} of {count} pairs leave nothing to train in "
            f"{len(BUCKETS)} buckets; allowed: more pairs, or smaller shares"
        )


def characters(settings: Mapping) -> str:
    """All that may stand in a text, sorted."""
    texts = "".join(QUESTIONS[settings["template"]]) + DIGITS + " "
    return "".join(sorted(set(texts) - set("{}")))


def masking(settings: Mapping) -> dict[str, str]:
    """The rule of ``memorization.training.masking`` by which tokens are answers, and its options."""
    return {"rule": "synthetic_qa"}
