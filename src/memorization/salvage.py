"""What is whole in a truncated or damaged JSON or JSON lines file, and a report of the rest.

What is kept is copied from the file as it stands there, never written anew: a number, an escape, a key that occurs
twice stay what they were. Only commas and closing brackets are added, where damage took them.
"""

import argparse
import codecs
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from memorization.files import atomic_write

SPACE = " \t\r\n"
NOT_UTF8 = re.compile(r"[\udc80-\udcff]")  # what surrogateescape makes of such bytes
TOKEN = re.compile(  # a number or a word counts only with what follows it: the end of the file may have cut it
    r"""[ \t\r\n]*+ (?:
        (?P<string> "(?:[^"\\\x00-\x1f\udc80-\udcff]++ | \\(?:["\\/bfnrt] | u[0-9a-fA-F]{4}))*+" )
      | (?P<plain> (?:-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)? | -?Infinity | NaN | true | false | null)
                   (?=[ \t\r\n,\]}]) )
      | (?P<open> [\[{] ) | (?P<close> [\]}] ) | (?P<comma> , ) | (?P<colon> : )
    )""",
    re.VERBOSE,
)
ALLOWED = {
    "value": {"string", "plain", "open"},
    "first value": {"string", "plain", "open", "close"},
    "key": {"string"},
    "first key": {"string", "close"},
    "colon": {"colon"},
    "rest": {"comma", "close"},
}
CLOSES = {"[": "]", "{": "}"}
ONLY_SPACE = re.compile(r"[ \t\r\n]*+\Z")
STRUCTURE = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)  # in a damaged text
DEEPEST = 500  # containers in each other; Python's json reads about 1,000
DECODER = json.JSONDecoder(parse_int=str)  # int() refuses more than 4,300 digits


class NothingToSalvage(ValueError):
    """A file in which nothing is whole; its message names it."""


@dataclass
class Salvaged:
    """What was recovered: ``texts``, the lines or the one document; ``dropped``, what was not, a line of text each."""

    texts: list[str]
    lines: bool
    dropped: list[str] = field(default_factory=list)


def add(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "salvage",
        help="recover what is whole in a damaged JSON or JSON lines file",
        description="Write what is whole in FILE, a truncated or damaged JSON or JSON lines file, beside it, and say "
        "what was dropped. FILE is left as it is.",
    )
    parser.add_argument("file", metavar="FILE", type=Path)
    parser.add_argument("--to", type=Path, help="file to write (FILE with .salvaged before its ending)")
    parser.set_defaults(run=lambda options: salvage_file(options.file, options.to))


def salvage_file(path: Path, to: Path | None = None) -> None:
    """Write what is whole in ``path`` to ``to``, and print what was kept and dropped.

    Raises
    ------
    NothingToSalvage
        If nothing is whole; nothing is written then.
    """
    to = to or path.with_name(f"{path.stem}.salvaged{path.suffix}")
    if to.resolve() == path.resolve():
        raise ValueError(f"{to}: is the damaged file itself; allowed: another one")
    found = salvage(path.read_bytes())
    if not found.texts:
        raise NothingToSalvage(f"{path}: nothing in it is whole")
    with atomic_write(to) as part:
        Path(part).write_bytes("".join(f"{text}\n" for text in found.texts).encode())
    kept = f"{len(found.texts)} lines" if found.lines else "one document"
    print(f"{to}: kept {kept}, dropped {len(found.dropped) or 'nothing'}", *found.dropped, sep="\n  ")


def salvage(content: bytes) -> Salvaged:
    """Recover a JSON document, or JSON lines, from bytes that may be cut off or altered anywhere.

    A document is kept whole if it is. Else its members are kept up to the damage, open containers closed after
    their last whole member; behind the damage, the members of the outermost container alone, as only of those it is
    known where they belong. Of lines, each that is JSON by itself. A mark of the byte order at the start is left out.

    A file is lines if its first line is JSON by itself, or most others are where no document could hold them.
    """
    text = content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "surrogateescape")
    if _is_json(text):
        return Salvaged([text.strip(SPACE)], lines=False)
    rows = [(number, row.strip(SPACE)) for number, row in enumerate(text.split("\n"), 1) if row.strip(SPACE)]
    good = [_is_json(row) for _, row in rows]
    if rows and not text.endswith("\n"):
        good[-1] = good[-1] and not rows[-1][1][-1].isdigit()  # a number that may be cut off
    alone = sum(this and before[-1] not in ",[{" for (_, before), this in zip(rows, good[1:], strict=False))
    if rows and (good[0] or 2 * alone > len(rows) - 1):
        kept = [row for (_, row), whole_row in zip(rows, good, strict=True) if whole_row]
        lost = [row for row, whole_row in zip(rows, good, strict=True) if not whole_row]
        return Salvaged(kept, True, [f"line {number}: {_size(row)} bytes are no JSON" for number, row in lost])
    document, start, end = _document(text)
    first, behind = (_size(text[:at]) + len(content) - _size(text) for at in (start, end))
    place = f"bytes {first} to {behind - 1}" if end < len(text) else f"all from byte {first} on"
    return Salvaged([document] if document else [], False, [f"{place}: not whole"])


def _document(text: str) -> tuple[str, int, int]:
    """What is kept of a damaged document, and what is not: where it begins, and ends."""
    start = len(text) - len(text.lstrip(SPACE))
    read = _read(text, start)
    if not read.closers:  # whole, with more behind it; or it never began
        return text[start : read.kept], read.kept, len(text)
    kept = text[start : read.kept] + "".join(reversed(read.closers[1 : read.depth]))
    behind = _behind(text, read)
    if behind is not None:
        return kept + ("," if kept else text[start]) + text[behind:].rstrip(SPACE), read.kept, behind
    return kept and kept + read.closers[0], read.kept, len(text)


@dataclass
class _Read:
    """How far a text is JSON.

    ``kept``: where its last whole value ends; ``depth``: how many containers are open there. ``stopped``: where it is
    JSON no longer; ``closers``: the brackets that are missing there, none if the value is whole.
    """

    kept: int
    stopped: int
    closers: list[str]
    depth: int = 0


def _read(text: str, at: int, closers: str = "") -> _Read:
    """Read one value or, if ``closers`` is a bracket, the members of a container up to it; without recursion."""
    read = _Read(at, at, [*closers])
    expected = "key" if closers == "}" else "value"
    while token := TOKEN.match(text, read.stopped):
        kind, sign = token.lastgroup, token[token.lastgroup]
        if (
            kind not in ALLOWED[expected]
            or (kind == "close" and sign != read.closers[-1])
            or (kind == "open" and len(read.closers) == DEEPEST)
        ):
            break
        read.stopped = token.end()
        if kind == "open":
            read.closers.append(CLOSES[sign])
            expected = "first value" if sign == "[" else "first key"
        elif kind == "comma":
            expected = "value" if read.closers[-1] == "]" else "key"
        elif kind == "colon":
            expected = "value"
        elif kind == "string" and expected in ("key", "first key"):
            expected = "colon"
        else:  # a value ends
            if kind == "close":
                read.closers.pop()
            read.kept, read.depth, expected = read.stopped, len(read.closers), "rest"
            if not read.closers:
                break
    return read


def _behind(text: str, read: _Read) -> int | None:
    """Where, behind damage, the members of the outermost container begin that are whole up to its end.

    Two counts of open brackets must agree there: from the start, over the damage, and back from the end. Damage to a
    bracket, or a cut besides, makes them differ; then nothing behind it is taken. (Both at once may make them agree.)
    """
    after_quote = text.find('"', read.stopped + 1) + 1 or len(text)
    for start in (read.stopped, after_quote):  # as if all quotes were there, and as if one was lost
        depth, tried = len(read.closers), 0
        for token in STRUCTURE.finditer(text, start):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
            if token[0] == "," and depth == 1 and token.start() >= tried:
                rest = _read(text, token.end(), read.closers[0])
                if not rest.closers and ONLY_SPACE.match(text, rest.kept):
                    return token.end()
                tried = rest.stopped
    return None


def _is_json(text: str) -> bool:
    try:
        DECODER.decode(text)
    except (ValueError, RecursionError):
        return False
    return not NOT_UTF8.search(text)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
