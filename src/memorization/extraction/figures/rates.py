"""Figures of rates of extraction: by copies, by prefix, by size, by data type."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from memorization.extraction.figures.shared import (
    CONTROL,
    PROTOCOLS,
    asked,
    at_longest,
    dodge,
    hues,
    lines_over,
    lines_over_copies,
    looks,
    marks_apart,
    marks_of,
    panels,
    parts,
    several,
    shares,
    with_conditions,
    with_unknown,
)
from memorization.plotting import over_seeds_lines, style

IN_A_ROW = 3  # panels
ROW = 0.09  # inches of a model in a row of a data type
GROWS = {"fixed_start": "suffix moves on", "fixed_suffix": "prefix grows backwards"}
SCHEMES = {"uniform": "each window once", "by_copies": "each window as often\nas it was trained on"}


def copies_figure(rates: pd.DataFrame, settings: Mapping, plotting: dict) -> Figure:
    """Share reproduced exactly, and tokens right in a row, against copies, after the longest prefix.

    Parameters
    ----------
    rates : rows of ``rates`` of all runs
    settings : ``conditions`` and ``architectures``, see ``figures.looks``
    plotting : the configuration's ``style`` and ``extraction.figures.copies``
    """
    rows = with_unknown(at_longest(_all_types(rates)))
    drawn = looks(settings, plotting, rows)
    with style(plotting):
        figure, axes = panels(1, 2, marks_of(drawn) + marks_apart(rows), plotting)
        for ax, value in zip(axes[0], ("exact", "matched_run"), strict=True):
            lines_over_copies(ax, rows, value, drawn, rows["copies"])
            ax.set_xlabel(f"copies in training\n(n = {several(_trained(rows))} windows a seed)")
        _exact_axis(axes[0, 0], rows)
        axes[0, 1].set_ylabel(f"tokens right in a row,\nmean of at most {several(rows['suffix_length'])}")
        axes[0, 1].set_ylim(-0.03 * rows["suffix_length"].max(), 1.03 * rows["suffix_length"].max())
    return figure


def prefix_figure(rates: pd.DataFrame, settings: Mapping, plotting: dict) -> Figure:
    """Share reproduced exactly against the prefix's length, over windows of any copies, a panel a protocol.

    Parameters
    ----------
    rates : rows of ``rates`` of all runs
    settings : ``conditions`` and ``architectures``, see ``figures.looks``
    plotting : the configuration's ``style`` and ``extraction.figures.prefix``
    """
    rates = _all_types(rates)
    rows, controls = _over_all(rates, "uniform"), rates[rates["role"] == "control"]
    drawn = looks(settings, plotting, rows)
    with style(plotting):
        marks = marks_of(drawn)
        if len(controls):
            marks.append(Line2D([], [], **CONTROL, label="controls, never trained on"))
        figure, axes = panels(1, len(PROTOCOLS), marks, plotting, sharey=True)
        for ax, (protocol, title) in zip(axes[0], PROTOCOLS.items(), strict=True):
            of_protocol = rows[rows["protocol"] == protocol]
            lines_over(ax, of_protocol, "prefix_length", "exact", drawn)
            for look, part in parts(controls[controls["protocol"] == protocol], drawn):
                means = part.groupby("prefix_length")["exact"].mean()
                ax.plot(means.index, means, **CONTROL | {"color": look.color})
            ax.xaxis.set_major_locator(FixedLocator(sorted(of_protocol["prefix_length"].unique())))
            ax.set(title=f"{title}:\n{GROWS[protocol]}", xlabel="tokens of the prefix")
        axes[0, 0].set_ylim(*shares(rows["exact"]))
        suffix, n = several(rows["suffix_length"]), several(rows["n_windows"])
        axes[0, 0].set_ylabel(f"next {suffix} tokens exact,\nshare of n = {n} windows a seed")
    return figure


def size_figure(rates: pd.DataFrame, settings: Mapping, plotting: dict) -> Figure:
    """Share reproduced exactly against parameters, a line an architecture, a panel a way to weigh windows.

    Parameters
    ----------
    rates : rows of ``rates`` of all runs
    settings : ``conditions`` and ``architectures``, see ``figures.looks``
    plotting : the configuration's ``style`` and ``extraction.figures.size``
    """
    rates = at_longest(_all_types(rates))
    of_scheme = {scheme: _over_all(rates, scheme) for scheme in SCHEMES}
    of_scheme = {scheme: rows for scheme, rows in of_scheme.items() if len(rows) or scheme == "uniform"}
    every = pd.concat(of_scheme.values())
    drawn, architectures = looks(settings, plotting, every), hues(settings, plotting, every)
    with style(plotting):
        marks = [
            Line2D([], [], color=look.color, marker=look.marker, markersize=4, label=name)
            for name, look in architectures.items()
        ]
        figure, axes = panels(1, len(of_scheme), marks, plotting, sharey=True)
        for ax, (scheme, rows) in zip(axes[0], of_scheme.items(), strict=True):
            kinds = rows["condition"].map(settings["architectures"])
            for name, look in architectures.items():
                over_seeds_lines(ax, rows[kinds == name].sort_values("parameters"), "parameters", "exact", look.color)
            for look, part in parts(rows, drawn):
                ax.scatter(
                    part["parameters"],
                    part["exact"],
                    marker=look.marker,
                    s=16,
                    color=look.color,
                    linewidths=0,
                    zorder=3,
                )
            wide = rows["parameters"].max() > 10 * rows["parameters"].min()
            ax.set(xscale="log", xlabel="parameters", title=SCHEMES[scheme])
            ax.set_xlim(rows["parameters"].min() / 1.5, rows["parameters"].max() * 1.5)
            ax.xaxis.set(
                major_locator=LogLocator(10, (1, 3) if wide else (1, 2, 5)),
                minor_locator=NullLocator(),
                major_formatter=FuncFormatter(_counted),
            )
        _exact_axis(axes[0, 0], every)
    return figure


def data_type_figure(rates: pd.DataFrame, settings: Mapping, plotting: dict) -> Figure:
    """Share reproduced exactly by data type after the longest prefix.

    Against copies, a panel a data type; where no number of copies is known, a row a data type.

    Parameters
    ----------
    rates : rows of ``rates`` of all runs
    settings : ``conditions`` and ``architectures``, see ``figures.looks``
    plotting : the configuration's ``style`` and ``extraction.figures.data_type``
    """
    rows = at_longest(with_conditions(rates))
    rows = with_unknown(rows[rows["data_type"] != "all"])
    drawn = looks(settings, plotting, rows)
    types = list(dict.fromkeys(rows["data_type"]))
    with style(plotting):
        if not (rows["copies"] > 0).any():
            return _types_in_rows(rows, types, drawn, plotting)
        across = min(len(types), IN_A_ROW)
        down = -(-len(types) // across)
        figure, axes = panels(down, across, marks_of(drawn) + marks_apart(rows), plotting, sharey=True)
        for ax, data_type in zip(axes.ravel(), types, strict=False):
            part = rows[rows["data_type"] == data_type]
            lines_over_copies(ax, part, "exact", drawn, rows["copies"])
            ax.set_title(data_type)
            ax.set_xlabel(f"copies in training\n(n = {several(_trained(part))} windows a seed)")
        for ax in axes.ravel()[len(types) :]:
            ax.remove()
        for ax in axes[:, 0]:
            _exact_axis(ax, rows)
    return figure


def _types_in_rows(rows: pd.DataFrame, types: list[str], drawn: Mapping, plotting: dict) -> Figure:
    height = 0.8 + len(types) * (0.12 + ROW * len(drawn))
    marks = [
        Line2D([], [], color=look.color, marker=look.marker, ls="", markersize=4, label=look.label)
        for look in drawn.values()
    ]
    figure, ((ax,),) = panels(1, 1, marks, plotting | {"panel_height": height, "panel_width": 5})
    for number, (look, part) in enumerate(parts(rows, drawn)):
        places = part["data_type"].map(types.index) + dodge(number, len(drawn))
        ax.scatter(part["exact"], places, marker=look.marker, s=14, color=look.color, linewidths=0)
    ax.hlines([number - 0.5 for number in range(1, len(types))], 0, 1, color="0.9", linewidth=0.6, zorder=0)
    ax.set_yticks(range(len(types)), types)
    ax.set(xlim=shares(rows["exact"]), ylim=(len(types) - 0.5, -0.5))
    ax.set_xlabel(f"{asked(rows)} exact,\nshare of n = {several(rows['n_windows'])} windows of unknown copies")
    return figure


def _all_types(rates: pd.DataFrame) -> pd.DataFrame:
    rates = with_conditions(rates)
    return rates[rates["data_type"] == "all"]


def _over_all(rates: pd.DataFrame, scheme: str) -> pd.DataFrame:
    """The rows over all windows but those of 0 copies."""
    return rates[(rates["copies"] < 0) & (rates["scheme"] == scheme)]


def _trained(rows: pd.DataFrame) -> pd.Series:
    """How many windows each number of copies has; those of none are more."""
    known = rows["copies"] > 0
    return rows.loc[known if known.any() else rows["role"] != "control", "n_windows"]


def _counted(number: float, _) -> str:
    """Parameters as 200K, 1.4B."""
    power, unit = next(
        ((power, unit) for power, unit in ((1e9, "B"), (1e6, "M"), (1e3, "K")) if number >= power), (1, "")
    )
    return f"{number / power:g}{unit}"


def _exact_axis(ax: Axes, rows: pd.DataFrame) -> None:
    ax.set(ylabel=f"{asked(rows)} exact,\nshare of windows", ylim=shares(rows["exact"]))
