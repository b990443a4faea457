"""Figures of the family."""

from collections import Counter

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from memorization.plotting import CHANCE, FLOOR, grid, style
from memorization.statistics import over_seeds

LN2 = np.log(2)
PANELS = {  # measure: rows of panels (kind, column, label, Bayes reference, chance)
    "loss": [
        ("lines", "loss", "loss, all bits\n(nats per bit)", "floor", LN2),
        ("lines", "suffix_loss", "loss, suffix\n(nats per bit)", None, LN2),
        ("scatter", "loss", "loss at the end, all bits\n(nats per bit)", "floor", LN2),
    ],
    "accuracy": [
        ("lines", "accuracy", "accuracy, all bits", "ceiling", 0.5),
        ("lines", "suffix_accuracy", "accuracy, suffix", None, 0.5),
        ("scatter", "suffix_accuracy", "accuracy at the end, suffix", None, 0.5),
    ],
}


def curves_figure(table: pd.DataFrame, measure: str, conditions: list[str], ranks: list[int], plotting: dict) -> Figure:
    """How single sequences are memorized: loss or accuracy against presentations, a column of panels a condition.

    Above, lines for chosen ranks as training goes, over all bits and over the suffix (thin: each seed, thick:
    mean over seeds); below, all sequences of all seeds at the end, the chosen ranks in their colours.

    Parameters
    ----------
    table : rows of ``zipf_by_sequence``
    measure : ``loss`` or ``accuracy``
    conditions : of the columns
    ranks : of the lines
    plotting : the configuration's ``style`` and ``zipf_curves``
    """
    rows = PANELS[measure]
    with style(plotting):
        alone = len(conditions) == 1  # then its panels stand side by side
        shape = (1, len(rows)) if alone else (len(rows), len(conditions))
        handles, columns = _legend(ranks, measure, plotting, shape[1])
        figure = grid(*shape, plotting, legend_height=0.3 + 0.2 * -(-len(handles) // columns))
        axes = figure.subplots(*shape, squeeze=False, sharex=True, sharey=False if alone else "row")
        axes = axes.T if alone else axes
        colour = _colours(ranks, plotting)
        for j, condition in enumerate(conditions):
            column, part = axes[:, j], table[table["condition"] == condition]
            for ax, (kind, value, label, reference, chance) in zip(column, rows, strict=True):
                if kind == "lines":
                    _lines(ax, part, value, reference, colour)
                else:
                    _scatter(ax, part, value, reference, colour)
                ax.axhline(chance, **CHANCE)
                ax.set(xscale="log", yscale="log" if measure == "loss" else "linear")
                if value == "loss":
                    ax.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter=ScalarFormatter())
                    ax.yaxis.set_minor_formatter(NullFormatter())
                if j == 0:
                    ax.set_ylabel(label)
            figure.suptitle(condition) if alone else column[0].set_title(condition)
            for ax in column if alone else column[-1:]:
                ax.set_xlabel("presentations of the sequence")
        for row, (_, value, *_) in zip(axes, rows, strict=True):  # when all is drawn: limits end autoscaling
            row[0].set_xlim(*plotting["presentations"])
            row[0].set_ylim(*(plotting[value] if measure == "loss" else (-0.03, 1.03)))
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def comparison_figure(table: pd.DataFrame, comparisons: list[dict], plotting: dict) -> Figure:
    """How conditions differ: the p-weighted loss and the suffix accuracy of all sequences against steps.

    Thin lines are seeds, thick lines their mean, bands 95% t intervals over seeds; the condition that stands in
    most comparisons, if in several, is black. Floors that differ in a panel have their conditions' colours.

    Parameters
    ----------
    table : rows of ``zipf_summary``
    comparisons : a column of panels each, ``{name, conditions}``
    plotting : the configuration's ``style`` and ``zipf_comparison``
    """
    stands = Counter(name for each in comparisons for name in each["conditions"])
    baseline = [name for name, count in stands.most_common(1) if count > 1]
    with style(plotting):
        figure = grid(2, len(comparisons), plotting)
        axes = figure.subplots(2, len(comparisons), squeeze=False, sharex=True, sharey="row")
        for column, comparison in zip(axes.T, comparisons, strict=True):
            colours = iter(sns.color_palette(plotting["palette"], len(comparison["conditions"])))
            several = table.loc[table["condition"].isin(comparison["conditions"]), "floor"].nunique() > 1
            for name in comparison["conditions"]:
                colour = "black" if name in baseline else next(colours)
                part = table[(table["condition"] == name) & (table["step"] > 0)]
                column[0].axhline(part["floor"].iloc[0], **FLOOR | ({"color": colour} if several else {}))
                for ax, value in zip(column, ("weighted_loss", "suffix_accuracy"), strict=True):
                    for _, seed in part.groupby("seed"):
                        ax.plot(seed["step"], seed[value], color=colour, alpha=0.35, linewidth=0.6)
                    mean = over_seeds(part, ["step"], value)
                    ax.plot(mean["step"], mean["mean"], color=colour, linewidth=1.6, label=name)
                    ax.fill_between(mean["step"], mean["low"], mean["high"], color=colour, alpha=0.15, linewidth=0)
            column[0].axhline(LN2, **CHANCE)
            column[1].axhline(0.5, **CHANCE)
            column[0].set(xscale="log", title=comparison["name"])
            column[1].set(ylim=(0.4, 1.02), xlabel="optimizer step")
            column[1].legend(loc="upper left", handlelength=1.2)
        axes[0, 0].set_xlim(*plotting["step"])
        axes[0, 0].set_ylim(*plotting["weighted_loss"])
        axes[0, 0].set_ylabel("loss, all bits, weighted by p\n(nats per bit)")
        axes[1, 0].set_ylabel("accuracy, suffix,\nmean over sequences")
        marks = [Line2D([], [], **FLOOR, label="Bayes floor, H(p)/N"), Line2D([], [], **CHANCE, label="chance")]
        axes[0, 0].legend(handles=marks, loc="lower left", handlelength=1.6)
    return figure


def _colours(ranks: list[int], plotting: dict) -> dict[int, tuple]:
    return dict(zip(ranks, matplotlib.colormaps[plotting["palette"]](np.linspace(0, 0.93, len(ranks))), strict=True))


def _lines(ax: Axes, part: pd.DataFrame, value: str, reference: str | None, colour: dict) -> None:
    for rank, shade in colour.items():
        seen = part[(part["rank"] == rank) & (part["presentations"] > 0)]
        for _, seed in seen.groupby("seed"):
            ax.plot(seed["presentations"], seed[value], color=shade, alpha=0.4, linewidth=0.6)
        everywhere = seen.groupby("step")["seed"].transform("size") == seen["seed"].nunique()
        mean = seen[everywhere].groupby("step")[["presentations", value]].mean()
        ax.plot(mean["presentations"], mean[value], color=shade, linewidth=1.6)
        if reference and len(seen):
            ends = [mean["presentations"].max() * 0.5, mean["presentations"].max()]
            ax.plot(ends, [seen[reference].mean()] * 2, **FLOOR | {"color": shade, "linewidth": 1.4})


def _scatter(ax: Axes, part: pd.DataFrame, value: str, reference: str | None, colour: dict) -> None:
    end = part[(part["step"] == part["step"].max()) & (part["presentations"] > 0)]
    ax.scatter(end["presentations"], end[value], color="0.7", s=5, linewidths=0, rasterized=True)
    for rank, shade in colour.items():
        chosen = end[end["rank"] == rank]
        ax.scatter(chosen["presentations"], chosen[value], color=shade, s=14, linewidths=0, zorder=3)
    if reference:
        floor = end.groupby("rank")[[reference, "length"]].mean()
        expected = np.exp(-floor[reference] * floor["length"]) * end["presentations"].sum() / end["seed"].nunique()
        ax.plot(expected, floor[reference], **FLOOR)


def _legend(ranks: list[int], measure: str, plotting: dict, panels: int) -> tuple[list[Line2D], int]:
    """The legend's entries, and in how many columns they fit below the panels."""
    handles = [
        Line2D([], [], color=shade, linewidth=1.6, label=f"rank {rank}")
        for rank, shade in _colours(ranks, plotting).items()
    ]
    bound = "Bayes floor" if measure == "loss" else "Bayes ceiling"
    handles += [Line2D([], [], **FLOOR, label=bound), Line2D([], [], **CHANCE, label="chance")]
    handles += [Line2D([], [], color="0.7", marker="o", markersize=2.5, linestyle="", label="other ranks")]
    widest = plotting["font_size"] * max(len(handle.get_label()) for handle in handles) / 72 * 0.45 + 0.5  # inches
    fitting = max(1, int(plotting["panel_width"] * panels / widest))
    return handles, -(-len(handles) // -(-len(handles) // fitting))  # as many rows as that takes, evenly filled
