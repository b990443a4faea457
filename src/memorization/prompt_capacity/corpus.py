"""What base models are trained on: text of this machine's Python with exercises, and the text that is held out."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from memorization.data.byte_pairs import BytePairs, train_byte_pairs
from memorization.data.texts import documents
from memorization.prompt_capacity import FAMILY
from memorization.prompt_capacity.questions import exercises
from memorization.provenance import generator

END = 0  # the token between texts
SAMPLE = 2_000_000  # characters that the tokenizer is trained on


class Corpus(NamedTuple):
    """A tokenizer (JSON), the tokens of ``held_out`` documents, and ``rows`` (n, row_length) of training."""

    tokenizer: str
    held_out: list[np.ndarray]
    rows: np.ndarray


def corpus(settings: Mapping) -> Corpus:
    """The corpus of a data set of kind python.

    Parameters
    ----------
    settings : ``name``, ``data_types`` and ``vocabulary``; ``held_out``, the share of documents that no model trains
        on; ``tokens`` and ``row_length`` of training; ``exercises``, the share of these tokens that are exercises of
        ``task`` (``questions.exercises``), None for none

    Raises
    ------
    ValueError
        If there is less text.
    """
    rng = generator(FAMILY, settings["name"], "corpus")
    found = documents(settings["data_types"])
    order = rng.permutation(len(found))
    n_held_out = round(settings["held_out"] * len(found))
    held_out, rest = ([found[n].text for n in part] for part in (order[:n_held_out], order[n_held_out:]))
    needed = settings["tokens"]
    wanted = round(settings["exercises"] * needed) if settings["task"] else 0
    texts = exercises(settings["task"], wanted // 8, rng) if wanted else []
    sample, size = [], 0
    for text in rest:
        if size < SAMPLE:
            sample.append(text)
            size += len(text)
    tokenizer = train_byte_pairs([*sample, *texts[: len(texts) // 8]], settings["vocabulary"])
    pairs = BytePairs(tokenizer)
    of_text = _stream(rest, pairs, needed - wanted)
    of_exercises = _stream(texts, pairs, wanted)
    if len(of_text) < needed - wanted:
        raise ValueError(
            f"tokens: {needed}, but the documents of training have {len(of_text)} of {needed - wanted}; allowed: "
            "fewer, or more data_types"
        )
    length = settings["row_length"]
    parts = [each[: len(each) // length * length].reshape(-1, length) for each in (of_text, of_exercises)]
    rows = rng.permutation(np.concatenate(parts))
    return Corpus(tokenizer, pairs.encode(held_out), rows.astype(np.int32))


def _stream(texts: list[str], pairs: BytePairs, tokens: int) -> np.ndarray:
    """The first tokens of texts one behind the other, ``END`` between them."""
    found: list[np.ndarray] = []
    count = 0
    for text in texts:
        if count >= tokens:
            break
        found += [*pairs.encode([text]), np.array([END], np.int32)]
        count += len(found[-2]) + 1
    return np.concatenate(found)[:tokens] if found else np.zeros(0, np.int32)
