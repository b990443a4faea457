"""Recovers the whole parts of a truncated or damaged JSON file (one document, several, or lines); reports the rest.

Kept text is copied from the file as it is: numbers, escapes and repeated keys stay the same. Only commas and closing
brackets that damage removed are added.
"""

import argparse
import codecs
import re
from dataclasses import dataclass, field
from pathlib import Path

from memorization.files import atomic_write
from memorization.json_documents import (
    CLOSES,
    ONLY_SPACE,
    SPACE,
    SPACES,
    Reading,
    is_begun,
    is_json,
    is_line,
    read_json,
    whole_documents,
)
from memorization.json_separated import RECORD_SEPARATOR, is_listed, labelled, members, records
from memorization.new_files import check_new

STRUCTURE = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)  # in a damaged text


class NothingToSalvage(ValueError):
    """No whole document in the file stands by itself; the message names the file."""


@dataclass
class Salvaged:
    """``texts``, the recovered lines or documents; ``dropped``, a line of text for each piece that was not."""

    texts: list[str]
    lines: bool
    dropped: list[str] = field(default_factory=list)


def add(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "salvage",
        help="recover what is whole in a damaged JSON or JSON lines file",
        description="Write what is whole in FILE, a truncated or damaged file of JSON (a document, several one behind "
        "another, or lines, also among other text) beside it, and say what was dropped. FILE is left as it is.",
    )
    parser.add_argument("file", metavar="FILE", type=Path)
    parser.add_argument("--to", type=Path, help="file to write (FILE with .salvaged before its ending)")
    parser.set_defaults(run=lambda options: salvage_file(options.file, options.to))


def salvage_file(path: Path, to: Path | None = None) -> None:
    """Write the whole parts of ``path`` to ``to``, and print what was kept and dropped.

    Raises
    ------
    NothingToSalvage
        If no whole document stands by itself. Then nothing is written.
    FileExistsError
        If ``to`` is there already.
    """
    to = to or path.with_name(f"{path.stem}.salvaged{path.suffix}")
    if to.resolve() == path.resolve():
        raise ValueError(f"{to}: is the damaged file itself; allowed: another one")
    check_new(to, "another path by --to")
    found = salvage(path.read_bytes())
    if not found.texts:
        raise NothingToSalvage(f"{path}: no whole document in it stands by itself")
    with atomic_write(to) as part:
        Path(part).write_bytes("".join(f"{text}\n" for text in found.texts).encode())
    kept = _count(len(found.texts), "line" if found.lines else "document")
    dropped = _count(len(found.dropped), "piece") if found.dropped else "nothing"
    print(f"{to}: kept {kept}, dropped {dropped}", *found.dropped, sep="\n  ")


def salvage(content: bytes) -> Salvaged:
    """Recover JSON from bytes that may be cut off or altered anywhere.

    Whole documents are kept. Each begins at the beginning of a line or directly after another document, and ends at the
    end of a line or where another one begins. A single number, text or word counts only on a line of its own. If each
    document is on its own line, the file is one of JSON lines. What may be part of a larger, broken document is left
    out. Documents may also stand behind a record separator each (RFC 7464), or behind other text in their line, as in a
    log; and a text that begins with several may have commas between them.

    If no document is whole, the members of the first one are kept up to the damage, and open containers are closed
    after their last whole member. After the damage only members of the outermost container are kept, because only
    these have a known place. A byte order mark at the start is left out.
    """
    text = content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
    if is_json(text):
        return Salvaged([text.strip(SPACE)], lines=False)
    first_byte = len(content) - _size(text)
    if documents := _documents(text):
        lines = all(is_line(text, *place) for place in documents)
        dropped = _left_out(text, documents, lines, first_byte)
        return Salvaged([text[start:end] for start, end in documents], lines, dropped)
    document, start, end = _document(text)
    dropped = _left_out(text, [(0, start), (end, len(text))], False, first_byte)
    return Salvaged([document] if document else [], False, dropped or [f"cut off at byte {len(content)}"])


def _documents(text: str) -> list[tuple[int, int]]:
    """The beginning and end of each whole document, in the order of the text."""
    found = records(text) or _listed(text) or whole_documents(text)
    return sorted([*found, *labelled(text, found)])


def _listed(text: str) -> list[tuple[int, int]]:
    """The whole documents of a text that begins with several and commas between them; none if it does not.

    They are read as what an array holds, of which both brackets are missing. If the closing one is there, the opening
    one may be lost, with which they are parts of a document.
    """
    start = SPACES.match(text).end()
    if text[start : start + 1] not in CLOSES:
        return []
    array = f"[{text.rstrip(f'{SPACE},')}]"
    if is_json(array):
        return members(text, start, every=True)[0]
    read = read_json(array, 0)
    if not read.closers:
        return []
    found, end = members(text, start)
    if not is_listed(text, [*found, (end, end)]):
        return []
    behind = _behind(array, read)
    if behind is not None and behind > end:
        return found + members(text, SPACES.match(text, behind - 1).end())[0]
    return found + [(end + a, end + b) for a, b in whole_documents(text[end:])] if is_listed(text, found) else []


def _left_out(text: str, documents: list[tuple[int, int]], lines: bool, byte: int) -> list[str]:
    """A message for each piece between ``documents``: its lines and size, or its bytes, counted from ``byte``."""
    said, line, behind = [], 1, 0
    for start, end in [*documents, (len(text), len(text))]:
        piece = text[behind:start].strip(SPACE)
        if piece.strip(f"{SPACE},{RECORD_SEPARATOR}"):
            begin, size = SPACES.match(text, behind).end(), _size(piece)
            first_line, first_byte = line + text.count("\n", behind, begin), byte + begin - behind
            why = "may be part of something larger" if is_json(piece) else "not whole JSON"
            if lines:
                place = _range("line", first_line, first_line + piece.count("\n"))
                said.append(f"{place}: {why} ({_count(size, 'byte')})")
            else:
                said.append(f"{_range('byte', first_byte, first_byte + size - 1)}: {why}")
        line, byte, behind = line + text.count("\n", behind, end), byte + _size(text[behind:end]), end
    return said


def _range(unit: str, first: int, last: int) -> str:
    return f"{unit} {first}" if first == last else f"{unit}s {first} to {last}"


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'s' * (number != 1)}"


def _document(text: str) -> tuple[str, int, int]:
    """The text that is kept of a damaged document, and the beginning and end of what is not."""
    start = len(text) - len(text.lstrip(f"{SPACE}{RECORD_SEPARATOR}"))
    read = read_json(text, start)
    if not is_begun(text, start, read):
        return "", start, len(text)
    if not read.closers:  # whole, with other text behind it
        return text[start : read.kept], read.kept, len(text)
    kept = text[start : read.kept] + "".join(reversed(read.closers[1 : read.depth]))
    behind = _behind(text, read)
    if behind is not None:
        return kept + ("," if kept else text[start]) + text[behind:].rstrip(SPACE), read.kept, behind
    return kept and kept + read.closers[0], read.kept, len(text)


def _behind(text: str, read: Reading) -> int | None:
    """The position after the damage from which all members of the outermost container are whole.

    There, the number of open brackets counted from the start, across the damage, must equal that counted back from the
    end. If a bracket is damaged, or the end is cut off, they differ, and nothing after the damage is kept. (If both
    happen, they may agree by chance.)
    """
    after_quote = text.find('"', read.stopped + 1) + 1 or len(text)
    for start in (read.stopped, after_quote):  # assuming that no quote was lost, then that one was
        depth, tried = len(read.closers), 0
        for token in STRUCTURE.finditer(text, start):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
            if token[0] == "," and depth == 1 and token.start() >= tried:
                rest = read_json(text, token.end(), read.closers[0])
                if not rest.closers and ONLY_SPACE.match(text, rest.kept):
                    return token.end()
                tried = rest.stopped
    return None


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
