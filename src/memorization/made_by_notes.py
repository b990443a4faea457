"""What each kind of file says of its making, for the audit: the whole file is read for it."""

import json
from html.parser import HTMLParser
from pathlib import Path

from memorization.figure_files import read_figure_made_by
from memorization.files import DamagedFile, ForeignFile, read_arrays, read_made_by, read_table, refusing_damage


def read_note(path: Path) -> tuple[dict, dict[str, str]]:
    """What made a file, and the digests of all its inputs by path.

    Raises
    ------
    DamagedFile
        If it is not whole, or does not say what made it.
    """
    with refusing_damage(path):
        if path.suffix in (".pdf", ".png", ".svg"):
            made_by = read_figure_made_by(path)
        elif path.suffix == ".json":
            made_by = _read_json(path)
        elif path.suffix == ".html":
            made_by = _read_page(path)
        elif path.suffix == ".txt":
            made_by = _read_text(path)
        elif path.suffix == ".csv":
            made_by = _read_csv(path)
        elif path.suffix in READERS:
            READERS[path.suffix](path)
            made_by = read_made_by(path)
        else:
            raise DamagedFile(path, f"no {path.suffix} says what made it")
        direct = {name: entry["sha256"] for name, entry in made_by.get("made_from", {}).items()}
        noted = made_by.get("made_from_earlier", {}) | direct
        return made_by, {name: str(digest) for name, digest in noted.items()}


def _beside(path: Path, name: str) -> Path:
    """The file of that name beside another, which is not whole without it."""
    beside = path.with_name(name)
    if not beside.is_file():
        raise DamagedFile(path, f"{name} beside it, which says what made it, is missing")
    return beside


def _read_json(path: Path) -> dict:
    """What made a JSON file: it says so, or ``config.json`` beside it does, of a tokenizer that takes no other keys."""
    found = json.loads(path.read_text("utf-8"))
    if not isinstance(found, dict):
        raise ForeignFile(path)
    if "made_by" in found:
        return found["made_by"]
    if path.name != "tokenizer.json":
        raise ForeignFile(path)
    beside = json.loads(_beside(path, "config.json").read_text("utf-8"))
    if "made_by" not in beside:
        raise DamagedFile(path, "config.json beside it does not say what made it")
    return beside["made_by"]


def _read_page(path: Path) -> dict:
    """What made a page: its ``meta`` element ``made_by`` says so."""
    head, text = _Head(), path.read_text("utf-8")
    head.feed(text)
    if not text.endswith("</html>\n"):
        raise DamagedFile(path, "not a whole page")
    if not head.made_by:
        raise ForeignFile(path)
    return json.loads(head.made_by)


class _Head(HTMLParser):
    made_by = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "meta" and dict(attrs).get("name") == "made_by":
            self.made_by = dict(attrs)["content"]


def _read_text(path: Path) -> dict:
    """What made a text: the Parquet file beside it says so."""
    text = path.read_bytes().decode("utf-8")
    if not text.endswith("\n"):
        raise DamagedFile(path, "its last line is not whole" if text else "it is empty")
    return read_made_by(_beside(path, path.with_suffix(".parquet").name))


def _read_csv(path: Path) -> dict:
    """What made a CSV: it is what the Parquet file beside it holds, which says so."""
    from memorization.csv_files import csv_text

    beside = _beside(path, path.with_suffix(".parquet").name)
    if path.read_bytes().decode("utf-8") != csv_text(read_table(str(beside))):
        raise DamagedFile(path, f"it is not what {beside.name} holds")
    return read_made_by(beside)


def _read_tensors(path: Path) -> None:
    from memorization.training.checkpoints import read_tensors  # imports torch, which takes seconds

    read_tensors(path)


READERS = {".npz": read_arrays, ".parquet": read_table, ".safetensors": _read_tensors}  # they check the digest
