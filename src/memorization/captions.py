"""The captions of figures as text: what workflow/report has for the report, for other pages.

Imported when the Snakefile is read: nothing here may import torch.
"""

import re
from pathlib import Path
from types import SimpleNamespace

from memorization.family import Figure

HOW = "How to read it"


def caption(path: str | Path, rule: str) -> str:
    """A caption in one line, as the report renders it for a figure that ``rule`` makes; its markup stays.

    Parameters
    ----------
    path : of a caption in workflow/report
    rule : which a caption of several figures may ask for
    """
    from jinja2 import Template  # takes time, and few jobs need it

    text = Template(Path(path).read_text("utf-8")).render(snakemake=SimpleNamespace(rule=rule))
    return " ".join(text.split())


def shortened(text: str) -> str:
    """The first sentence of a caption, and the one that says how to read the figure, where there is one."""
    first, *others = re.split(r"(?<=\.)\s+(?=[^\W\d_a-z]|[*`])", text)
    return " ".join([first, *(sentence for sentence in others if sentence.startswith(HOW))])


def short_caption(folder: str, family: str, figure: Figure) -> str:
    """The shortened caption of a family's figure; ``folder`` has the captions."""
    path = f"{folder}/{figure.caption or f'{family}_{figure.name}.rst'}"
    return shortened(caption(path, f"{family}_{figure.name}_figure"))
