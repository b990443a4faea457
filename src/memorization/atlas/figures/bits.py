"""Bits memorized per parameter and per bit of trainable state, of all families."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memorization.plotting import FLOOR, grid, legend_columns, legend_height, style

# Bits per parameter, of Allen-Zhu and Li (arXiv 2404.05405) and of Morris et al. (arXiv 2505.24832).
LITERATURE = {
    "facts, 1,000 exposures": (2.0, 2.0),
    "facts, 100 exposures": (1.0, 1.0),
    "random data, bf16 to fp32": (3.5, 3.8),
}
MARKERS = "osDv*X^P"  # of families
ACTIVE = "+"  # per active parameter
LEAST = 1e-4  # bits per parameter; what is below is drawn there


def bits_figure(summary: pd.DataFrame, plotting: dict) -> Figure:
    """What runs hold against what they were given to hold, per parameter and per bit of trainable state.

    Parameters
    ----------
    summary : of ``summary.summary_table``; runs without bits are left out
    plotting : ``style``, ``palette``
    """
    known = summary[summary["bits"].notna() & (summary["to_hold"] > 0)]
    families = list(dict.fromkeys(known["family"]))
    colours = sns.color_palette(plotting["palette"], len(families))
    looks = {
        name: {"color": colour, "marker": MARKERS[n % len(MARKERS)], "linestyle": "", "markersize": 4}
        for n, (name, colour) in enumerate(zip(families, colours, strict=True))
    }
    sparse = known["active"] < 0.9 * known["parameters"]
    with style(plotting):
        grey = {"color": "0.3", "linestyle": "", "markersize": 4}
        handles = [Line2D([], [], label=name, **look) for name, look in looks.items()]
        handles += [
            Line2D([], [], marker="o", fillstyle="none", label="hollow: a lower bound", **grey),
            Line2D([], [], marker=ACTIVE, label="per active parameter", **grey),
            Line2D([], [], **FLOOR, label="all that there is to hold"),
        ]
        columns = legend_columns(handles, plotting, 2)
        figure = grid(1, 2, plotting, legend_height(handles, columns))
        per_parameter, per_bit = figure.subplots(1, 2)
        _points(per_parameter, known, "parameters", looks)
        _points(per_parameter, known[sparse], "active", looks)
        _points(per_bit, known, "state_bits", looks)
        for label, (low, high) in LITERATURE.items():
            per_parameter.axhspan(low, high, color="0.45", linewidth=0.8, zorder=1)
            at = {"xy": (0.02, high), "xycoords": ("axes fraction", "data"), "xytext": (0, 1)}
            per_parameter.annotate(label, **at, textcoords="offset points", fontsize="x-small", color="0.3")
        per_parameter.set(xlabel="bits to hold, per parameter", ylabel="bits memorized, per parameter")
        per_bit.set(xlabel="bits to hold, per bit of state", ylabel="bits memorized,\nper bit of trainable state")
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def _points(ax: Axes, table: pd.DataFrame, size: str, looks: dict) -> None:
    """A point a condition: the mean over its seeds; vertical, their range."""
    per = table.assign(x=table["to_hold"] / table[size], y=table["net_bits"] / table[size])
    for (family, _), rows in per.groupby(["family", "condition"], sort=False):
        y, x = rows["y"].clip(lower=LEAST), rows["x"].mean()
        look = looks[family] | ({"marker": ACTIVE} if size == "active" else {})
        bound = (rows["lower_bound"] != "").any()
        ax.plot(x, y.mean(), **look, fillstyle="none" if bound else "full", alpha=0.8)
        ax.vlines(x, y.min(), y.max(), color=look["color"], linewidth=0.8)
    ends = np.array([max(per["x"].min(), LEAST), per["x"].max()]) if len(per) else np.array([LEAST, 1])
    if size != "active":
        ax.plot(ends, ends, **FLOOR)
    ax.set(xscale="log", yscale="log")
