"""The texts that prompts are trained on: of a pool of documents, or random tokens. Knows nothing of torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from memorization.prompt_capacity import FAMILY
from memorization.prompt_capacity.identifiers import identifiers, plain_ids
from memorization.provenance import generator

TRIALS, OTHERS = "trials", ("tuning", "control", "growing")  # what texts are for


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
        """The trials of one kind."""
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

    def trials(self, settings: Mapping, length: int, seed: int, purpose: str = TRIALS) -> Trials:
        """Groups of texts with their IDs, the texts of documents first and those of random tokens after them.

        No document is in two groups of a purpose, nor in groups of two purposes, whatever their seeds. Trials of seeds
        that follow each other have different documents as long as these last. Where there are too few documents for
        another purpose than trials, there are fewer groups. Random tokens are none that a tokenizer
        adds to its vocabulary.

        Parameters
        ----------
        settings : ``trials``, ``random_trials``, ``batch_size`` (texts of a group), ``id_length``, ``id_method``; of
            the groups of ``trials`` their number ``n_trials`` and size ``group_size``, the length ``longest`` that they
            are drawn at, the first of the seeds, ``first_seed``, and their ``place``: ``start_index`` and ``stride``.
            Counted over seeds, group g has the first documents from start_index + g · stride on, before the next half
            of a stride, and all texts are beginnings of documents; start_index None: random documents and places
        length : of a text in tokens
        seed : of the run
        purpose : ``trials``, ``tuning``, ``control`` or ``growing``

        Raises
        ------
        ValueError
            If there are too few documents that are long enough.
        """
        group = settings["batch_size"]
        rng = generator(FAMILY, seed, f"random tokens of {purpose}")
        drawn = rng.choice(plain_ids(self.tokenizer), size=(settings["random_trials"], group, length))
        found = self._documents(settings, length, seed, purpose)
        texts = np.concatenate([found, drawn])
        method, of_ids, stream = settings["id_method"], settings["id_length"], f"IDs of {purpose}"
        ids = [
            identifiers(method, each, of_ids, self.tokenizer, generator(FAMILY, seed, trial, stream))
            for trial, each in enumerate(texts)
        ]
        kinds = np.repeat(["text", "random"], [len(found), len(drawn)])
        return Trials(texts, np.array(ids).reshape(len(texts), group, of_ids), kinds)

    def _documents(self, settings: Mapping, length: int, seed: int, purpose: str) -> np.ndarray:
        group, begin = settings["batch_size"], settings["place"]["start_index"]
        needed = settings["trials"] * group
        if purpose == TRIALS:
            rows = self._rows_of_trials(settings, seed)
        else:
            others = self._others(settings)[OTHERS.index(purpose) :: len(OTHERS)]
            order = generator(FAMILY, seed, f"documents of {purpose}").permutation(others)
            rows = [int(row) for row in order if len(self.documents[row]) >= length][:needed]
            if len(rows) < group:
                raise ValueError(_too_few(len(rows), length, group, f"for {purpose} besides the trials"))
            if len(rows) < needed:
                rows = rows[: len(rows) // group * group]
                print(f"{purpose}: {len(rows)} documents, not {needed}: no more have {length} tokens", flush=True)
        rng = generator(FAMILY, seed, f"places of {purpose}")
        cut = []
        for row in rows:
            document = self.documents[row]
            start = 0 if begin is not None else int(rng.integers(len(document) - length + 1))
            cut.append(document[start : start + length])
        return np.array(cut, np.int64).reshape(-1, group, length)

    def _halves(self) -> np.ndarray:
        """All documents in an order that is no seed's: the first half is for trials, the second for all else."""
        return generator(FAMILY, "order of documents").permutation(len(self.documents))

    def _others(self, settings: Mapping) -> np.ndarray:
        """The documents that are for no trial of any seed."""
        begin, stride = (settings["place"][key] for key in ("start_index", "stride"))
        if begin is None:
            return self._halves()[1::2]
        rows = np.arange(len(self.documents))
        return rows[(rows < begin) | ((rows - begin) % stride >= stride / 2)]

    def _rows_of_trials(self, settings: Mapping, seed: int) -> list[int]:
        """The documents of the groups of trials, one group behind the other."""
        trials, group, longest = settings["n_trials"], settings["group_size"], settings["longest"]
        begin, stride = (settings["place"][key] for key in ("start_index", "stride"))
        place = seed - settings["first_seed"]
        if begin is None:
            long = [int(row) for row in self._halves()[::2] if len(self.documents[row]) >= longest]
            if len(long) < trials * group:
                raise ValueError(_too_few(len(long), longest, trials * group, f"for {trials} groups of {group}"))
            first = place * trials * group
            return [long[n % len(long)] for n in range(first, first + trials * group)]
        rows = []
        for number in range(place * trials, (place + 1) * trials):
            first = begin + number * stride
            within = range(first, min(first + -(-stride // 2), len(self.documents)))
            found = [row for row in within if len(self.documents[row]) >= longest][:group]
            if len(found) < group:
                where = f"from row {first} to {first + -(-stride // 2)}, where group {number} begins"
                raise ValueError(_too_few(len(found), longest, group, where))
            rows += found
        return rows


def _too_few(found: int, length: int, needed: int, what: str) -> str:
    return (
        f"{found} documents of {needed} have {length} tokens, {what}; allowed: fewer or shorter texts, more documents, "
        "and with a start_index an earlier one or a larger stride"
    )


def as_arrays(documents: Sequence[np.ndarray], tokenizer: str, vocabulary: int) -> dict[str, np.ndarray]:
    """``documents``, their tokens one behind the other; where each ``ends``; ``tokenizer``, JSON; ``vocabulary``."""
    return {
        "documents": np.concatenate(documents).astype(np.int32),
        "ends": np.cumsum([len(each) for each in documents]),
        "tokenizer": np.frombuffer(tokenizer.encode(), np.uint8),
        "vocabulary": np.array(vocabulary),
    }


def tokenized(texts: Iterator[str], tokenizer: Tokenizer, limit: int) -> list[np.ndarray]:
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
