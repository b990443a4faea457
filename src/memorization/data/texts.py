"""Text that every machine with Python has, by data type: code, prose, structured.

Code and prose are those of the standard library, so they vary with Python's version: a document says its digest.
"""

import ast
import inspect
import io
import sysconfig
import tokenize
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from memorization.data.structured_texts import structured_texts

LEFT_OUT = {  # folders of the library: tests, interfaces, tables of characters, what is installed besides
    "test", "tests", "idle_test", "idlelib", "lib2to3", "tkinter", "turtledemo", "encodings", "pydoc_data",
    "site-packages", "dist-packages", "__pycache__",
}  # fmt: skip
OF_ONE_MACHINE = ("_sysconfigdata", "config-")  # files and folders that say how Python was built
LICENCES = ("LICENSE.txt", "LICENSE", "../LICENSE.txt", "../LICENSE")
DOCSTRING = 200  # characters: longer docstrings are prose
PARAGRAPH = 80  # characters: longer paragraphs stand once
STRUCTURED = 400  # documents: as much text as there is prose
STATEMENTS = (ast.stmt, ast.excepthandler, ast.match_case)  # what may hold definitions; expressions are most nodes


class Document(NamedTuple):
    """A text, its data type, and the digest of the bytes that it was made of."""

    name: str
    data_type: str
    text: str
    sha256: str


def documents(data_types: Sequence[str], library: Path | None = None) -> list[Document]:
    """All documents of some data types, in a fixed order, no paragraph twice.

    Parameters
    ----------
    data_types : of ``DATA_TYPES``; their order does not matter
    library : the folder of the standard library, that of this Python where it is None

    Raises
    ------
    ValueError
        If a data type is unknown, or the library has no sources.
    """
    unknown = [name for name in data_types if name not in DATA_TYPES]
    if unknown:
        raise ValueError(f"data_types: {unknown[0]!r} is not allowed; allowed: {', '.join(DATA_TYPES)}")
    library = Path(sysconfig.get_path("stdlib")) if library is None else library
    return without_repeats(found for name in DATA_TYPES if name in data_types for found in DATA_TYPES[name](library))


def code(library: Path) -> list[Document]:
    """The core modules of the standard library, without their docstrings."""
    return [Document(each.name, "code", without_docstrings(each), each.sha256) for each in sources(library)]


def prose(library: Path) -> list[Document]:
    """Pydoc's topics, the licence where it is there, and the long docstrings of the core modules, by module."""
    topics = library / "pydoc_data" / "topics.py"
    digest = sha256(topics.read_bytes()).hexdigest()
    found = [Document(f"topics/{name}", "prose", text, digest) for name, text in sorted(_topics(topics).items())]
    for path in [path for name in LICENCES if (path := library / name).is_file()][:1]:
        found.append(Document(path.name, "prose", path.read_text("utf-8"), sha256(path.read_bytes()).hexdigest()))
    for source in sources(library):
        texts = [inspect.cleandoc(docstring.text) for docstring in source.docstrings]
        long = [text for text in texts if len(text) > DOCSTRING]
        if long:
            whole = "\n\n".join(long).encode("utf-8", "replace").decode()  # an escape may be half a character
            found.append(Document(f"docstrings/{source.name}", "prose", whole, source.sha256))
    return found


def structured(_: Path) -> list[Document]:
    """Records as JSON, CSV, XML and plain tables: the library holds next to none, so they are drawn."""
    return [
        Document(name, "structured", text, sha256(text.encode()).hexdigest())
        for name, text in structured_texts(STRUCTURED).items()
    ]


DATA_TYPES: Mapping[str, Callable[[Path], list[Document]]] = {"code": code, "prose": prose, "structured": structured}


def without_repeats(found: Iterable[Document]) -> list[Document]:
    """Documents without the paragraphs that stand before in them or in others, and without those left empty.

    Paragraphs are what blank lines part; those of at most 80 characters may stand twice.
    """
    seen, kept = set(), []
    for document in found:
        paragraphs = []
        for paragraph in document.text.split("\n\n"):
            plain = paragraph.strip()
            if len(plain) <= PARAGRAPH or plain not in seen:
                paragraphs.append(paragraph)
                seen.add(plain)
        text = "\n\n".join(paragraphs)
        if text.strip():
            kept.append(document._replace(text=text))
    return kept


class Docstring(NamedTuple):
    """A docstring, whether its body has nothing else, and its place: lines from 0, bytes of UTF-8."""

    text: str
    only: bool
    first: int
    start: int
    last: int
    end: int


class Source(NamedTuple):
    """A module of the library, with its docstrings from the top."""

    name: str
    text: str
    sha256: str
    docstrings: list[Docstring]


@cache
def sources(library: Path) -> tuple[Source, ...]:
    """The core modules of the library, sorted by path.

    Raises
    ------
    ValueError
        If there are none.
    """
    found = []
    for path in sorted(library.rglob("*.py"), key=lambda path: path.relative_to(library).as_posix()):
        parts = path.relative_to(library).parts
        if LEFT_OUT.isdisjoint(parts) and not any(part.startswith(OF_ONE_MACHINE) for part in parts):
            data = path.read_bytes()
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
            text = io.TextIOWrapper(io.BytesIO(data), encoding).read()
            found.append(Source("/".join(parts), text, sha256(data).hexdigest(), docstrings(text)))
    if not found:
        raise ValueError(f"{library}: there are no sources here; allowed: the folder of Python's standard library")
    return tuple(found)


def docstrings(text: str) -> list[Docstring]:
    """The docstrings of a module's text, of its classes and of its functions."""
    found, nodes = [], [ast.parse(text)]
    while nodes:
        node = nodes.pop()
        nodes += [child for child in ast.iter_child_nodes(node) if isinstance(child, STATEMENTS)]
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and type(first.value.value) is str:
                place = first.lineno - 1, first.value.col_offset, first.end_lineno - 1, first.value.end_col_offset
                found.append(Docstring(first.value.value, len(node.body) == 1, *place))
    return sorted(found, key=lambda each: (each.first, each.start))


def without_docstrings(source: Source) -> str:
    """A source's text without its docstrings, the rest as it stands; ``pass`` where a body had nothing else."""
    lines = source.text.encode().split(b"\n")
    for docstring in reversed(source.docstrings):
        before, after = lines[docstring.first][: docstring.start], lines[docstring.last][docstring.end :]
        alone = not before.strip() and (not after.strip() or after.strip().startswith(b"#"))
        instead = [] if alone and not docstring.only else [before + b"pass" + after]
        lines[docstring.first : docstring.last + 1] = instead
    return b"\n".join(lines).decode()


def _topics(path: Path) -> dict[str, str]:
    """The dictionary that pydoc's module of topics is, read, not run."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            return ast.literal_eval(node.value)
    raise ValueError(f"{path}: it has no topics; allowed: the standard library of Python 3.11 or later")
