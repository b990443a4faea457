"""Figures of the family: bits against sequences, against parameters, against steps."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from memorization.capacity.findings import ALLEN_ZHU, MORRIS, at_end
from memorization.plotting import CHANCE, FLOOR, grid, over_seeds_lines, style

LITERATURE = {ALLEN_ZHU: CHANCE, MORRIS: CHANCE | {"linestyle": "-."}}
COUNTS = FuncFormatter(lambda value, _: f"{value:,.0f}")


def sequences_figure(table: pd.DataFrame, plotting: dict) -> Figure:
    """Bits memorized at the end against the number of sequences, one model.

    Parameters
    ----------
    table : rows of ``capacity_bits``
    plotting : the configuration's ``style`` and ``capacity_sequences``
    """
    ends = _ends(table)
    with style(plotting):
        figure = grid(1, 1, plotting, legend_height=0.6)
        ax = figure.subplots()
        colour = sns.color_palette(plotting["palette"])[0]
        ax.scatter(ends["count"], ends["bits"], color=colour, s=10, alpha=0.5, linewidths=0)
        over_seeds_lines(ax, ends.sort_values("count"), "count", "bits", colour, label="bits memorized")
        held = ends.drop_duplicates("count").sort_values("count")
        ax.plot(held["count"], held["to_hold"], **FLOOR, label="all that there is to hold")
        for per_parameter, line in LITERATURE.items():
            ax.axhline(
                per_parameter * held["parameters"].iloc[0], **line, label=f"{per_parameter:g} bits per parameter"
            )
        ax.set(xscale="log", yscale="log", xlabel="sequences, K", ylabel="bits memorized at the end")
        ax.xaxis.set_major_locator(FixedLocator(held["count"]))
        _finish(figure, ax, plotting)
    return figure


def parameters_figure(table: pd.DataFrame, models: Sequence[str], plotting: dict) -> Figure:
    """Bits memorized at the end against the number of parameters, of sequences that are more than a model holds.

    Parameters
    ----------
    table : rows of ``capacity_bits``
    models : conditions, in the order of the legend
    plotting : the configuration's ``style`` and ``capacity_parameters``
    """
    ends = _ends(table)
    with style(plotting):
        figure = grid(1, 1, plotting, legend_height=0.8)
        ax = figure.subplots()
        for name, colour in zip(models, sns.color_palette(plotting["palette"], len(models)), strict=True):
            of_model = ends[ends["condition"] == name]
            over_seeds_lines(ax, of_model, "parameters", "bits", colour)
            ax.scatter(of_model["parameters"], of_model["bits"], color=colour, s=10, alpha=0.5, linewidths=0)
            ax.scatter(of_model["parameters"].iloc[:1], of_model["bits"].mean(), color=colour, s=30, label=name)
        sizes = np.array([ends["parameters"].min() / 1.1, ends["parameters"].max() * 1.1])
        for per_parameter, line in LITERATURE.items():
            ax.plot(sizes, per_parameter * sizes, **line, label=f"{per_parameter:g} bits per parameter")
        ax.set(xscale="log", yscale="log", xlabel="parameters", ylabel="bits memorized at the end")
        ax.xaxis.set_major_locator(LogLocator(base=2, subs=(1, 1.5), numticks=20))
        _finish(figure, ax, plotting)
    return figure


def training_figure(table: pd.DataFrame, comparisons: Sequence[Mapping], plotting: dict) -> Figure:
    """Bits per parameter against steps, a panel a comparison, a line a condition.

    Parameters
    ----------
    table : rows of ``capacity_bits``
    comparisons : ``{name, conditions}`` of the panels
    plotting : the configuration's ``style`` and ``capacity_training``
    """
    with style(plotting):
        figure = grid(1, len(comparisons), plotting, legend_height=0.5)
        axes = figure.subplots(1, len(comparisons), squeeze=False, sharey=True)[0]
        for ax, comparison in zip(axes, comparisons, strict=True):
            names = comparison["conditions"]
            for name, colour in zip(names, sns.color_palette(plotting["palette"], len(names)), strict=True):
                part = table[(table["condition"] == name) & (table["step"] > 0)]
                over_seeds_lines(ax, part, "step", "bits_per_parameter", colour, label=name)
            for per_parameter, line in LITERATURE.items():
                ax.axhline(per_parameter, **line)
            ax.set(xscale="log", xlabel="optimizer step", title=comparison["name"])
            ax.set_xlim(*plotting["step"])
            legend = {"frameon": True, "facecolor": "white", "edgecolor": "none", "framealpha": 1}
            ax.legend(loc="upper left", handlelength=1.2, **legend)
        axes[0].set_ylim(*plotting["bits_per_parameter"])
        axes[0].set_ylabel("bits memorized\nper parameter")
        marks = [Line2D([], [], **line, label=f"{value:g} bits per parameter") for value, line in LITERATURE.items()]
        figure.legend(handles=marks, loc="outside lower center", ncols=min(len(marks), len(comparisons)))
    return figure


def _ends(table: pd.DataFrame) -> pd.DataFrame:
    """Where each run ends, with the size of its data set."""
    of = {name: at_end(rows).assign(count=rows["count"].iloc[0]) for name, rows in table.groupby("condition")}
    return pd.concat(of, names=["condition"]).reset_index()


def _finish(figure: Figure, ax: Axes, plotting: dict) -> None:
    """Counts along both axes of logarithms, powers of 2 up one, limits, and a legend below."""
    ax.set_ylim(*plotting["bits"])
    ax.yaxis.set_major_locator(LogLocator(base=2, numticks=20))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set(minor_locator=NullLocator(), major_formatter=COUNTS)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)
