"""A page with a small picture of every figure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from textwrap import fill

import PIL
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from memorization.figure_files import read_figure_made_by
from memorization.files import atomic_write
from memorization.text_files import write_text

WIDTH = 640  # most pixels from left to right
COLOURS = 64  # of a picture: enough for lines, few enough for some 30 KB
BEGIN = """# Gallery

The figures of a run, by family, small. `results/figures/` has each as pdf, png and svg, and [the
report](../../docs/reference/targets.md) has its whole caption.
"""  # the link holds in results/gallery and in docs/gallery


def write_gallery(
    sections: Iterable[tuple[str, Sequence[tuple[str, str]]]],
    figures: Sequence[str],
    pictures: Sequence[str],
    page: str,
    made_by: Mapping,
) -> None:
    """Write a small picture of each figure, and the page that shows them.

    Parameters
    ----------
    sections : of each family, its name, and name and caption of each of its figures
    figures : paths of the figures as png, in that order
    pictures : paths to write to, beside the page, in that order
    page : path to write to; Markdown
    made_by : what made the gallery, without its inputs
    """
    made_by = {**made_by, "versions": {"pillow": PIL.__version__}}
    made_from = {figure: _noted(figure) for figure in figures}
    for figure, picture in zip(figures, pictures, strict=True):
        write_picture(figure, picture, made_by | {"made_from": {figure: made_from[figure]}})
    files = (Path(picture).name for picture in pictures)
    lines = [BEGIN]
    for family, captions in sections:
        lines.append(f"## {family}\n\n[Question, findings and method](../../docs/{family}.md)\n")
        for name, caption in captions:
            wrapped = fill(caption, 120, break_long_words=False, break_on_hyphens=False)
            lines.append(f"### {name}\n\n![{name}]({next(files)})\n\n{wrapped}\n")
    lines.append(f"<!-- made_by: {json.dumps(made_by | {'made_from': made_from}, sort_keys=True)} -->\n")
    write_text(page, "\n".join(lines))


def write_picture(figure: str, picture: str, made_by: Mapping) -> None:
    """A png of few colours, at most ``WIDTH`` pixels wide, that says what made it."""
    with Image.open(figure, formats=["PNG"]) as image:
        small = image.convert("RGB")
    if small.width > WIDTH:
        small = small.resize((WIDTH, max(1, round(small.height * WIDTH / small.width))), Image.Resampling.LANCZOS)
    note = PngInfo()
    note.add_text("Description", json.dumps(made_by, sort_keys=True))
    few = small.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    with atomic_write(picture) as part:
        few.save(part, format="PNG", optimize=True, pnginfo=note)


def _noted(figure: str) -> dict[str, str]:
    """The code that made a figure, and the digest of the file."""
    return {"code": read_figure_made_by(figure)["code"], "sha256": sha256(Path(figure).read_bytes()).hexdigest()}
