"""What a figure says of itself: the metadata that ``plotting.save`` writes, read back."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

from memorization.files import DamagedFile, ForeignFile, refusing_damage


def read_figure_made_by(path: str | Path) -> dict:
    """What made a figure that ``save`` wrote: from the metadata of a pdf, a png or an svg.

    Raises
    ------
    ForeignFile
        If it does not say.
    DamagedFile
        If it cannot be read.
    """
    path = Path(path)
    with refusing_damage(path):
        if path.suffix == ".png":
            with Image.open(path) as image:
                image.load()
                text = image.text.get("Description")
        elif path.suffix == ".svg":
            found = ElementTree.parse(path).find(".//{http://purl.org/dc/elements/1.1/}description")
            text = None if found is None else found.text
        else:
            content = path.read_bytes()
            if not content.startswith(b"%PDF") or not content.rstrip().endswith(b"%%EOF"):
                raise DamagedFile(path, "not a whole pdf")
            found = re.search(rb"/Keywords \((.*?)(?<!\\)\)", content, re.DOTALL)
            text = None if found is None else re.sub(r"\\(.)", r"\1", found[1].decode("latin-1"))
    if text is None:
        raise ForeignFile(path)
    return json.loads(text)
