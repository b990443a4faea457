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
    "2, facts, 1,000 exposures": 2.0,
    "1, facts, 100 exposures": 1.0,
    "3.5, random, bf16": 3.5,
    "3.8, random, fp32": 3.8,
}
LINES = ("-", "--", ":", "-.")
BOUND = "^"  # of a lower bound
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
    shades = dict(zip(families, sns.color_palette(plotting["palette"], len(families)), strict=True))
    sparse = known["active"] < 0.9 * known["parameters"]
    with style(plotting):
        point = {"linestyle": "", "markersize": 4}
        handles = [Line2D([], [], color=shades[each], marker="o", label=each, **point) for each in families]
        handles += [
            Line2D([], [], color="0.3", marker=BOUND, label="a lower bound", **point),
            Line2D([], [], color="0.3", marker="o", fillstyle="none", label="per active parameter", **point),
            Line2D([], [], **FLOOR, label="all that there is to hold"),
        ]
        columns = legend_columns(handles, plotting, 2)
        figure = grid(1, 2, plotting, legend_height(handles, columns) + 1.2)
        per_parameter, per_bit = figure.subplots(1, 2)
        _points(per_parameter, known, "parameters", shades)
        _points(per_parameter, known[sparse], "active", shades, hollow=True)
        _points(per_bit, known, "state_bits", shades)
        for line, (label, bits) in zip(LINES, LITERATURE.items(), strict=True):
            per_parameter.axhline(bits, color="0.45", linestyle=line, linewidth=0.8, zorder=1, label=label)
        per_parameter.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), title="literature", handlelength=1.8)
        per_parameter.set(xlabel="bits to hold, per parameter", ylabel="bits memorized, per parameter")
        per_bit.set(xlabel="bits to hold, per bit of state", ylabel="bits memorized,\nper bit of trainable state")
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def _points(ax: Axes, table: pd.DataFrame, size: str, shades: dict, hollow: bool = False) -> None:
    """A point a condition: the mean over its seeds; vertical, their range."""
    per = table.assign(x=table["to_hold"] / table[size], y=table["net_bits"] / table[size])
    for (family, _), rows in per.groupby(["family", "condition"], sort=False):
        y = rows["y"].clip(lower=LEAST)
        bound = (rows["lower_bound"] != "").any()
        ax.plot(
            rows["x"].mean(),
            y.mean(),
            color=shades[family],
            marker=BOUND if bound else "o",
            markersize=4,
            fillstyle="none" if hollow else "full",
            linestyle="",
            alpha=0.8,
        )
        ax.vlines(rows["x"].mean(), y.min(), y.max(), color=shades[family], linewidth=0.8)
    ends = np.array([max(per["x"].min(), LEAST), per["x"].max()]) if len(per) else np.array([LEAST, 1])
    if not hollow:
        ax.plot(ends, ends, **FLOOR)
    ax.set(xscale="log", yscale="log")
