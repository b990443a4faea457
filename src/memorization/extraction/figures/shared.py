"""What the family's figures share: how a model looks, an axis of copies, panels over a legend."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from memorization.plotting import (
    CHANCE,
    grid,
    legend_columns,
    legend_height,
    mixed,
    over_seeds_lines,
    over_seeds_points,
)

LINES = ("-", "--", "-.", ":", (0, (4, 1, 1, 1, 1, 1)))  # from the largest model of an architecture down
MARKERS = "os^Dv"  # of architectures
CONTROL = CHANCE | {"linewidth": 1.2, "zorder": 2}
PROTOCOLS = {"fixed_start": "fixed start", "fixed_suffix": "fixed suffix"}
UNKNOWN = np.nan  # in place of a number of copies
GAP = 1.3  # doublings between counts of copies and what stands apart from them


class Look(NamedTuple):
    """How a model is drawn: a hue an architecture, the darker and the more solid the larger."""

    color: tuple
    linestyle: str | tuple
    marker: str
    label: str


def looks(settings: Mapping, plotting: Mapping, table: pd.DataFrame | None = None) -> dict[str, Look]:
    """The look of each model, which depends on ``settings`` alone, so that it is the same in all figures.

    Parameters
    ----------
    settings : ``conditions``, all models in the order of the legend, the smaller of an architecture before the larger;
        ``architectures``, that of each
    plotting : of it ``palette``
    table : if given, only the models that have rows in its column ``condition``
    """
    of_architecture: dict[str, list[str]] = {}
    for name in settings["conditions"]:
        of_architecture.setdefault(settings["architectures"][name], []).append(name)
    found = {}
    hues = sns.color_palette(plotting["palette"], len(of_architecture))
    for (names, hue), marker in zip(zip(of_architecture.values(), hues, strict=True), MARKERS * 3, strict=False):
        shades = sns.blend_palette([mixed(hue, 1, 0.4), hue, mixed(hue, 0, 0.45)], len(names) + 1)[1:]
        for place, (name, shade) in enumerate(zip(names, shades, strict=True)):
            found[name] = Look(shade, LINES[(len(names) - 1 - place) % len(LINES)], marker, name)
    held = set(settings["conditions"] if table is None else table["condition"])
    return {name: found[name] for name in settings["conditions"] if name in held}


def hues(settings: Mapping, plotting: Mapping, table: pd.DataFrame) -> dict[str, Look]:
    """The look of each architecture that has rows in ``table``: that of its largest model there."""
    drawn = looks(settings, plotting, table)
    found = {settings["architectures"][name]: look for name, look in drawn.items()}
    return {name: look._replace(label=name, linestyle="-") for name, look in found.items()}


def with_conditions(table: pd.DataFrame) -> pd.DataFrame:
    """``rates`` name a model in the column ``model``, all other tables in ``condition``."""
    return table if "condition" in table else table.rename(columns={"model": "condition"})


def at_longest(table: pd.DataFrame) -> pd.DataFrame:
    """The rows with the longest prefix of each model, where both protocols ask the same."""
    longest = table.groupby("condition")["prefix_length"].transform("max")
    return table[(table["protocol"] == "fixed_start") & (table["prefix_length"] == longest)]


def asked(table: pd.DataFrame) -> str:
    """What a model has to do with the longest prefix, in words."""
    lengths = table[["prefix_length", "suffix_length"]].drop_duplicates()
    if len(lengths) != 1:
        return "the suffix after the longest prefix"
    prefix, suffix = lengths.iloc[0]
    return f"{suffix} tokens after {prefix}"


def several(numbers: pd.Series) -> str:
    """The least and the largest of some counts."""
    least, most = int(numbers.min()), int(numbers.max())
    return f"{least:,}" if least == most else f"{least:,}–{most:,}"


def shares(values: pd.Series) -> tuple[float, float]:
    """Limits of an axis of shares: up to 1, or closer where all of them are small."""
    most = values.max()
    top = 1.0 if not most <= 0.8 else max(1.2 * most, 0.01)
    return -0.03 * top, 1.03 * top


def parts(table: pd.DataFrame, drawn: Mapping[str, Look]) -> Iterator[tuple[Look, pd.DataFrame]]:
    """Each model's look and rows."""
    for name, look in drawn.items():
        yield look, table[table["condition"] == name]


def lines_over(ax: Axes, table: pd.DataFrame, x: str, y: str, drawn: Mapping[str, Look]) -> None:
    """A line of each model, with its seeds."""
    for look, part in parts(table.sort_values(x), drawn):
        over_seeds_lines(ax, part, x, y, look.color, label=look.label, linestyle=look.linestyle)


def lines_over_copies(ax: Axes, table: pd.DataFrame, y: str, drawn: Mapping[str, Look], levels: Sequence) -> None:
    """A line of each model over copies; windows of none and of an unknown number as points apart, controls dotted.

    Parameters
    ----------
    table : rows with ``condition``, ``seed``, ``role`` and ``copies``, as ``with_unknown`` gives them
    levels : of copies that the axis has
    """
    places = copies_axis(ax, levels)
    for number, (look, part) in enumerate(parts(table, drawn)):
        control, part = part[part["role"] == "control"], part[part["role"] != "control"]
        part = part.assign(x=[places[each] for each in _levels(part["copies"])])
        trained = part[part["copies"] > 0].sort_values("x")
        if len(trained):
            over_seeds_lines(ax, trained, "x", y, look.color, label=look.label, linestyle=look.linestyle)
        apart = part[~(part["copies"] > 0)]
        over_seeds_points(ax, apart.assign(x=apart["x"] + dodge(number, len(drawn))), "x", y, look.color)
        if len(control):
            ax.axhline(control[y].mean(), **CONTROL | {"color": look.color})


def with_unknown(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of known copies; of a model that has none trained on a known number, those over all windows, as unknown."""
    knows = (table["copies"] > 0).groupby(table["condition"]).transform("any")
    over_all = (table["copies"] < 0) & ~knows
    over_all &= (table["scheme"] == "uniform") if "scheme" in table else True
    return pd.concat([table[table["copies"] >= 0], table[over_all].assign(copies=UNKNOWN)], ignore_index=True)


def copies_axis(ax: Axes, levels: Sequence) -> dict:
    """An axis of doublings, with 0 and an unknown number of copies apart.

    Returns
    -------
    The place of each level.
    """
    levels = set(_levels(levels))
    counts = sorted(level for level in levels if level not in (0, "unknown"))
    places = {level: np.log2(level) for level in counts}
    least, most = (min(places.values()), max(places.values())) if counts else (1.0, 0.0)
    if 0 in levels:
        places = {0: least - GAP} | places
    if "unknown" in levels:
        places["unknown"] = most + GAP
    for edge in (least - GAP / 2,) * (0 in levels) + (most + GAP / 2,) * ("unknown" in levels):
        ax.axvline(edge, color="0.9", linewidth=0.6, zorder=0)
    ax.xaxis.set(
        major_locator=FixedLocator(list(places.values())),
        major_formatter=FixedFormatter([f"{level:g}" if level != "unknown" else level for level in places]),
        minor_locator=NullLocator(),
    )
    if places:
        ax.set_xlim(min(places.values()) - 0.6, max(places.values()) + 0.6)
    return places


def dodge(number: int, of: int, width: float = 0.7) -> float:
    """How far beside its place the one of so many stands."""
    return width * ((number + 0.5) / of - 0.5)


def marks_of(drawn: Mapping[str, Look]) -> list[Artist]:
    """A legend's line for each model."""
    return [
        Line2D([], [], color=look.color, linestyle=look.linestyle, linewidth=1.6, label=look.label)
        for look in drawn.values()
    ]


def marks_apart(table: pd.DataFrame) -> list[Artist]:
    """A legend's marks for what ``lines_over_copies`` draws besides lines."""
    marks, planted = [], table[table["role"] != "control"]
    if (table["role"] == "control").any():
        marks.append(Line2D([], [], **CONTROL, label="controls, never trained on"))
    for held, text in ((planted["copies"] == 0, "0"), (planted["copies"].isna(), "unknown")):
        if held.any():
            look = {"color": "0.35", "marker": "o", "fillstyle": "none", "markersize": 3, "ls": ""}
            marks.append(Line2D([], [], **look, label=f"{text} copies, a circle a seed"))
    return marks


def panels(rows: int, columns: int, marks: list[Artist], plotting: Mapping, **subplots) -> tuple[Figure, np.ndarray]:
    """A figure of so many panels (rows, columns), with a legend of ``marks`` below all."""
    below = legend_columns(marks, plotting, columns) if marks else 1
    figure = grid(rows, columns, plotting, legend_height(marks, below) if marks else 0.0)
    axes = figure.subplots(rows, columns, squeeze=False, **subplots)
    if marks:
        figure.legend(handles=marks, loc="outside lower center", ncols=below, handlelength=2.6)
    return figure, axes


def _levels(copies: Sequence) -> list:
    """Numbers of copies, with an unknown one as a word, since NaN equals nothing."""
    return ["unknown" if np.isnan(each) else int(each) for each in copies]
