"""The texts that prompts are trained on: of a pool of documents, or random tokens. Knows nothing of torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer

from memorization.prompt_capacity.identifiers import identifiers
from memorization.provenance import generator

if TYPE_CHECKING:
    from collections.abc import Iterator

FAMILY = "prompt_capacity"


@dataclass(frozen=True)
class Trials:
    """Groups of texts, one P each.

    Attributes
    ----------
    texts : (trials, group, length) tokens
    ids : (trials, group, id_length) tokens
    kinds : (trials,) ``text`` or ``random``
    """

    texts: np.ndarray
    ids: np.ndarray
    kinds: np.ndarray

    def cut(self, length: int) -> "Trials":
        """The first tokens of each text: shorter texts are the beginnings of longer ones."""
        return Trials(self.texts[..., :length], self.ids, self.kinds)

    def of(self, kind: str) -> "Trials":
        rows = self.kinds == kind
        return Trials(self.texts[rows], self.ids[rows], self.kinds[rows])


class Pool:
    """The documents of a data set that no model trained here has seen, as its file holds them.

    Parameters
    ----------
    arrays : of ``as_arrays``
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self.documents = np.split(arrays["documents"], arrays["ends"][:-1])
        self.tokenizer = Tokenizer.from_str(arrays["tokenizer"].tobytes().decode())
        self.vocabulary = int(arrays["vocabulary"])

    def trials(self, settings: Mapping, length: int, seed: int, place: Mapping, purpose: str = "trials") -> Trials:
        """Groups of texts with their IDs, the texts of documents first and those of random tokens after them.

        No document is in two groups. Another purpose has other texts, if there are documents enough.

        Parameters
        ----------
        settings : ``trials``, ``random_trials``, ``batch_size`` (texts of a group), ``id_length``, ``id_method``
        length : of a text in tokens
        seed : of the run
        place : ``start_index`` and ``stride``: group g has the documents from start_index + g · stride on, from their
            beginning; start_index None: random documents, at random places
        purpose : of the random stream

        Raises
        ------
        ValueError
            If there are too few documents that are long enough.
        """
        group = settings["batch_size"]
        found = self._documents(settings["trials"], group, length, generator(FAMILY, seed, purpose), place)
        rng = generator(FAMILY, seed, f"random tokens of {purpose}")
        drawn = rng.integers(self.vocabulary, size=(settings["random_trials"], group, length))
        texts = np.concatenate([found, drawn])
        of_ids = [
            identifiers(
                settings["id_method"],
                each,
                settings["id_length"],
                self.tokenizer,
                generator(FAMILY, seed, trial, f"IDs of {purpose}"),
            )
            for trial, each in enumerate(texts)
        ]
        kinds = np.repeat(["text", "random"], [settings["trials"], settings["random_trials"]])
        return Trials(texts, np.array(of_ids).reshape(len(texts), group, settings["id_length"]), kinds)

    def _documents(self, trials: int, group: int, length: int, rng: np.random.Generator, place: Mapping) -> np.ndarray:
        if place["start_index"] is None:
            long = [each for each in self.documents if len(each) >= length]
            if len(long) < trials * group:
                raise ValueError(
                    f"{len(long)} documents have {length} tokens, but {trials} groups of {group} texts need "
                    f"{trials * group}; allowed: fewer or shorter texts"
                )
            order = rng.permutation(len(long))[: trials * group]
            starts = [int(rng.integers(len(long[n]) - length + 1)) for n in order]
            cut = [long[n][start : start + length] for n, start in zip(order, starts, strict=True)]
        else:
            cut = [each for g in range(trials) for each in self._from_row(g, group, length, place)]
        return np.array(cut, np.int64).reshape(trials, group, length)

    def _from_row(self, g: int, group: int, length: int, place: Mapping) -> list[np.ndarray]:
        first = place["start_index"] + g * place["stride"]
        long = [each[:length] for each in self.documents[first:] if len(each) >= length][:group]
        if len(long) < group:
            raise ValueError(
                f"group {g} begins at row {first}, behind which {len(long)} texts have {length} tokens, not {group}; "
                "allowed: an earlier start_index, a smaller stride, shorter texts, a larger limit"
            )
        return long


def as_arrays(documents: Sequence[np.ndarray], tokenizer: str, vocabulary: int) -> dict[str, np.ndarray]:
    """``documents``, their tokens one behind the other; where each ``ends``; ``tokenizer``, JSON; ``vocabulary``."""
    return {
        "documents": np.concatenate(documents).astype(np.int32),
        "ends": np.cumsum([len(each) for each in documents]),
        "tokenizer": np.frombuffer(tokenizer.encode(), np.uint8),
        "vocabulary": np.array(vocabulary),
    }


def tokenized(texts: "Iterator[str]", tokenizer: Tokenizer, limit: int) -> list[np.ndarray]:
    """The tokens of the first ``limit`` texts, special tokens not added.

    Raises
    ------
    ValueError
        If there is no text.
    """
    found = [
        np.array(tokenizer.encode(text, add_special_tokens=False).ids, np.int32)
        for text, _ in zip(texts, range(limit), strict=False)
    ]
    if not sum(map(len, found)):
        raise ValueError("there is no text; allowed: at least one with a token")
    return found
