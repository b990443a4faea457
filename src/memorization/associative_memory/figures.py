"""Figures of the family alone: heads and temperatures, attention maps."""

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from memorization.plotting import CHANCE, FLOOR, grid, over_seeds_points, style
from memorization.random_sequences.measures import LN2, at_end


def heads_figure(table: pd.DataFrame, heads: list[str], etas: list[str], plotting: dict) -> Figure:
    """What a memory recalls at the end of training against its number of heads and against its temperature.

    Circles are seeds, bars their mean, vertical lines their range; a thin line joins the means.

    Parameters
    ----------
    table : rows of ``associative_memory_summary``
    heads, etas : conditions of the left and of the right column
    plotting : ``style``, ``palette``, limits ``weighted_loss``
    """
    columns = [("n_heads", heads, "attention heads, H"), ("eta", etas, "inverse temperature, η")]
    rows = [
        ("suffix_accuracy", "accuracy at the end, suffix,\nmean over sequences"),
        ("weighted_loss", "loss at the end, all bits,\nweighted by p (nats per bit)"),
    ]
    by = ["condition", "seed", "set", "n_heads", "eta", "floor"]
    end = at_end(table, by, [value for value, _ in rows])
    with style(plotting):
        colour = sns.color_palette(plotting["palette"])[0]
        figure = grid(2, 2, plotting, legend_height=0.3)
        axes = figure.subplots(2, 2, sharex="col", sharey="row")
        for column, (x, conditions, label) in zip(axes.T, columns, strict=True):
            part = end[end["condition"].isin(conditions)]
            for ax, (value, _) in zip(column, rows, strict=True):
                mean = part.groupby(x)[value].mean()
                ax.plot(mean.index, mean, color=colour, linewidth=0.8, alpha=0.5)
                over_seeds_points(ax, part, x, value, colour)
            column[0].axhline(0.5, **CHANCE)
            column[1].axhline(LN2, **CHANCE)
            column[1].axhline(part["floor"].mean(), **FLOOR)
            other, name = ("eta", "η") if x == "n_heads" else ("n_heads", "H")
            column[0].set_title(", ".join(f"{name} = {held:g}" for held in sorted(part[other].unique())))
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


def attention_figure(
    attention: np.ndarray, memory_map: np.ndarray, bits: list[int], run: str, plotting: dict
) -> Figure:
    """The maps A(n) with which a prefix is read, and B with which a stored sequence is, as heat maps.

    Heads stand in the order of the bit that each weighs most in B. Colours follow the root of a weight, so that small
    ones are told apart too.

    Parameters
    ----------
    attention : (length, n_heads, length), A
    memory_map : (n_heads, length), B
    bits : the n of which A(n) is shown
    run : what stands above them
    plotting : ``style``, ``palette``
    """
    order = np.argsort(memory_map.argmax(axis=1), kind="stable")
    panels = {f"A(n), n = {n}": np.where(np.arange(attention.shape[2]) < n, attention[n], np.nan) for n in bits}
    panels |= {"B": memory_map}
    with style(plotting):
        figure = grid(1, len(panels), plotting)
        axes = figure.subplots(1, len(panels), sharey=True)
        colours = matplotlib.colormaps[plotting["palette"]].with_extremes(bad="0.8")
        norm = PowerNorm(0.5, 0, max(np.nanmax(values) for values in panels.values()))
        for ax, (title, values) in zip(axes, panels.items(), strict=True):
            image = ax.imshow(values[order], cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
            ax.set(title=title, xlabel="bit of the sequence")
            ax.xaxis.get_major_locator().set_params(integer=True)
        axes[0].set_ylabel("attention head, sorted by B")
        axes[0].yaxis.get_major_locator().set_params(integer=True)
        figure.colorbar(image, ax=axes, label="weight; rows sum to 1", pad=0.01)
        figure.suptitle(run)
    return figure
