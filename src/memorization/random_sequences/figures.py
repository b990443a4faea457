"""Figures of memorized sequences: single ones against exposures, sets around a switch."""

from collections.abc import Mapping

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, ScalarFormatter, SymmetricalLogLocator

from memorization.plotting import (
    CHANCE,
    FLOOR,
    grid,
    legend_columns,
    legend_height,
    log_bins,
    over_seeds_lines,
    style,
)
from memorization.random_sequences.measures import LN2, at_end, late

BINS_PER_DECADE = 10  # of exposures
LOOKS = ({"linestyle": "-", "marker": "o"}, {"linestyle": (0, (4, 1.5)), "marker": "^"})  # of two ranks of one colour
MOST_COLOURS = 7  # that are told apart
FIRST = {"color": "black", "linestyle": ":"}
MARK = {"color": "0.5", "linewidth": 0.8, "linestyle": "-."}
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
    """How single sequences are memorized: loss or accuracy against exposures, a column of panels a condition.

    Above, lines for chosen ranks as training goes, over all bits and over the suffix (thin: each seed, thick:
    mean over seeds); below, all sequences of all seeds at the end, the chosen ranks in their colours.

    Parameters
    ----------
    table : rows of ``by_sequence``
    measure : ``loss`` or ``accuracy``
    conditions : of the columns
    ranks : of the lines
    plotting : ``style``, ``palette``, and limits ``exposures``, of losses ``loss``, ``suffix_loss`` too
    """
    rows = PANELS[measure]
    with style(plotting):
        alone = len(conditions) == 1  # then its panels stand side by side
        shape = (1, len(rows)) if alone else (len(rows), len(conditions))
        handles = _legend(ranks, measure, plotting)
        columns = legend_columns(handles, plotting, shape[1])
        figure = grid(*shape, plotting, legend_height(handles, columns))
        shared = True if measure == "accuracy" else False if alone else "row"
        axes = figure.subplots(*shape, squeeze=False, sharex=True, sharey=shared)
        axes = axes.T if alone else axes
        looks = _looks(ranks, plotting)
        for j, condition in enumerate(conditions):
            column, part = axes[:, j], table[table["condition"] == condition]
            for ax, (kind, value, label, reference, chance) in zip(column, rows, strict=True):
                if kind == "lines":
                    _lines(ax, part, value, reference, looks)
                else:
                    _scatter(ax, part, value, reference, looks)
                ax.axhline(chance, **CHANCE)
                ax.set(xscale="log", yscale="log" if measure == "loss" else "linear")
                if value == "loss":
                    ax.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter=ScalarFormatter())
                    ax.yaxis.set_minor_formatter(NullFormatter())
                if j == 0:
                    ax.set_ylabel(label)
            figure.suptitle(condition) if alone else column[0].set_title(condition)
            for ax in column if alone else column[-1:]:
                ax.set_xlabel("exposures of the sequence")
        for row, (_, value, *_) in zip(axes, rows, strict=True):  # when all is drawn: limits end autoscaling
            row[0].set_xlim(*plotting["exposures"])
            row[0].set_ylim(*(plotting[value] if measure == "loss" else (None, 1.03)))
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def switch_figure(
    table: pd.DataFrame, switches: list[dict], plotting: dict, marks: Mapping[str, Mapping[str, float]]
) -> Figure:
    """What a switch does to the set that was learned and to the one that follows, a column a condition.

    Against the steps since the last switch: the mean accuracy and loss over the suffix, of the set that is trained
    on, of those before it, and, for comparison, of the first set of all while it was learned from the beginning.

    Parameters
    ----------
    table : rows of ``summary`` of the switches and of the conditions that they go on from
    switches : the configuration's ``{name, condition, switch_steps, …}``
    plotting : ``style``, and limits ``step``, ``suffix_loss``
    marks : by what happens then, the steps since the switch that are marked, by switch
    """
    rows = [("suffix_accuracy", "accuracy, suffix", 0.5), ("suffix_loss", "loss, suffix\n(nats per bit)", LN2)]
    values = [value for value, *_ in rows]
    old, new, _, _, older, *_ = sns.color_palette("colorblind")
    several = any(len(switch["switch_steps"]) > 1 for switch in switches)
    sets = {"new set": new, "set before it": old} | ({"sets before that": older} if several else {})
    handles = [Line2D([], [], color=shade, linewidth=1.6, label=label) for label, shade in sets.items()]
    handles += [Line2D([], [], **FIRST, linewidth=1.6, label="first set, from its beginning")]
    handles += [Line2D([], [], **CHANCE, label="chance"), Line2D([], [], **FLOOR, label="Bayes floor")]
    handles += [Line2D([], [], **MARK, label=label) for label, steps in marks.items() if steps]
    with style(plotting):
        columns = legend_columns(handles, plotting, len(switches))
        figure = grid(len(rows), len(switches), plotting, legend_height(handles, columns))
        axes = figure.subplots(len(rows), len(switches), squeeze=False, sharex=True, sharey="row")
        for column, switch in zip(axes.T, switches, strict=True):
            part = table[(table["condition"] == switch["name"]) & (table["step"] >= switch["switch_steps"][-1])]
            part = one_end(part.assign(step=part["step"] - switch["switch_steps"][-1], switch_start_step=0), values)
            first = table[(table["condition"] == switch["condition"]) & (table["step"] <= switch["switch_steps"][0])]
            first = one_end(first, values)
            for ax, (value, _, chance) in zip(column, rows, strict=True):
                over_seeds_lines(ax, first, "step", value, **FIRST, band=False)
                for number in sorted(part["set"].unique()):
                    shade = {0: new, 1: old}.get(len(switch["switch_steps"]) - number, older)
                    over_seeds_lines(ax, part[part["set"] == number], "step", value, shade)
                ax.axhline(chance, **CHANCE)
                for steps in marks.values():
                    if switch["name"] in steps:
                        ax.axvline(steps[switch["name"]], **MARK)
            column[1].axhline(0, **FLOOR)
            column[0].set_title(switch["name"], fontsize=plotting["font_size"])
            column[1].set_xscale("symlog", linthresh=1, linscale=0.4)
            column[1].xaxis.set(major_locator=SymmetricalLogLocator(base=10, linthresh=1), minor_locator=NullLocator())
            column[1].xaxis.set(major_formatter=ScalarFormatter())
            column[1].set_xlabel("steps since the switch")
        for ax, (_, label, _) in zip(axes[:, 0], rows, strict=True):
            ax.set_ylabel(label)
        axes[0, 0].set_ylim(None, 1.03)
        axes[0, 0].set_xlim(*plotting["step"])
        axes[1, 0].set_ylim(*plotting["suffix_loss"])
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def one_end(table: pd.DataFrame, values: list[str]) -> pd.DataFrame:
    """Rows of ``summary`` whose last tenth of a training is one row, at its last step: the median, as of ``at_end``.

    On a log axis the many steps that are recorded there would stand on top of each other.
    """
    table = table.reset_index(drop=True)
    last = table.groupby(["condition", "seed"])["step"].transform("max")
    steps = table["step"].mask(table.index.isin(late(table).index), last)
    return table.groupby(["condition", "seed", "set", steps], as_index=False)[values].median()


def _looks(ranks: list[int], plotting: dict) -> dict[int, dict]:
    """How each rank is drawn: in a colour of its own or, where ranks are many, two in one, solid and dashed."""
    share = 1 if len(ranks) <= MOST_COLOURS else 2
    colours = matplotlib.colormaps[plotting["palette"]](np.linspace(0, 0.9, -(-len(ranks) // share)))
    return {rank: {"color": colours[i // share]} | LOOKS[i % share] for i, rank in enumerate(ranks)}


def _lines(ax: Axes, part: pd.DataFrame, value: str, reference: str | None, looks: dict) -> None:
    for rank, look in looks.items():
        seen = part[(part["rank"] == rank) & (part["exposures"] > 0)]
        bins = log_bins(seen["exposures"], BINS_PER_DECADE)
        ends = bins.groupby(seen["seed"])
        bins = bins.clip(ends.min().max(), ends.max().min()).rename("bin")  # all seeds have the first and the last
        means = seen.groupby(["seed", bins])[["exposures", value]].mean().reset_index()
        means["exposures"] = means.groupby("bin")["exposures"].transform("mean")
        line = {"color": look["color"], "linestyle": look["linestyle"]}
        over_seeds_lines(ax, means, "exposures", value, **line, of_all=True, band=False)
        if reference and len(seen):
            end = means["exposures"].max()
            ax.plot([end * 0.6, end * 1.2], [seen[reference].mean()] * 2, **FLOOR)


def _scatter(ax: Axes, part: pd.DataFrame, value: str, reference: str | None, looks: dict) -> None:
    references = [reference, "length"] if reference else []
    end = at_end(part, ["condition", "seed", "set", "rank"], ["exposures", value, *references])
    end = end[end["exposures"] > 0]
    ax.scatter(end["exposures"], end[value], color="0.7", s=5, linewidths=0, rasterized=True)
    for rank, look in looks.items():
        chosen = end[end["rank"] == rank]
        ax.scatter(chosen["exposures"], chosen[value], color=look["color"], marker=look["marker"], s=14, lw=0, zorder=3)
    if reference:
        floor = end.groupby("rank")[references].mean()
        expected = np.exp(-floor[reference] * floor["length"]) * end["exposures"].sum() / end["seed"].nunique()
        ax.plot(expected, floor[reference], **FLOOR)


def _legend(ranks: list[int], measure: str, plotting: dict) -> list[Line2D]:
    handles = [
        Line2D([], [], **look, markersize=3, linewidth=1.6, label=f"rank {rank}")
        for rank, look in _looks(ranks, plotting).items()
    ]
    bound = "Bayes floor" if measure == "loss" else "Bayes ceiling"
    handles += [Line2D([], [], **FLOOR, label=bound), Line2D([], [], **CHANCE, label="chance")]
    return [*handles, Line2D([], [], color="0.7", marker="o", markersize=2.5, linestyle="", label="other ranks")]
