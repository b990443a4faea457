"""What is whole in a truncated or damaged JSON or JSON lines file, and a report of the rest."""

import argparse
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from memorization.files import whole

SPACE = re.compile(r"[ \t\r\n]*")
DECODER = json.JSONDecoder()


class NothingToSalvage(ValueError):
    """A file in which nothing is whole; its message names it."""


@dataclass
class Salvaged:
    """What was recovered: ``values``, the lines or the one document; ``dropped``, what was not, a line of text each."""

    values: list
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
    if not found.values:
        raise NothingToSalvage(f"{path}: nothing in it is whole")
    texts = [json.dumps(value, ensure_ascii=False) + "\n" for value in found.values]
    with whole(to) as part:
        Path(part).write_text("".join(texts), encoding="utf-8")
    kept = f"{len(found.values)} lines" if found.lines else "one document"
    print(f"{to}: kept {kept}, dropped {len(found.dropped) or 'nothing'}", *found.dropped, sep="\n  ")


def salvage(content: bytes) -> Salvaged:
    """Recover JSON lines, or a JSON document, from bytes that may be cut off or altered anywhere.

    Lines: those that are JSON by themselves. A document: all of it where it is whole; else its
    members up to the damage, containers closed after their last whole member, and in an array of objects also
    the objects after the damage that have the keys of those before it.
    """
    text = content.decode("utf-8", "surrogateescape")
    rows = [row for row in text.split("\n") if row.strip()]
    whole_rows = sum(_parses(row) and row.lstrip()[:1] in "{[" for row in rows[:100])
    if len(rows) > 1 and whole_rows > 1:
        return _lines(text)
    value, end, dropped = _value(text, _skip(text, 0), "the document")
    if end is not None and text[_skip(text, end) :]:
        dropped.append(f"byte {_byte(text, end)}: more after the end of the document")
    return Salvaged([] if value is MISSING else [value], lines=False, dropped=dropped)


MISSING = object()


def _lines(text: str) -> Salvaged:
    found = Salvaged([], lines=True)
    for number, row in enumerate(text.split("\n"), 1):
        if _parses(row):
            found.values.append(json.loads(row))
        elif row.strip():
            found.dropped.append(f"line {number}: {len(row.encode('utf-8', 'surrogateescape'))} bytes are no JSON")
    return found


def _value(text: str, at: int, name: str) -> tuple[object, int | None, list[str]]:
    """The value that begins at a place: all or what is whole of it, where it ends (None: damaged), what is lost."""
    try:
        value, end = _decode(text, at)
    except ValueError:
        if text[at : at + 1] == "{":
            return _object(text, at + 1, name)
        if text[at : at + 1] == "[":
            return _array(text, at + 1, name)
        return MISSING, None, [f"byte {_byte(text, at)}: {name} is not whole"]
    return value, end, []


def _object(text: str, at: int, name: str) -> tuple[dict, None, list[str]]:
    members: dict = {}
    while True:
        try:
            key, at = _decode(text, _skip(text, at))
            colon = _skip(text, at)
            if not isinstance(key, str) or text[colon : colon + 1] != ":":
                raise ValueError
        except ValueError:
            return members, None, [f"byte {_byte(text, at)}: the rest of {name} is not whole"]
        value, end, dropped = _value(text, _skip(text, colon + 1), f"{name}[{key!r}]")
        if value is not MISSING:
            members[key] = value
        if end is None or text[_skip(text, end) : _skip(text, end) + 1] != ",":
            return members, None, dropped or [f"byte {_byte(text, end)}: the rest of {name} is not whole"]
        at = _skip(text, end) + 1


def _array(text: str, at: int, name: str) -> tuple[list, int | None, list[str]]:
    members: list = []
    lost: list[str] = []
    while True:
        start = _skip(text, at)
        value, end, dropped = _value(text, start, f"{name}[{len(members)}]")
        after = text[_skip(text, end) : _skip(text, end) + 1] if end is not None else ""
        if after in (",", "]") and after:
            members.append(value)
            at = _skip(text, end) + 1
            if after == "]":
                return members, at, lost
            continue
        again = _resume(text, start, members)
        lost += dropped or [f"byte {_byte(text, start)}: {name}[{len(members)}] is not whole"]
        if again is None:
            if value is not MISSING and not (end is None and members and _keys(value) != _keys(members[-1])):
                members.append(value)
            return members, None, lost
        at = again


def _resume(text: str, at: int, members: list) -> int | None:
    """Where, after damage, the next object stands that has the keys of those before it."""
    if not members or not isinstance(members[-1], dict):
        return None
    for found in re.finditer(r"\{", text[at + 1 :]):
        place = at + 1 + found.start()
        try:
            value, end = _decode(text, place)
        except ValueError:
            continue
        if _keys(value) == _keys(members[-1]) and text[_skip(text, end) : _skip(text, end) + 1] in (",", "]"):
            return place
    return None


def _decode(text: str, at: int):
    """As ``raw_decode``, but a number or a word that the end of the file may have cut short is not whole."""
    value, end = DECODER.raw_decode(text, at)
    if not isinstance(value, dict | list | str) and at > 0 and text[end : end + 1] not in [*" \t\r\n,]}"]:
        raise ValueError("may be cut off")
    if "\udc80" <= max(text[at:end], default="") <= "\udcff":
        raise ValueError("not UTF-8")
    return value, end


def _parses(row: str) -> bool:
    try:
        value = json.loads(row)
    except ValueError:
        return False
    return value is not None and not any("\udc80" <= sign <= "\udcff" for sign in row)


def _keys(value) -> set | None:
    return set(value) if isinstance(value, dict) else None


def _skip(text: str, at: int) -> int:
    return SPACE.match(text, at).end()


def _byte(text: str, at: int) -> int:
    return len(text[:at].encode("utf-8", "surrogateescape"))
