"""The corpus of models trained here: windows of held-out documents, and background text that holds none of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from memorization.data.byte_pairs import BytePairs, train_byte_pairs
from memorization.data.texts import Document, documents
from memorization.extraction.sizes import GROUPS
from memorization.provenance import generator

CHARACTERS = 1_000_000  # a data type, at most, that the tokenizer is trained on
PIECE = 512  # tokens: background documents are cut into pieces of at most so many, lest one fills it
MULTIPLIER = 0x9E3779B97F4A7C15  # odd: that of Fibonacci hashing
SEPARATOR = 0


@dataclass(frozen=True)
class Corpus:
    """What the runs of a data set share.

    Attributes
    ----------
    windows : ``window``, ``data_type``, ``role`` (planted, control), ``group`` (of planted ones 0 to 2, else -1),
        ``copies`` (-1: the seed's, 0 of controls), ``document``, ``start`` (tokens), ``text``
    tokens : (n, length) int32, of the windows
    background : (n,) int32, a 0 behind each piece of a document
    documents : ``document``, ``data_type``, ``characters``, ``n_tokens``, ``sha256``, ``part`` (held_out, background,
        or rest where no token of it is in either)
    planted : tokens of the documents that planted windows are of, by name
    tokenizer : JSON
    vocabulary : how many tokens there are
    """

    windows: pd.DataFrame
    tokens: np.ndarray
    background: np.ndarray
    documents: pd.DataFrame
    planted: dict[str, np.ndarray]
    tokenizer: str
    vocabulary: int


def corpus(settings: Mapping) -> Corpus:
    """``corpus_of`` the text of this machine.

    Parameters
    ----------
    settings : ``data_types`` besides those of ``corpus_of``
    """
    return corpus_of(documents(settings["data_types"]), settings)


def corpus_of(found: Sequence[Document], settings: Mapping) -> Corpus:
    """Windows and background of documents, the same for the same documents and settings.

    Planted windows and controls are one pool in random order, so that no feature of the text tells them apart. A window
    begins anywhere in its document, has no n-gram that stands a second time in the background or in held-out documents,
    and its text has its tokens again.

    Parameters
    ----------
    found : documents
    settings : ``vocabulary``; ``window`` (tokens); ``per_type`` planted windows; ``controls``, in all; ``background``
        (tokens, separators included), in all, evenly from data types as far as they have text; ``held_out``, the share
        of documents that windows are of; ``leak_ngram`` (tokens)

    Raises
    ------
    ValueError
        If there is too little text, ``per_type`` has no three groups, or an n-gram is longer than a window.
    """
    window, data_types = settings["window"], list(dict.fromkeys(document.data_type for document in found))
    if settings["per_type"] % GROUPS:
        raise ValueError(f"per_type: {settings['per_type']} is not allowed; allowed: a multiple of {GROUPS}")
    if not 1 <= settings["leak_ngram"] <= window:
        raise ValueError(f"leak_ngram: {settings['leak_ngram']} is not allowed; allowed: 1 to {window}, the window")
    is_held_out = _held_out(found, data_types, settings["held_out"])
    text = train_byte_pairs(_tokenizer_texts(found, data_types, is_held_out), settings["vocabulary"])
    pairs = BytePairs(text)
    tokens = pairs.encode(document.text for document in found)
    others = {name: [n for n in _of(found, name) if not is_held_out[n]] for name in data_types}
    background, in_background = _background(tokens, others, settings["background"])
    held = np.flatnonzero(is_held_out)
    stream, begins = joined([background, *(tokens[n] for n in held)])
    candidates = _candidates(found, tokens, held, begins[1:], window)
    alone = stands_alone(stream, candidates["place"].to_numpy(), window, settings["leak_ngram"])
    pool = candidates[alone]
    chosen = []
    for number, name in enumerate(data_types):
        wanted = settings["per_type"] + _share(settings["controls"], len(data_types), number)
        chosen.append(_choose(pool[pool["data_type"] == name], stream, window, wanted, name, pairs))
        if len(chosen[-1]) < wanted:
            raise ValueError(
                f"window: {name} gives {len(chosen[-1])} windows of {window} tokens of {settings['held_out']:g} of its "
                f"documents, but per_type and controls ask for {wanted}; of {(candidates['data_type'] == name).sum()} "
                f"there {(pool['data_type'] == name).sum()} have no n-gram of {settings['leak_ngram']} tokens twice; "
                "allowed: fewer windows, shorter ones, or a larger held_out"
            )
    windows = _windows_table(pd.concat(chosen, ignore_index=True), settings["per_type"])
    places = windows.pop("place").to_numpy()
    parts = ["held_out" if out else "background" if n in in_background else "rest" for n, out in enumerate(is_held_out)]
    table = pd.DataFrame(found).rename(columns={"name": "document"})
    sizes = {"characters": table.pop("text").str.len(), "n_tokens": [len(each) for each in tokens]}
    table = table.assign(**sizes, part=parts)[["document", "data_type", *sizes, "sha256", "part"]]
    names = set(windows.loc[windows["role"] == "planted", "document"])
    planted = {document.name: each for document, each in zip(found, tokens, strict=True) if document.name in names}
    cut = stream[places[:, None] + np.arange(window)]
    return Corpus(windows, cut, background, table, planted, text, pairs.vocabulary)


def joined(parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Parts one behind the other, a separator behind each, and where each begins: int32 and int64."""
    begins = np.cumsum([0, *(len(part) + 1 for part in parts)])[:-1]
    both = [each for part in parts for each in (part, [SEPARATOR])]
    return np.concatenate([[], *both], dtype=np.int32, casting="unsafe"), begins


def stands_alone(stream: np.ndarray, places: np.ndarray, window: int, ngram: int) -> np.ndarray:
    """Whether no n-gram of a window stands a second time in a stream.

    N-grams are compared by a hash of 64 bits: two that share one would discard a window, not let a leak pass.

    Parameters
    ----------
    stream : (n,) tokens
    places : (windows,) where the windows begin
    window, ngram : tokens

    Returns
    -------
    (windows,) bool.
    """
    count = len(stream) - ngram + 1
    tokens, hashes = (stream.astype(np.uint64) + 1) * np.uint64(MULTIPLIER), np.zeros(count, np.uint64)
    for n in range(ngram):
        hashes = (hashes ^ (hashes >> np.uint64(29))) * np.uint64(MULTIPLIER) + tokens[n : n + count]
    _, which, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    repeated = np.concatenate([[0], np.cumsum(counts[which] > 1)])
    return repeated[places + window - ngram + 1] == repeated[places]


def _of(found: Sequence[Document], data_type: str) -> list[int]:
    return [n for n, document in enumerate(found) if document.data_type == data_type]


def _share(total: int, parts: int, number: int) -> int:
    """How many of a total a part gets: as even as it goes, the first ones more."""
    return total // parts + (number < total % parts)


def _held_out(found: Sequence[Document], data_types: Sequence[str], share: float) -> np.ndarray:
    """(documents,) bool: the same share of each data type, drawn at random."""
    held_out = np.zeros(len(found), bool)
    for name in data_types:
        order = generator("extraction", "corpus", name, "held out").permutation(_of(found, name))
        held_out[order[: round(share * len(order))]] = True
    return held_out


def _tokenizer_texts(found: Sequence[Document], data_types: Sequence[str], is_held_out: np.ndarray) -> list[str]:
    """Texts that are not held out, as many characters of each data type as far as they have them."""
    texts = []
    for name in data_types:
        left = CHARACTERS
        for n in generator("extraction", "corpus", name, "tokenizer").permutation(_of(found, name)):
            if not is_held_out[n] and left > 0:
                texts.append(found[n].text[:left])
                left -= len(texts[-1])
    return texts


def _background(
    tokens: Sequence[np.ndarray], others: Mapping[str, Sequence[int]], size: int
) -> tuple[np.ndarray, set[int]]:
    """Pieces of documents in random order, data types mixed, and which documents they are of.

    Raises
    ------
    ValueError
        If the documents have fewer tokens.
    """
    pieces = {
        name: [(n, tokens[n][at : at + PIECE]) for n in of_type for at in range(0, len(tokens[n]), PIECE)]
        for name, of_type in others.items()
    }
    there = {name: sum(len(piece) + 1 for _, piece in of_type) for name, of_type in pieces.items()}
    if sum(there.values()) < size:
        raise ValueError(
            f"background: {size} tokens, but the documents have {sum(there.values())}; allowed: at most that"
        )
    chosen, left = [], size
    for number, name in enumerate(sorted(there, key=there.get)):  # what a small type lacks, larger ones give
        quota = min(there[name], -(-left // (len(there) - number)))
        left -= quota
        for n in generator("extraction", "corpus", name, "background").permutation(len(pieces[name])):
            if quota <= 0:
                break
            chosen.append(pieces[name][n])
            quota -= len(chosen[-1][1]) + 1
    order = generator("extraction", "corpus", "background order").permutation(len(chosen))
    stream, begins = joined([chosen[n][1] for n in order])
    return stream[:size], {int(chosen[n][0]) for n, begin in zip(order, begins, strict=True) if begin < size}


def _candidates(
    found: Sequence[Document], tokens: Sequence[np.ndarray], held: np.ndarray, begins: np.ndarray, window: int
) -> pd.DataFrame:
    """Windows of held-out documents, side by side, the first one anywhere it can; ``place`` is that in the stream."""
    parts = []
    for n, begin in zip(held, begins, strict=True):
        slack = len(tokens[n]) - window
        if slack >= 0:
            rng = generator("extraction", "corpus", found[n].data_type, found[n].name, "first window")
            start = np.arange(rng.integers(min(window, slack + 1)), slack + 1, window)
            of_document = {"data_type": found[n].data_type, "document": found[n].name}
            parts.append(pd.DataFrame({**of_document, "start": start, "place": begin + start}))
    return pd.concat(parts or [pd.DataFrame(columns=["data_type", "document", "start", "place"], dtype=int)])


def _choose(
    pool: pd.DataFrame, stream: np.ndarray, window: int, wanted: int, data_type: str, pairs: BytePairs
) -> pd.DataFrame:
    """Windows in random order, as many as are wanted, or all, of those whose text has their tokens again."""
    rows, texts = [], []
    for row in generator("extraction", "corpus", data_type, "windows").permutation(len(pool)):
        if len(rows) == wanted:
            break
        tokens = stream[pool["place"].iloc[row] :][:window]
        (text,) = pairs.decode([tokens])
        if np.array_equal(pairs.encode([text])[0], tokens):
            rows.append(row)
            texts.append(text)
    return pool.iloc[rows].assign(text=texts)


def _windows_table(chosen: pd.DataFrame, per_type: int) -> pd.DataFrame:
    """``Corpus.windows`` and their ``place``: of each data type the first windows are planted."""
    number = chosen.groupby("data_type").cumcount().to_numpy()
    planted = number < per_type
    return pd.DataFrame(
        {
            "window": [f"{name}_{n:03d}" for name, n in zip(chosen["data_type"], number, strict=True)],
            "data_type": chosen["data_type"],
            "role": np.where(planted, "planted", "control"),
            "group": np.where(planted, number * GROUPS // max(per_type, 1), -1),
            "copies": np.where(planted, -1, 0),
            **chosen[["document", "start", "text", "place"]],
        }
    )
