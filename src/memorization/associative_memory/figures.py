"""Figures of the family alone: heads and temperatures, attention maps."""

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from memorization.plotting import CHANCE, FLOOR, grid, style
from memorization.random_sequences.measures import LN2
from memorization.statistics import over_seeds


def heads_figure(table: pd.DataFrame, heads: list[str], etas: list[str], plotting: dict) -> Figure:
    """What a memory recalls at the end of training against its number of heads and against its temperature.

    Points are means over seeds with 95% t intervals, small points seeds.

    Parameters
    ----------
    table : rows of ``associative_memory_summary``
    heads, etas : conditions of the left and of the right column
    plotting : ``style``, ``palette``, limits ``weighted_loss``
    """
    end = table[table["step"] == table.groupby(["condition", "seed"])["step"].transform("max")]
    columns = [("n_heads", heads, "attention heads, H"), ("eta", etas, "inverse temperature, η")]
    rows = [
        ("suffix_accuracy", "accuracy, suffix,\nmean over sequences"),
        ("weighted_loss", "loss, all bits, weighted by p\n(nats per bit)"),
    ]
    with style(plotting):
        colour = sns.color_palette(plotting["palette"])[0]
        figure = grid(2, 2, plotting, legend_height=0.3)
        axes = figure.subplots(2, 2, sharex="col", sharey="row")
        for column, (x, conditions, label) in zip(axes.T, columns, strict=True):
            part = end[end["condition"].isin(conditions)]
            for ax, (value, _) in zip(column, rows, strict=True):
                mean = over_seeds(part, [x], value)
                error = [mean["mean"] - mean["low"], mean["high"] - mean["mean"]]
                ax.scatter(part[x], part[value], color=colour, s=6, alpha=0.5, linewidths=0)
                ax.errorbar(mean[x], mean["mean"], error, color=colour, marker="o", markersize=4, elinewidth=0.8)
            column[0].axhline(0.5, **CHANCE)
            column[1].axhline(LN2, **CHANCE)
            column[1].axhline(part["floor"].mean(), **FLOOR)
            column[1].set(xscale="log", xlabel=label)
            column[1].xaxis.set(major_locator=FixedLocator(sorted(part[x].unique())), minor_locator=NullLocator())
            column[1].xaxis.set(major_formatter=ScalarFormatter())
        for ax, (_, label) in zip(axes[:, 0], rows, strict=True):
            ax.set_ylabel(label)
        axes[0, 0].set_ylim(0.4, 1.02)
        axes[1, 0].set_ylim(*plotting["weighted_loss"])
        marks = [Line2D([], [], **CHANCE, label="chance"), Line2D([], [], **FLOOR, label="Bayes floor, H(p)/N")]
        figure.legend(handles=marks, loc="outside lower center", ncols=2)
    return figure


def attention_figure(attention: np.ndarray, memory_map: np.ndarray, bits: list[int], plotting: dict) -> Figure:
    """The maps A(n) with which a prefix is read, and B with which a stored sequence is, as heat maps.

    Parameters
    ----------
    attention : (length, n_heads, length), A
    memory_map : (n_heads, length), B
    bits : the n of which A(n) is shown
    plotting : ``style``, ``palette``
    """
    panels = {f"A(n), n = {n}": np.where(np.arange(attention.shape[2]) < n, attention[n], np.nan) for n in bits}
    panels |= {"B": memory_map}
    with style(plotting):
        figure = grid(1, len(panels), plotting)
        axes = figure.subplots(1, len(panels), sharey=True)
        colours = matplotlib.colormaps[plotting["palette"]].with_extremes(bad="0.9")
        largest = max(np.nanmax(values) for values in panels.values())
        for ax, (title, values) in zip(axes, panels.items(), strict=True):
            image = ax.imshow(values, cmap=colours, vmin=0, vmax=largest, aspect="auto", interpolation="nearest")
            ax.set(title=title, xlabel="bit of the sequence")
            ax.xaxis.get_major_locator().set_params(integer=True)
        axes[0].set_ylabel("attention head")
        axes[0].yaxis.get_major_locator().set_params(integer=True)
        figure.colorbar(image, ax=axes, label="weight; rows sum to 1", pad=0.01)
    return figure
