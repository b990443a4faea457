"""Figures of the family."""

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
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
    mean over seeds); below, all sequences of all seeds at the end.

    Parameters
    ----------
    table : rows of ``zipf_by_sequence``
    measure : ``loss`` or ``accuracy``
    conditions : of the columns
    ranks : of the lines
    plotting : the configuration's section
    """
    rows = PANELS[measure]
    with style(plotting):
        figure = grid(len(rows), len(conditions), plotting, legend_height=0.5)
        axes = figure.subplots(len(rows), len(conditions), squeeze=False, sharex=True, sharey="row")
        norm = LogNorm(1, table["rank"].max() + 1)
        colour = {rank: matplotlib.colormaps[plotting["rank_palette"]](0.93 * norm(rank + 1)) for rank in ranks}
        for j, condition in enumerate(conditions):
            column, part = axes[:, j], table[table["condition"] == condition]
            for ax, (kind, value, label, reference, chance) in zip(column, rows, strict=True):
                if kind == "lines":
                    _lines(ax, part, value, reference, colour)
                else:
                    _scatter(ax, part, value, reference, norm, plotting["rank_palette"])
                ax.axhline(chance, **CHANCE)
                ax.set(xscale="log", yscale="log" if measure == "loss" else "linear")
                for axis, limits in (("x", plotting["limits"]["presentations"]), ("y", plotting["limits"].get(value))):
                    if limits:
                        ax.set(**{f"{axis}lim": limits})
                if measure == "accuracy":
                    ax.set(ylim=(-0.03, 1.03))
                if value == "loss":
                    ax.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter=ScalarFormatter())
                    ax.yaxis.set_minor_formatter(NullFormatter())
                if j == 0:
                    ax.set_ylabel(label)
            column[0].set_title(condition)
            column[-1].set_xlabel("presentations of the sequence")
        figure.legend(handles=_rank_legend(colour, measure), loc="outside lower center", ncols=len(ranks) + 3)
    return figure


def comparison_figure(table: pd.DataFrame, comparisons: list[dict], plotting: dict) -> Figure:
    """How conditions differ: the p-weighted loss and the suffix accuracy of all sequences against steps.

    Thin lines are seeds, thick lines their mean, bands 95% t intervals over seeds; a condition that stands in
    several comparisons is black.

    Parameters
    ----------
    table : rows of ``zipf_by_sequence``
    comparisons : a column of panels each, ``{name, conditions}``
    plotting : the configuration's section
    """
    whole = summary(table)
    shared = [name for each in comparisons for name in each["conditions"]]
    shared = {name for name in shared if shared.count(name) > 1}
    with style(plotting):
        figure = grid(2, len(comparisons), plotting)
        axes = figure.subplots(2, len(comparisons), squeeze=False, sharex=True, sharey="row")
        for column, comparison in zip(axes.T, comparisons, strict=True):
            colours = iter(sns.color_palette(plotting["palette"], len(comparison["conditions"])))
            for name in comparison["conditions"]:
                colour = "black" if name in shared else next(colours)
                part = whole[(whole["condition"] == name) & (whole["step"] > 0)]
                for ax, value in zip(column, ("loss", "suffix_accuracy"), strict=True):
                    for _, seed in part.groupby("seed"):
                        ax.plot(seed["step"], seed[value], color=colour, alpha=0.35, linewidth=0.6)
                    mean = over_seeds(part, ["step"], value)
                    ax.plot(mean["step"], mean["mean"], color=colour, linewidth=1.6, label=name)
                    ax.fill_between(mean["step"], mean["low"], mean["high"], color=colour, alpha=0.15, linewidth=0)
            floors = whole.loc[whole["condition"].isin(comparison["conditions"]), "floor"].unique()
            for floor in floors:
                column[0].axhline(floor, **FLOOR)
            column[0].axhline(LN2, **CHANCE)
            column[1].axhline(0.5, **CHANCE)
            column[0].set(xscale="log", ylim=(0, 0.85), title=comparison["name"])
            if plotting["limits"]["step"]:
                column[0].set_xlim(plotting["limits"]["step"])
            column[1].set(ylim=(0.4, 1.02), xlabel="optimizer step")
            column[1].legend(loc="upper left", handlelength=1.2)
        axes[0, 0].set_ylabel("loss, all bits, weighted by p\n(nats per bit)")
        axes[1, 0].set_ylabel("accuracy, suffix,\nmean over sequences")
        marks = [Line2D([], [], **FLOOR, label="Bayes floor, H(p)/N"), Line2D([], [], **CHANCE, label="chance")]
        axes[0, 0].legend(handles=marks, loc="lower left", handlelength=1.6)
    return figure


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """A row a (condition, seed, step): p-weighted ``loss`` and ``floor``, mean ``suffix_accuracy``.

    The weights are p over the sequences that were recorded at that step, so that a stride keeps them summing to one.
    """
    table = table.assign(p=np.exp(-table["floor"] * table["length"]))
    weighted = table.assign(loss=table["loss"] * table["p"], floor=table["floor"] * table["p"])
    groups = weighted.groupby(["condition", "seed", "step"], as_index=False)
    total = groups[["loss", "floor", "p"]].sum()
    total[["loss", "floor"]] = total[["loss", "floor"]].div(total["p"], axis=0)
    return total.merge(groups["suffix_accuracy"].mean())


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


def _scatter(ax: Axes, part: pd.DataFrame, value: str, reference: str | None, norm: LogNorm, palette: str) -> None:
    end = part[(part["step"] == part["step"].max()) & (part["presentations"] > 0)]
    ax.scatter(
        end["presentations"], end[value], c=end["rank"] + 1, norm=norm, cmap=palette,
        s=5, alpha=0.6, linewidths=0, rasterized=True,
    )  # fmt: skip
    if reference:
        floor = end.groupby("rank")[[reference, "length"]].mean()
        expected = np.exp(-floor[reference] * floor["length"]) * end["presentations"].sum() / end["seed"].nunique()
        ax.plot(expected, floor[reference], **FLOOR)


def _rank_legend(colour: dict, measure: str) -> list[Line2D]:
    handles = [Line2D([], [], color=shade, linewidth=1.6, label=f"rank {rank}") for rank, shade in colour.items()]
    bound = "Bayes floor, −ln p / N" if measure == "loss" else "Bayes ceiling"
    return [*handles, Line2D([], [], **FLOOR, label=bound), Line2D([], [], **CHANCE, label="chance")]
