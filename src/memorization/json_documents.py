"""Finds whole JSON documents in a text that may be cut off, damaged anywhere, or mixed with other text."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

SPACE = " \t\r\n"
NOT_UTF8 = re.compile(r"[\udc80-\udcff]")  # how surrogateescape decodes such bytes
TOKEN = re.compile(  # a number or word must be followed by something: the end of the file may have cut it
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
SPACES = re.compile(r"[ \t\r\n]*+")
ONLY_SPACE = re.compile(r"[ \t\r\n]*+\Z")
LINE_ENDS = re.compile(r"[ \t\r]*+(?:\n|\Z)")
DOCUMENT_ENDS = re.compile(r"[ \t\r]*+(?:[\n\0]|\Z)")  # a crash may leave zeros at the end of a file
WORD_ENDS = re.compile(r"[ \t\r]*+\n")  # at the end of the file a word may be cut off
LINE_BEGINS = re.compile(r"[ \t\r\n]*+(?:(?:[\]}][ \t\r]*+)+(?=[\[{]))?")  # also after the end of a broken document
NEIGHBOURS = re.compile(r'"(?:[^"\\\n]++|\\.)*+"?|(?P<two>[\]}][ \t\r]*+(?=[\[{]))')  # no comma: two documents
CUT_OFF = re.compile(r"""[ \t\r\n]*+(?:"(?:[^"\\\n]++|\\.?)*+|[-+.\w]*+)\Z""")  # a token begins, at the end
COLON_ENDS_LINE = re.compile(r":[ \t\r]*+\n")
GOES_ON = re.compile(  # what follows a value inside a document: a sign, or a key or value followed by one
    r"""[ \t\r\n]*+ (?: "(?:[^"\\\n]++|\\.)*+" [ \t\r\n]*+ [,:\]}]
                      | (?:-?[0-9][-+.0-9eE]*+ | true | false | null) [ \t\r\n]*+ [,\]}]
                      | [,:\]}] )""",
    re.VERBOSE,
)
CLOSES_ON = re.compile(r"[ \t\r\n]*+[\]}][ \t\r]*+(?:[\[{\]},\n]|\Z)")  # the end of a larger document
DEEPEST = 500  # nested containers; Python's json reads about 1,000
DECODER = json.JSONDecoder(parse_int=str)  # int() refuses more than 4,300 digits


@dataclass
class Reading:
    """How far a text is JSON.

    ``kept``: the end of its last whole value; ``depth``: the number of open containers there. ``stopped``: where it is
    no longer JSON; ``closers``: the closing brackets that are missing there (none if the value is whole).
    """

    kept: int
    stopped: int
    closers: list[str]
    depth: int = 0


def read_json(text: str, at: int, closers: str = "") -> Reading:
    """Read one value or, if ``closers`` is a bracket, the members of a container up to it. Does not recurse."""
    read = Reading(at, at, [*closers])
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


def is_json(text: str) -> bool:
    try:
        DECODER.decode(text)
    except (ValueError, RecursionError):
        return False
    return not NOT_UTF8.search(text)


def is_line(text: str, start: int, end: int) -> bool:
    """Whether the text from ``start`` to ``end`` is a line of its own."""
    if text.find("\n", start, end) >= 0 or not LINE_ENDS.match(text, end):
        return False
    return not text[text.rfind("\n", 0, start) + 1 : start].strip(SPACE)


def is_begun(text: str, start: int, read: Reading) -> bool:
    """Whether a document begins at ``start``, and not other text with a bracket, such as ``[INFO]``."""
    if text[start : start + 1] not in CLOSES:
        return False
    if read.stopped > start + 1 or CUT_OFF.match(text, read.stopped):
        return True
    behind = text[SPACES.match(text, read.stopped).end()]
    return behind == '"' or not behind.isprintable()


def whole_documents(text: str) -> list[tuple[int, int]]:
    """The beginning and end of each whole document, in the order of the text.

    Each begins at the beginning of a line or directly after another document, and ends at the end of a line or where
    another one begins, even a broken one. A number, string or word counts only as a line of its own. What may be part
    of a larger, broken document is left out. (A second damage, or one that turns another sign into a bracket, can hide
    that it is.)
    """
    kept, line_end = [], _line_end(text, SPACES.match(text).end())
    for run, is_unsure in _runs(text):
        start, end = run[0][0], run[-1][1]
        if len(run) == 1 and line_end < start:  # more than a line since the last; two in a row would have a comma
            last = start - 1
            while text[last] in SPACE:
                last -= 1
            if line_end <= last and (is_unsure or text[last] in ",["):
                continue
        kept += run
        line_end = _line_end(text, SPACES.match(text, end).end())
    return kept


def _runs(text: str) -> Iterator[tuple[list[tuple[int, int]], bool]]:
    """Runs of whole documents that directly follow one another.

    With each run: whether it begins in the line in which a document of several lines is damaged, or in the next line.
    There the damage may hide that the run is part of that document.
    """
    at, unsure = 0, 0
    while at < len(text):
        start = LINE_BEGINS.match(text, at).end()
        run, run_end, read = _run(text, start, begins_line=True)
        if run:
            yield run, start < unsure
        if run_end > start:
            at = run_end if run and run_end == run[-1][1] else _line_end(text, run_end)
            continue
        stopped = read.stopped
        if colon := COLON_ENDS_LINE.search(text, start, stopped):  # no writer breaks a line there: it was cut off
            stopped = colon.end() - 1
        at = _line_end(text, stopped)
        damage = SPACES.match(text, stopped).end()
        if text.find("\n", start, damage) >= 0:
            unsure = _line_end(text, _line_end(text, damage))
        if is_begun(text, start, read):
            at = _resumed(text, stopped, at)


def _run(text: str, start: int, begins_line: bool) -> tuple[list[tuple[int, int]], int, Reading]:
    """Whole documents that directly follow one another from ``start`` on; the end of the last; the reading after it.

    The last one is left out if other text follows it in its line, as in a log: ``[12] loaded``. If a document continues
    after it, damage may have turned a comma into a bracket. Then only documents on lines of their own are kept.
    """
    found, end = [], start
    while _is_whole(text, start, read := _read(text, start, begins_line), begins_line):
        end = read.kept
        found.append((start, end))
        start = SPACES.match(text, end).end()
        begins_line = text.find("\n", end, start) >= 0
    if found and (CLOSES_ON.match(text, end) or not (DOCUMENT_ENDS.match(text, end) or is_begun(text, start, read))):
        found.pop()
    if GOES_ON.match(text, end):
        found = list(takewhile(lambda place: is_line(text, *place), found))
    return found, end, read


def _read(text: str, start: int, begins_line: bool) -> Reading:
    """As ``read_json``, but many times faster for a line that is JSON by itself."""
    if begins_line:
        line = text[start : _line_end(text, start)].rstrip(SPACE)
        if is_json(line):
            return Reading(start + len(line), start + len(line), [])
    return read_json(text, start)


def _is_whole(text: str, start: int, read: Reading, begins_line: bool) -> bool:
    if read.kept == start or read.closers:
        return False
    return text[start] in CLOSES or (begins_line and bool(WORD_ENDS.match(text, read.kept)))


def _resumed(text: str, damage: int, line_end: int) -> int:
    """The position after damage in a line where a run begins of which nothing is left out, or else the end of the line.

    It may also be where a document begins that is broken in a later line: the text in its lines is part of it.
    """
    tried = damage
    for place in NEIGHBOURS.finditer(text, damage, line_end):
        start = place.end()
        if place["two"] and start >= tried:
            run, run_end, read = _run(text, start, begins_line=False)
            tried = max(run_end, read.stopped)
            if (run and run[-1][1] == run_end) or tried >= line_end:
                return start
    return line_end


def _line_end(text: str, at: int) -> int:
    """Where the next line begins."""
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1
