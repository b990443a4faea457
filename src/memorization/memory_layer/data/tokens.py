"""Texts as tokens: by character, or by any tokenizer in Hugging Face's format."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from memorization.configuration import ConfigurationError
from memorization.hub import hub_file, split_name
from memorization.training.masking import answer_labels

PADDING = ("[PAD]", "<pad>", "<|padding|>")
FILE = "tokenizer.json"
AT_ONCE = 10_000  # texts: a tokenizer's own results take far more memory than tokens
ONE_SPAN = ("synthetic_qa", "digit_lookup", "two_hop", "span")  # rules whose answers are whole
CONTEXTS = {"first": "{} = ", "link": " = {}\n", "chain": " = {} = ", "quoted": " = '{}'\n"}


class Characters:
    """A tokenizer whose tokens are characters, numbered in the order of their code points; the last one is padding.

    Parameters
    ----------
    characters : all that may stand in a text

    Attributes
    ----------
    characters : (vocabulary - 1,) int64 code points, sorted
    vocabulary : how many tokens there are, padding included
    pad : the padding token
    pieces : (vocabulary,) str, the text of each token; of padding none
    """

    def __init__(self, characters: str):
        self.characters = np.unique(_code_points(characters)).astype(np.int64)
        self.pad = len(self.characters)
        self.vocabulary = self.pad + 1
        self.pieces = np.array([*map(chr, self.characters), ""])

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Tokens of texts.

        Returns
        -------
        tokens : (total,) int32 of all texts, one behind the other
        lengths : (n,) int64
        offsets : for each text (length, 2), the characters from which to which each token goes

        Raises
        ------
        ValueError
            If a text has another character.
        """
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        points = _code_points("".join(texts))
        tokens = np.searchsorted(self.characters, points)
        known = self.characters[np.minimum(tokens, self.pad - 1)] == points
        if not known.all():
            place = int(np.flatnonzero(~known)[0])
            text = texts[int(np.searchsorted(np.cumsum(lengths), place, side="right"))]
            raise ValueError(f"tokenizer: {chr(points[place])!r} in {text!r} is none of its {self.pad} characters")
        places = np.arange(lengths.max(initial=0))
        edges = np.stack([places, places + 1], axis=1)
        return tokens.astype(np.int32), lengths, [edges[:length] for length in lengths.tolist()]


class HuggingFace:
    """A tokenizer in the format of Hugging Face, without special tokens.

    Parameters
    ----------
    name : a folder with ``tokenizer.json``, as ``save_pretrained`` writes it, or ``name@commit`` of the hub

    Attributes
    ----------
    vocabulary : how many tokens there are, padding included
    pad : the padding token: its own, ``[PAD]`` or ``<pad>``, or one token more
    pieces : as those of ``Characters``

    Raises
    ------
    ValueError
        If there is none.
    """

    def __init__(self, name: str):
        from tokenizers import Tokenizer

        try:
            path = Path(name) / FILE if Path(name).is_dir() else hub_file(name, FILE)
            self.tokenizer = Tokenizer.from_str(path.read_text("utf-8"))
        except Exception as error:  # libraries raise many kinds
            raise ValueError(
                f"tokenizer: {name!r} cannot be loaded ({' '.join(str(error).split())}); allowed: characters, a folder "
                f"with {FILE}, or name@commit of the hub"
            ) from error
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        size = self.tokenizer.get_vocab_size()
        own = [number for number in map(self.tokenizer.token_to_id, PADDING) if number is not None]
        self.pad = own[0] if own else size
        self.vocabulary = size + (not own)

    @property
    def pieces(self) -> np.ndarray:
        return np.array([self.decode([token]) for token in range(self.vocabulary)])

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """As ``Characters.encode``; a character that the tokenizer does not know is whatever it makes of it."""
        tokens, offsets = [np.zeros(0, np.int32)], []
        for first in range(0, len(texts), AT_ONCE):
            for found in self.tokenizer.encode_batch(list(texts[first : first + AT_ONCE]), add_special_tokens=False):
                tokens.append(np.array(found.ids, np.int32))
                offsets.append(np.array(found.offsets, np.int64).reshape(-1, 2))
        return np.concatenate(tokens), np.fromiter(map(len, offsets), np.int64, len(offsets)), offsets

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of some tokens; padding is none."""
        return self.tokenizer.decode([int(token) for token in tokens if token != self.pad], skip_special_tokens=False)


def tokenizer(name: str, characters: str) -> Characters | HuggingFace:
    """A tokenizer: ``characters`` for one token a character, else one of Hugging Face.

    Parameters
    ----------
    name : see above
    characters : all that may stand in a text
    """
    return Characters(characters) if name == "characters" else HuggingFace(name)


def check_tokenizer(name: str, where: str) -> None:
    """Refuse what is neither ``characters``, nor a folder with a tokenizer, nor a name of the hub with a commit.

    Raises
    ------
    ConfigurationError
    """
    if name == "characters" or (Path(name) / FILE).is_file():
        return
    try:
        split_name(name)
    except ValueError as error:
        raise ConfigurationError(
            f"{where}: {name!r}; allowed: characters, a folder with {FILE}, or name@commit of the hub"
        ) from error


def tokenize(table, tokenizer: Characters | HuggingFace, rule: str, **options) -> dict[str, np.ndarray]:
    """Tokens of examples, and which of them are answers.

    Parameters
    ----------
    table : DataFrame of examples
    rule, options : of ``memorization.training.masking.answer_labels``; for ``span`` the table has the spans

    Returns
    -------
    ``tokens`` (n, longest) int32, padded behind; ``labels`` (n, longest) bool, whether a token is part of an answer;
    ``lengths`` (n,) int64; ``vocabulary`` and ``pad``, numbers; ``pieces`` (vocabulary,) str, the text of each token.

    Raises
    ------
    ValueError
        If a token straddles an answer's edge, an example has no token in its answer, or the rule finds another answer
        than the table says.
    """
    texts = table["text"].tolist()
    if rule == "span":
        options = options | {"spans": list(zip(table["answer_start"], table["answer_end"], strict=True))}
    tokens, lengths, offsets = tokenizer.encode(texts)
    answers = np.concatenate(answer_labels(texts, offsets, rule, **options))
    _check_answers(table, answers, lengths, np.concatenate(offsets), whole=rule in ONE_SPAN)
    there = np.arange(lengths.max()) < lengths[:, None]
    padded, labels = np.full(there.shape, tokenizer.pad, np.int32), np.zeros(there.shape, bool)
    padded[there], labels[there] = tokens, answers
    arrays = {"tokens": padded, "labels": labels, "lengths": lengths}
    arrays |= {"vocabulary": np.array(tokenizer.vocabulary), "pad": np.array(tokenizer.pad)}
    return arrays | {"pieces": _pieces(tokenizer, texts, tokens, lengths, offsets, rule)}


def _pieces(tokenizer, texts: Sequence[str], tokens, lengths, offsets, rule: str) -> np.ndarray:
    """The text of each token, (vocabulary,): what it stands for in the texts, or in none of them what it is decoded to.

    Decoding alone leaves out the spaces of tokenizers that write them as "▁".
    """
    pieces = tokenizer.pieces.astype(object)
    found, at = np.unique(tokens, return_index=True)
    places, rows = np.concatenate(offsets)[at], np.repeat(np.arange(len(texts)), lengths)[at]
    for token, (start, end), row in zip(found, places.tolist(), rows.tolist(), strict=True):
        if texts[row][start:end].strip() == pieces[token].strip():  # one that stands for anything unknown does not
            pieces[token] = texts[row][start:end]
    if rule == "hash_hop":  # answers are read back as text
        for text, row in zip(texts, np.split(tokens, np.cumsum(lengths)[:-1]), strict=True):
            if "".join(pieces[row]) != text:
                raise ValueError(f"tokenizer: the texts of the tokens of {text!r} are not the text")
    return pieces.astype(str)


def consistency(strings: Sequence[str], tokenizer: Characters | HuggingFace, contexts: Mapping[str, str] = CONTEXTS):
    """Whether strings are the same tokens wherever they stand.

    Parameters
    ----------
    strings : such as hashes
    contexts : by name, with ``{}`` for the string; by default those of hash_hop

    Returns
    -------
    DataFrame with a row a string and context: ``string``, ``context``, ``n_tokens`` that have a character of it,
    ``straddles`` (whether one of them has characters around it too), ``consistent`` (whether it straddles nowhere and
    is the same tokens in all contexts; the same in all rows of a string).
    """
    import pandas as pd

    parts = []
    for name, template in contexts.items():
        start = template.index("{}")
        tokens, lengths, offsets = tokenizer.encode([template.replace("{}", string) for string in strings])
        first, last = np.concatenate(offsets).T
        begin = np.full(len(tokens), start)
        end = start + np.repeat(np.fromiter(map(len, strings), np.int64, len(strings)), lengths)
        inside = (first < end) & (last > begin)
        straddles = inside & ((first < begin) | (last > end))
        rows = np.repeat(np.arange(len(strings)), lengths)
        bounds = np.cumsum(np.bincount(rows[inside], minlength=len(strings)))[:-1]
        found = [tuple(each.tolist()) for each in np.split(tokens[inside], bounds)]
        crossing = np.bincount(rows[straddles], minlength=len(strings)) > 0
        part = {"string": strings, "context": name, "n_tokens": list(map(len, found)), "straddles": crossing}
        parts.append(pd.DataFrame(part | {"tokens": found}))
    table = pd.concat(parts, ignore_index=True)
    by_string = table.groupby("string")
    alike = (by_string["tokens"].transform("nunique") == 1) & ~by_string["straddles"].transform("any")
    return table.drop(columns="tokens").assign(consistent=alike.astype(bool))


def _check_answers(table, answers, lengths, offsets, whole: bool) -> None:
    """That labels are all tokens between an answer's start and end, or if not ``whole`` some of them."""
    rows = np.repeat(np.arange(len(table)), lengths)
    start, end = table["answer_start"].to_numpy()[rows], table["answer_end"].to_numpy()[rows]
    within = (offsets[:, 0] < end) & (offsets[:, 1] > start) & (offsets[:, 1] > offsets[:, 0])
    wrong = answers != within if whole else answers & ~within
    without = np.bincount(rows[answers], minlength=len(table)) == 0
    if wrong.any() or without.any():
        n = rows[wrong][0] if wrong.any() else int(np.flatnonzero(without)[0])
        row = table.iloc[n]
        raise ValueError(
            f"{row['text']!r}: its labels are not those of the answer "
            f"{row['text'][row['answer_start'] : row['answer_end']]!r}"
        )


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)
