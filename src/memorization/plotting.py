"""How all figures look, and how they are written."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import matplotlib
import seaborn as sns
from matplotlib.figure import Figure

from memorization.files import whole

CHANCE = {"color": "0.35", "linestyle": ":", "linewidth": 1.0, "zorder": 1}
FLOOR = {"color": "black", "linestyle": "--", "linewidth": 1.0, "zorder": 4}


@contextmanager
def style(plotting: dict) -> Iterator[None]:
    """Draw and write inside with the configuration's font size and dpi, and a frame without boxes."""
    size = plotting["font_size"]
    look = sns.axes_style("ticks") | {
        "font.size": size,
        "axes.labelsize": size,
        "axes.titlesize": size + 1,
        "xtick.labelsize": size - 1,
        "ytick.labelsize": size - 1,
        "legend.fontsize": size - 1,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "savefig.dpi": plotting["dpi"],
        "pdf.fonttype": 42,
        "svg.hashsalt": "memorization",
    }
    with matplotlib.rc_context(look):
        yield


def grid(rows: int, columns: int, plotting: dict, legend_height: float = 0.0) -> Figure:
    """An empty figure for ``rows`` × ``columns`` panels of the configured size, and inches for a legend below."""
    size = (plotting["panel_width"] * columns + 0.3, plotting["panel_height"] * rows + legend_height)
    return Figure(figsize=size, layout="constrained")


def save(figure: Figure, paths: Mapping[str, str], plotting: dict, made_by: dict) -> None:
    """Write a figure in every format of ``paths`` (format: path), without dates, saying what made it."""
    made_by = json.dumps(made_by, sort_keys=True)
    metadata = {
        "pdf": {"CreationDate": None, "Keywords": made_by},
        "svg": {"Date": None, "Description": made_by},
        "png": {"Software": None, "Description": made_by},
    }
    for ext, path in paths.items():
        with whole(path) as part, style(plotting):
            figure.savefig(part, format=ext, metadata=metadata[ext])
