"""What the family's figures share: how layouts and lengths of prompts look, axes of lengths, panels over a legend."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from memorization.plotting import grid, legend_columns, legend_height, mixed, over_seeds_lines

MARKERS = "os^DvP"  # of lengths of prompts
ORDER = {"prefix": "[P] [ID] [text]", "infix": "[ID] [P] [text]", "infix_masked": "[ID] | [P] [text]"}
ORDER |= {"solo": "[P] [text]"}  # of what a model reads; P does not see what stands before a bar
ZERO = {"color": "0.35", "linestyle": ":", "linewidth": 1.0, "zorder": 1}
LIGHTEST, DARKEST = 0.45, 0.5  # how much white and black is in the outer shades


class Look(NamedTuple):
    """How prompts of one length are drawn."""

    color: tuple
    marker: str
    label: str


def hues(settings: Mapping, plotting: Mapping) -> dict[str, tuple]:
    """The hue of each layout, the same in all figures, in the order of ``settings``.

    Parameters
    ----------
    settings : ``layouts`` of texts, ``asked``, those of questions
    plotting : of it ``palette``
    """
    names = list(dict.fromkeys([*settings["layouts"], *settings["asked"]]))
    return dict(zip(names, sns.color_palette(plotting["palette"], len(names)), strict=True))


def drawn(found: Iterable[str], settings: Mapping, plotting: Mapping) -> dict[str, tuple]:
    """The layouts that are found, with their hues, in the order of ``settings``."""
    held = set(found)
    return {name: hue for name, hue in hues(settings, plotting).items() if name in held}


def shades(prompt_lengths: Iterable[int], hue: tuple) -> dict[int, Look]:
    """The look of each length of prompts, the darker the longer."""
    lengths = sorted(set(prompt_lengths))
    ends = [mixed(hue, 1, LIGHTEST), hue, mixed(hue, 0, DARKEST)]
    colors = sns.blend_palette(ends, len(lengths)) if len(lengths) > 1 else [hue] * len(lengths)
    marks = (MARKERS * (1 + len(lengths) // len(MARKERS)))[: len(lengths)]
    return {k: Look(color, mark, f"k = {k}") for k, color, mark in zip(lengths, colors, marks, strict=True)}


def layout_looks(found: Iterable[str], settings: Mapping, plotting: Mapping) -> dict[str, Look]:
    """The look of each layout that is found, where lengths of prompts are not told apart."""
    marks = dict(zip(hues(settings, plotting), MARKERS * len(settings["layouts"] + settings["asked"]), strict=False))
    return {name: Look(hue, marks[name], name) for name, hue in drawn(found, settings, plotting).items()}


def first_condition(table: pd.DataFrame, settings: Mapping) -> pd.DataFrame:
    """The rows of the first model."""
    return table[table["condition"] == settings["conditions"][0]]


def by_seed(table: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """A row a seed and ``x``: the mean of ``y`` over trials and texts, in the order of ``x``."""
    return table.groupby(["seed", x])[y].mean().reset_index().sort_values(x, kind="stable")


def line(
    ax: Axes, table: pd.DataFrame, x: str, y: str, look: Look, linestyle="-", seeds: bool = True, **others
) -> None:
    """A line over seeds (``over_seeds_lines``) with a marker at each mean; without ``seeds`` the mean alone."""
    means = by_seed(table, x, y)
    if not seeds:
        means = means.groupby(x)[y].mean().reset_index().assign(seed=0)
    over_seeds_lines(ax, means, x, y, look.color, linestyle=linestyle, **others)
    if not seeds:
        ax.lines[-2].remove()
    ax.lines[-1].set(marker=look.marker, markersize=4, markeredgewidth=0)


def levels(ax: Axes, found: Iterable, base: int = 2) -> None:
    """A logarithmic axis with a tick at each level."""
    places = sorted(set(found))
    ax.set_xscale("log", base=base)
    ax.xaxis.set(
        major_locator=FixedLocator(places),
        major_formatter=FixedFormatter([f"{place:g}" for place in places]),
        minor_locator=NullLocator(),
    )
    ax.set_xlim(places[0] / 1.25, places[-1] * 1.25)


def dodge(number: int, of: int, width: float = 0.7) -> float:
    """How far beside its place the one of so many stands."""
    return width * ((number + 0.5) / of - 0.5)


def titled(layout: str) -> str:
    """A layout's name over what a model reads, where that is one order."""
    return f"{layout}\n{ORDER[layout]}" if layout in ORDER else layout


def mark(label: str, color="0.35", **look) -> Line2D:
    """An entry of a legend."""
    return Line2D([], [], **{"color": color, "linewidth": 1.6, "markersize": 4, "label": label} | look)


def marks_of(looks: Mapping[object, Look]) -> list[Artist]:
    """A legend's entry for each look."""
    return [mark(look.label, look.color, marker=look.marker) for look in looks.values()]


def panels(rows: int, columns: int, marks: list[Artist], plotting: Mapping, **subplots):
    """A figure of so many panels (rows, columns), with a legend of ``marks`` below all; the figure and its axes."""
    below = legend_columns(marks, plotting, columns)
    figure: Figure = grid(rows, columns, plotting, legend_height(marks, below))
    axes = figure.subplots(rows, columns, squeeze=False, **subplots)
    figure.legend(handles=marks, loc="outside lower center", ncols=below, handlelength=2.6)
    return figure, axes


def named(figure: Figure, condition: str) -> None:
    """The model's name above all panels."""
    figure.suptitle(condition, size="medium")
