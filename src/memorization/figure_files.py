"""Reads the metadata that ``plotting.save`` writes into a figure."""

import json
import re
import zlib
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

from memorization.files import DamagedFile, ForeignFile, refusing_damage


def read_figure_made_by(path: str | Path) -> dict:
    """What made a figure: from the metadata of a pdf, a png or an svg that ``plotting.save`` wrote.

    Raises
    ------
    ForeignFile
        If it has no such metadata.
    DamagedFile
        If it is damaged, as far as its format shows: a png has a checksum of everything, a pdf of its compressed parts,
        an svg none.
    """
    path = Path(path)
    with refusing_damage(path):
        text = {".pdf": _pdf, ".png": _png, ".svg": _svg}[path.suffix](path)
        if text is None:
            raise ForeignFile(path)
        return dict(json.loads(text))


def _pdf(path: Path) -> str | None:
    content = path.read_bytes()
    end = re.search(rb"startxref\s+(\d+)\s+%%EOF\s*\Z", content)
    if not content.startswith(b"%PDF") or not end or not content.startswith(b"xref", int(end[1])):
        raise DamagedFile(path, "not a whole pdf")
    for stream in re.finditer(rb"/FlateDecode\b[^>]*>>\s*stream\n(.*?)\nendstream", content, re.DOTALL):
        zlib.decompress(stream[1])
    text = re.search(rb"/Keywords \((.*?)(?<!\\)\)", content, re.DOTALL)
    return text and re.sub(r"\\(.)", r"\1", text[1].decode("latin-1"))


def _png(path: Path) -> str | None:
    if not path.read_bytes().endswith(b"IEND\xaeB`\x82"):
        raise DamagedFile(path, "not a whole png")
    with Image.open(path, formats=["PNG"]) as image:
        image.verify()
        return image.info.get("Description")


def _svg(path: Path) -> str | None:
    return ElementTree.parse(path).findtext(".//{http://purl.org/dc/elements/1.1/}description")
