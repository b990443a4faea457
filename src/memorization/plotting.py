"""How all figures look, and how they are written."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memorization.files import atomic_write

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


def legend_columns(handles: list[Artist], plotting: dict, panels: int) -> int:
    """How many columns of a legend's entries fit below ``panels`` side by side, its rows evenly filled."""
    widest = plotting["font_size"] * max(len(handle.get_label()) for handle in handles) / 72 * 0.45 + 0.5  # inches
    fitting = max(1, int(plotting["panel_width"] * panels / widest))
    return -(-len(handles) // -(-len(handles) // fitting))


def legend_height(handles: list[Artist], columns: int) -> float:
    """Inches that a legend of so many columns takes."""
    return 0.3 + 0.2 * -(-len(handles) // columns)


def log_bins(values: pd.Series, per_decade: int) -> pd.Series:
    """The middle of the bin in which each of some positive values lies, so many bins a decade."""
    return 10 ** ((np.log10(values) * per_decade).round() / per_decade)


def mixed(hue: tuple[float, ...], grey: float, share: float) -> tuple[float, ...]:
    """A colour with a share of grey in it: 0 is black, 1 is white."""
    return tuple((1 - share) * each + share * grey for each in hue)


def of_all_seeds(table: pd.DataFrame, x: str) -> pd.DataFrame:
    """The rows at whose ``x`` every seed has one, so that a mean over seeds does not jump where some have ended."""
    return table[table.groupby(x)["seed"].transform("size") == table["seed"].nunique()]


def over_seeds_lines(
    ax: Axes,
    table: pd.DataFrame,
    x: str,
    y: str,
    color,
    label=None,
    linestyle="-",
    of_all: bool = False,
    band: bool = True,
) -> None:
    """A thin line a seed, a thick one for their mean (``of_all`` seeds alone), a band for their range."""
    for _, seed in table.groupby("seed"):
        ax.plot(seed[x], seed[y], color=color, alpha=0.35, linewidth=0.6)
    seeds = (of_all_seeds(table, x) if of_all else table).groupby(x)[y].agg(["mean", "min", "max"])
    ax.plot(seeds.index, seeds["mean"], color=color, linewidth=1.6, linestyle=linestyle, label=label)
    if band:
        ax.fill_between(seeds.index, seeds["min"], seeds["max"], color=color, alpha=0.15, linewidth=0)


def over_seeds_points(ax: Axes, table: pd.DataFrame, x: str, y: str, color) -> None:
    """An open circle a seed, a short bar for their mean, a vertical line for their range."""
    ax.scatter(table[x], table[y], s=9, facecolors="none", edgecolors=[color], linewidths=0.6, zorder=3)
    seeds = table.groupby(x)[y].agg(["mean", "min", "max"])
    ax.vlines(seeds.index, seeds["min"], seeds["max"], color=color, linewidth=0.8)
    ax.plot(seeds.index, seeds["mean"], color=color, linestyle="", marker="_", markersize=6, markeredgewidth=1.8)


def save(figure: Figure, paths: Mapping[str, str], plotting: dict, made_by: dict) -> None:
    """Write a figure in every format of ``paths`` (format: path), without dates, saying what made it.

    The first format lays the figure out, once for all: what is added to it later stays where it is put.
    """
    made_by = json.dumps(made_by, sort_keys=True)
    metadata = {
        "pdf": {"CreationDate": None, "Keywords": made_by},
        "svg": {"Date": None, "Description": made_by},
        "png": {"Software": None, "Description": made_by},
    }
    for ext, path in paths.items():
        with atomic_write(path) as part, style(plotting):
            figure.savefig(part, format=ext, metadata=metadata[ext])
        figure.set_layout_engine("none")  # as the first format has laid it out, which takes half of the time
