"""Two facts, A is B's and B is C's, and whether a model that was trained on both says what follows for A and C.

Imported when the Snakefile is read: nothing here may import torch or pandas.
"""

import math
import string
from collections.abc import Mapping

import numpy as np

from memorization.configuration import ConfigurationError
from memorization.memory_layer.data.examples import examples
from memorization.memory_layer.data.names import check_strings, unique_strings

LETTERS = string.ascii_uppercase


def make(settings: Mapping, rng: np.random.Generator):
    """Examples of chains A → B → C, whose names are all different, in the splits train and novel.

    Facts are "A:B " and "B:C ", what follows from them is "A>C ", or with a chain of thought "A>B C ". All facts
    are in training, and what follows from them for the ``known`` chains; for the ``novel`` ones it never is.
    Each fact stands behind ``n_prefixes`` other names too, "X A:B ", once each, and the rest as often as these
    together: else no fact is ever trained behind other letters, and none is found behind "A>B ".
    The task's columns: ``kind`` (first_hop, second_hop, composed), ``chain``, its number, and ``answer``.

    Parameters
    ----------
    settings : ``num_chains``; ``known``, their share; ``chain_of_thought``; ``name_length``, letters; ``n_prefixes``
    """
    count, known = settings["num_chains"], _known(settings)
    n_prefixes, length = settings["n_prefixes"], settings["name_length"]
    drawn = unique_strings((3 + 2 * n_prefixes) * count, length, LETTERS, rng)
    (a, b, c), others = drawn[: 3 * count].reshape(3, count).tolist(), drawn[3 * count :].tolist()
    chain_of_thought = settings["chain_of_thought"]
    then = [f"{bridge} {last}" for bridge, last in zip(b, c, strict=True)] if chain_of_thought else c
    facts = [f"{name}:" for name in (*a, *b)]
    prefixed = [f"{other} {fact}" for other, fact in zip(others, facts * n_prefixes, strict=True)]
    asked = [*facts, *(f"{name}>" for name in a), *prefixed]
    answers = [*b, *c, *then, *[*b, *c] * n_prefixes]
    starts = np.array([len(question) for question in asked])
    copies = np.repeat([max(1, n_prefixes), 1], [3 * count, len(prefixed)])
    kinds = ["first_hop", "second_hop", "composed", *["first_hop", "second_hop"] * n_prefixes]
    kind, chain = np.repeat(kinds, count), np.tile(np.arange(count), len(kinds))
    is_novel = (kind == "composed") & (chain >= known)
    lengths = np.array([len(answer) for answer in answers])
    letters = np.where((kind == "composed") & chain_of_thought, 2, 1) * length
    table = examples(
        {
            "text": [f"{question}{answer} " for question, answer in zip(asked, answers, strict=True)],
            "answer_start": starts,
            "answer_end": starts + lengths,
            "split": np.where(is_novel, "novel", "train"),
            "item": asked,
            "copies": np.where(is_novel, 0, copies),
            "bucket": 1,
            "chance": (letters / len(LETTERS) + (lengths - letters)) / lengths,  # an inner space is no guess
            "prior_bits": letters * math.log2(len(LETTERS)),
            "kind": kind,
            "chain": chain,
            "answer": answers,
        }
    )
    verify(table)
    return table


def verify(table) -> None:
    """Assert that of each novel chain both facts are trained, and what follows from them is not, in whatever text.

    Raises
    ------
    ValueError
        One line that names the question.
    """
    trained = table[table["copies"] > 0]
    facts = dict(zip(trained["item"], trained["answer"], strict=True))
    asked = {question.split(" ")[-1] for question in facts}
    for question, answer in table.loc[table["split"] == "novel", ["item", "answer"]].itertuples(index=False):
        first = question.removesuffix(">")
        bridge = facts.get(f"{first}:")
        last = facts.get(f"{bridge}:")
        if last is None or answer not in (last, f"{bridge} {last}"):
            raise ValueError(f"two_hop: {question!r}: not both of its facts are in training")
        if question in asked:
            raise ValueError(f"two_hop: {question!r}: novel, but trained")


def check(settings: Mapping, where: str) -> None:
    """Refuse too few names, and chains that are all known or all novel.

    Raises
    ------
    ConfigurationError
    """
    check_strings(
        (3 + 2 * settings["n_prefixes"]) * settings["num_chains"], settings["name_length"], LETTERS, f"{where}: names"
    )
    if not 0 < _known(settings) < settings["num_chains"]:
        raise ConfigurationError(
            f"{where}.known: {settings['known']} of {settings['num_chains']} chains; allowed: a share that leaves some "
            "known and some novel"
        )


def characters(settings: Mapping) -> str:
    """All that may stand in a text, sorted."""
    return "".join(sorted(f"{LETTERS}:> "))


def masking(settings: Mapping) -> dict[str, str]:
    """The rule of ``memorization.training.masking`` by which tokens are answers, and its options."""
    return {"rule": "two_hop"}


def _known(settings: Mapping) -> int:
    return round(settings["known"] * settings["num_chains"])
