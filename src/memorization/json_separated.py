"""Finds whole JSON documents that more than space separates: the record separator, commas, or text before each."""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from memorization.json_documents import CLOSES, DOCUMENT_ENDS, SPACE, SPACES, is_json, read_json, whole_documents

RECORD_SEPARATOR = "\x1e"  # before each document of a JSON text sequence, RFC 7464; in no document
RECORD = re.compile(r"[^\x1e]++")
SEPARATOR = re.compile(r"[ \t\r\n]*+,?+[ \t\r\n]*+")
LABEL = re.compile(r'(?:[^"\[\]{}\\\n]|\[[^"\[\]{}\\\n]*+\])++(?=\{)')  # [INFO] 12:30: {…; a document has quotes there
JSON_WORD = re.compile(r"[-+.\d]+(?:[eE][-+]?\d+)?|-?Infinity|NaN|true|false|null")


def records(text: str) -> list[tuple[int, int]]:
    """The places of the whole documents of a text sequence; none if the text is of another kind.

    It is of this kind if it begins with a record separator, or if between separators stand two or more whole objects or
    arrays: damage alone may put a separator into another text.
    """
    if RECORD_SEPARATOR not in text:
        return []
    found, whole = [], 0
    for piece in RECORD.finditer(text):
        document = piece[0].strip(SPACE)
        if is_json(document):
            start = SPACES.match(text, piece.start()).end()
            found.append((start, start + len(document)))
            whole += document[0] in CLOSES
        else:
            found += [(piece.start() + start, piece.start() + end) for start, end in whole_documents(piece[0])]
    return found if whole > 1 or text.lstrip(SPACE).startswith(RECORD_SEPARATOR) else []


def members(text: str, at: int, every: bool = False) -> tuple[list[tuple[int, int]], int]:
    """Whole objects and arrays behind one another from ``at`` on, with commas or space between; where they end.

    With ``every``, other values too.
    """
    found = []
    while text[at : at + 1] in CLOSES or (every and at < len(text)):
        read = read_json(text, at)
        if read.closers or read.kept == at:
            break
        found.append((at, read.kept))
        at = SEPARATOR.match(text, read.kept).end()
    return found, at


def is_listed(text: str, documents: Iterable[tuple[int, int]]) -> bool:
    """Whether a comma stands between two documents."""
    return any("," in text[behind:start] for (_, behind), (start, _) in pairwise(documents))


def labelled(text: str, documents: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Whole objects between ``documents`` that end a line of which the beginning is other text, as in a log.

    A line of a broken document is none: it has a quote, or nothing but numbers and words of JSON, before an object.
    """
    at = 0
    for start, end in [*documents, (len(text), len(text))]:
        while at < start:
            label = LABEL.match(text, at, start)
            if label and _is_other_text(label[0]):
                read = read_json(text, label.end())
                if not read.closers and DOCUMENT_ENDS.match(text, read.kept):
                    yield label.end(), read.kept
                    at = read.kept
            at = text.find("\n", at, start) + 1 or start
        at = text.find("\n", end) + 1 or len(text)


def _is_other_text(label: str) -> bool:
    words = label.strip().rstrip(",").split()
    rest = [word for word in words if not JSON_WORD.fullmatch(word.strip(","))]
    return label.replace("\t", " ").isprintable() and bool(rest)
