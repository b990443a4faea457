"""Windows of texts from elsewhere: of a JSON Lines, CSV or Parquet file, or of a data set of the hub, a stream."""

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from memorization.data.text_rows import rows, source_of, value
from memorization.extraction.pile import PILE

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TYPE = "text"  # where no column says another
COLUMNS = ["window", "data_type", "role", "group", "copies", "document", "start", "text"]


def windows_of(settings: Mapping, tokenizer: "Tokenizer", rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Windows of documents that are long enough, one of a document, at a random place.

    They are the first such documents, no more is read than that takes, and never more than ``limit`` documents.
    Without ``data_types`` all types among these are wanted, so that all of these are read. With ``copies`` all of
    these are read, too, and as many are drawn from them: sets with known copies are sorted by copies.

    Parameters
    ----------
    settings : ``path`` of a file (.jsonl, .csv or .parquet), or ``repository``, ``name@commit`` of the hub, with its
        ``config`` (or None) and ``split``; the columns ``text`` or, of token ids instead, ``tokens``; ``data_type``
        (None: all are ``text``) and ``copies`` (None: not known), dots for what is nested; ``data_types`` wanted, or
        None for all; ``window`` in tokens; ``per_type``, how many windows of each type; ``limit`` of documents
    tokenizer : of the models that are asked; special tokens are not added
    rng : of the places, and with ``copies`` of the documents

    Returns
    -------
    table : a row a window, by type and in the order of the documents; ``document`` is the file or the set with the
        number of its row, ``start`` is in tokens, ``role`` is ``text``
    tokens : (n, window) int32

    Raises
    ------
    ValueError
        If a type is not known, there are too few documents of one, a column is missing, or a token id is none of the
        tokenizer's; one line that says how many there were, or what is allowed.
    """
    found = sorted(_found(settings, tokenizer, rng).items())
    source = source_of(settings)
    cut = [
        (f"{kind}_{n:03d}", kind, "text", -1, copies, f"{source}:{number}", start, tokenizer.decode(ids, False))
        for kind, windows in found
        for n, (number, start, copies, ids) in enumerate(sorted(windows))
    ]
    tokens = [ids for _, windows in found for *_, ids in sorted(windows)]
    return pd.DataFrame(cut, columns=COLUMNS), np.array(tokens, np.int32)


def _found(settings: Mapping, tokenizer: "Tokenizer", rng: np.random.Generator) -> dict[str, list[tuple]]:
    """Of each type its windows: the number of the document, where it starts in it, the copies, and its tokens."""
    source, length, most = source_of(settings), settings["window"], settings["per_type"]
    drawn = bool(settings.get("copies"))
    wanted = settings.get("data_types") if settings.get("data_type") else [TYPE]
    last = max(tokenizer.get_vocab(with_added_tokens=True).values())
    found: dict[str, list] = {name: [] for name in wanted or ()}
    seen: dict[str, int] = {}  # documents of each type, long enough or not
    long: dict[str, int] = {}
    of_pile = False
    columns = [settings[key] for key in ("text", "tokens", "data_type", "copies") if settings.get(key)]
    for number, row in enumerate(islice(rows(settings, columns), settings["limit"])):
        where = f"{source}:{number}"
        kind = str(value(row, settings["data_type"], where)) if settings.get("data_type") else TYPE
        if not of_pile and kind in PILE and settings.get("repository"):
            _check_types(wanted, PILE, source)  # at once, rather than at the end of a stream of hundreds of gigabytes
            of_pile = True
        seen[kind] = seen.get(kind, 0) + 1
        mine = found.get(kind) if wanted else found.setdefault(kind, [])
        if mine is None or (len(mine) == most and not drawn):
            continue
        tokens = _tokens(row, settings, tokenizer, where)
        if len(tokens) < length:
            continue
        if not 0 <= min(tokens) <= max(tokens) <= last:
            raise ValueError(f"{where}: has token ids that are not the tokenizer's; allowed: 0 to {last}")
        start = int(rng.integers(len(tokens) - length + 1))
        window = (number, start, _copies(row, settings, where), tokens[start : start + length])
        long[kind] = long.get(kind, 0) + 1
        if len(mine) < most:
            mine.append(window)
        elif (place := int(rng.integers(long[kind]))) < most:  # reservoir sampling: each is drawn equally likely
            mine[place] = window
        if wanted and not drawn and all(len(windows) == most for windows in found.values()):
            break
    if seen and not of_pile:
        _check_types(wanted, sorted(seen), source)
    _check_number(found, seen, settings, source)
    return found


def _tokens(row: Mapping, settings: Mapping, tokenizer: "Tokenizer", where: str) -> list[int]:
    """The token ids of a document; none if it has no text."""
    if settings.get("tokens"):
        return list(value(row, settings["tokens"], where) or [])
    text = value(row, settings["text"], where)
    if not isinstance(text, str | None):
        raise ValueError(f"{where}: its {settings['text']} is {text!r:.40}; allowed: text")
    return tokenizer.encode(text or "", add_special_tokens=False).ids


def _copies(row: Mapping, settings: Mapping, where: str) -> int:
    """How often a document was trained on; -1 if that is not known."""
    copies = value(row, settings["copies"], where) if settings.get("copies") else None
    if copies is None:
        return -1
    if not isinstance(copies, int) or isinstance(copies, bool) or copies < 0:
        raise ValueError(f"{where}: its {settings['copies']} is {copies!r:.40}; allowed: a whole number, 0 or more")
    return copies


def _check_types(wanted: list[str] | None, known: list[str] | tuple[str, ...], source: str) -> None:
    for name in wanted or ():
        if name not in known:
            raise ValueError(f"{source}: there is no data type {name!r}; known: {', '.join(known)}")


def _check_number(found: Mapping[str, list], seen: Mapping[str, int], settings: Mapping, source: str) -> None:
    """That there are windows, and as many of each type as are wanted."""
    for kind, windows in found.items() or [(TYPE, [])]:
        if len(windows) < settings["per_type"]:
            raise ValueError(
                f"{source}: {len(windows)} of {settings['per_type']} windows of {kind}: of {sum(seen.values())} "
                f"documents read (limit {settings['limit']}) {seen.get(kind, 0)} are {kind}, and only so many of these "
                f"have {settings['window']} tokens; allowed: fewer per_type, a shorter window, a larger limit, or "
                "data_types without it"
            )
