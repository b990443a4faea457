"""The kinds of data sets, and which module makes which.

Imported when the Snakefile is read: nothing here may import torch or pandas.
"""

from collections.abc import Mapping

import numpy as np

from memorization.configuration import ConfigurationError
from memorization.memory_layer.data import digit_lookup, hash_hop, synthetic_qa, two_hop, word_problems
from memorization.memory_layer.data.token_arrays import token_arrays
from memorization.memory_layer.data.tokens import check_tokenizer

KINDS = {
    "synthetic_qa": synthetic_qa,
    "digit_lookup": digit_lookup,
    "two_hop": two_hop,
    "hash_hop": hash_hop,
    "word_problems": word_problems,
}


def make(settings: Mapping, rng: np.random.Generator):
    """The examples of a data set, as ``data.examples.examples`` gives them.

    Parameters
    ----------
    settings : ``kind``, and what the ``make`` of that kind's module takes
    rng : the same stream gives the same examples
    """
    return KINDS[settings["kind"]].make(settings, rng)


def check(settings: Mapping, where: str) -> None:
    """Refuse settings that cannot go together.

    Raises
    ------
    ConfigurationError
        One line that begins with ``where``, the data set's place in the configuration.
    """
    if settings["kind"] not in KINDS:
        raise ConfigurationError(f"{where}.kind: {settings['kind']!r} is not allowed; allowed: {', '.join(KINDS)}")
    KINDS[settings["kind"]].check(settings, where)
    check_tokenizer(settings.get("tokenizer", "characters"), f"{where}.tokenizer")


def trained(settings: Mapping) -> list[str]:
    """The splits that may be trained on."""
    return ["train", "new"] if settings["kind"] == "digit_lookup" and settings["new"] else ["train"]


def tokens(table, settings: Mapping) -> dict[str, np.ndarray]:
    """A data set as arrays of tokens, as ``token_arrays.token_arrays`` gives them."""
    return token_arrays(table, settings, KINDS[settings["kind"]])


def characters(settings: Mapping) -> str:
    """All that may stand in a data set's texts, sorted."""
    return KINDS[settings["kind"]].characters(settings)
