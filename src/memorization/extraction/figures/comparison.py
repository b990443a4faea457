"""Figures that compare: members with others, a model with another one, a forecast with the end."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from memorization.extraction.figures.shared import (
    PROTOCOLS,
    Look,
    at_longest,
    dodge,
    lines_over,
    lines_over_copies,
    looks,
    marks_of,
    panels,
    parts,
    several,
    shares,
    with_unknown,
)
from memorization.plotting import CHANCE, over_seeds_lines, over_seeds_points, style

SCORES = {
    "loss": "loss",
    "zlib_ratio": "loss / zlib",
    "lowercase_ratio": "loss lowercased / loss",
    "min_k": "Min-K%",
    "min_k_plus_plus": "Min-K%++",
    "window_min_perplexity": "least perplexity\nof a part",
    "small_large_ratio": "loss of the small\nmodel / loss",
    "lira": "LiRA",
    "blind": "blind: the text alone,\nno model",
}  # in the order of the rows
BY_COPIES = ("loss", "lira")
FPR = 0.01
ROW = 0.07  # inches of a model in a row of a score
SMALL = 5.0  # where forecasts by the small model stand, behind the whole of training
SIDE = {"color": "0.15", "linewidth": 1.6}


def membership_figure(membership: pd.DataFrame, settings: Mapping, plotting: dict) -> Figure:
    """How well each score tells windows that were trained on from others; below, two scores against copies.

    Parameters
    ----------
    membership : rows of ``membership_table``
    settings : ``conditions`` and ``architectures``, see ``figures.looks``
    plotting : the configuration's ``style`` and ``extraction.figures.membership``
    """
    drawn = looks(settings, plotting, membership)
    rows = membership[membership["copies"] < 0]
    scores = [score for score in SCORES if score in set(rows["score"])]
    counted = membership[membership["copies"] > 0]
    by_copies = [score for score in BY_COPIES if score in set(counted["score"])]
    heights = [0.6 + len(scores) * (0.13 + ROW * len(drawn)), plotting["panel_height"]][: 1 + bool(by_copies)]
    with style(plotting):
        marks = [*marks_of(drawn), Line2D([], [], **CHANCE, label="guessing")]
        size = plotting | {"panel_height": np.mean(heights), "panel_width": 1.15 * plotting["panel_width"]}
        figure, axes = panels(len(heights), 2, marks, size, height_ratios=heights)
        for ax, value, chance in zip(axes[0], ("auc", "tpr_at_1_fpr"), (0.5, FPR), strict=True):
            for number, (look, part) in enumerate(parts(rows, drawn)):
                for place, score in enumerate(scores):
                    values = part.loc[part["score"] == score, value].dropna()
                    _seeds_in_a_row(ax, values, place + dodge(number, len(drawn)), look)
            ax.axvline(chance, **CHANCE)
            ax.hlines(np.arange(1, len(scores)) - 0.5, 0, 1, color="0.9", linewidth=0.6, zorder=0)
            ax.set_ylim(len(scores) - 0.5, -0.5)
        axes[0, 0].set_yticks(range(len(scores)), [SCORES[score] for score in scores])
        axes[0, 1].set_yticks([])
        axes[0, 1].xaxis.set_major_locator(MaxNLocator(4))
        axes[0, 0].set(xlim=(min(0.35, rows["auc"].min() - 0.03), 1.02), xlabel="AUC")
        axes[0, 1].set(xlim=shares(rows["tpr_at_1_fpr"]), xlabel="true positive rate\nat 1% false positives")
        n = f"n = {several(rows['n_members'])} members and {several(rows['n_non_members'])} others a run"
        figure.suptitle(f"members of any copies ({n})", size="medium")
        for ax, score in zip(axes[-1], by_copies, strict=False):
            part = counted[counted["score"] == score]
            lines_over_copies(ax, part.assign(role="member"), "auc", drawn, part["copies"])
            ax.axhline(0.5, **CHANCE)
            ax.set(
                title=f"{SCORES[score]} against copies",
                xlabel="copies of the members",
                ylim=(min(0.4, part["auc"].min() - 0.03), 1.02),
            )
            ax.set_ylabel("AUC")
        if len(by_copies) == 1:
            axes[-1, 1].remove()
    return figure


def difference_figure(differences: pd.DataFrame, settings: Mapping, plotting: dict) -> Figure:
    """First less second model of a comparison in the share reproduced exactly, a row a comparison.

    Left against copies, after the longest prefix; right against the prefix's length, over windows of any copies.

    Parameters
    ----------
    differences : rows of ``difference_table``, one of each seed
    settings : ``conditions`` and ``architectures``, see ``figures.looks``
    plotting : the configuration's ``style`` and ``extraction.figures.difference``
    """
    of_name, rows = looks(settings, plotting), differences.assign(condition=differences["comparison"])
    rows = rows[rows["first"].isin(of_name) & rows["second"].isin(of_name)]
    names = sorted(rows["comparison"].unique(), key=lambda name: _place(rows, name, settings["conditions"]))
    by_copies = with_unknown(at_longest(rows[rows["role"] != "control"]))
    largest = 1.15 * max(rows["exact"].abs().max(), 0.1) if len(rows) else 1
    styles = {"fixed_start": "-", "fixed_suffix": "--"}
    with style(plotting):
        marks = [Line2D([], [], **SIDE, ls=styles[each], label=text) for each, text in PROTOCOLS.items()]
        marks.append(Line2D([], [], **CHANCE, label="no difference"))
        figure, axes = panels(max(len(names), 1), 2, marks, plotting, sharey=True)
        for (left, right), name in zip(axes, names, strict=False):
            part = by_copies[by_copies["condition"] == name]
            line = {name: Look(SIDE["color"], "-", "o", name)}
            lines_over_copies(left, part, "exact", line, by_copies["copies"])
            over_all = rows[(rows["comparison"] == name) & (rows["copies"] < 0)].sort_values("prefix_length")
            for protocol, linestyle in styles.items():
                of_protocol = over_all[over_all["protocol"] == protocol]
                over_seeds_lines(right, of_protocol, "prefix_length", "exact", SIDE["color"], protocol, linestyle)
            right.xaxis.set_major_locator(FixedLocator(sorted(over_all["prefix_length"].unique())))
            first, second = rows.loc[rows["comparison"] == name, ["first", "second"]].iloc[0]
            for ax in (left, right):
                _sides(ax, of_name[first], of_name[second], largest)
            left.set_ylabel("difference in exact,\nshare of windows")
            left.set_title("after the longest prefix")
            right.set_title("windows of any copies")
            left.set_xlabel(
                f"copies in training\n(n = {several(part.loc[~(part['copies'] == 0), 'n'])} windows a seed)"
            )
            right.set_xlabel(f"tokens of the prefix\n(n = {several(over_all['n'])} windows a seed)")
    return figure


def forecast_figure(forecast: pd.DataFrame, settings: Mapping, plotting: dict) -> Figure:
    """Precision and recall of what was memorized earlier, or by the smaller model, for what is memorized at the end.

    Parameters
    ----------
    forecast : rows of ``forecast_table``
    settings : ``conditions`` and ``architectures``, see ``figures.looks``
    plotting : the configuration's ``style`` and ``extraction.figures.forecast``
    """
    forecast = forecast[forecast["share_of_training"] > 0]  # an axis of logarithms has no 0
    itself = forecast["predictor"] == forecast["condition"]
    drawn = looks(settings, plotting, forecast)
    first = forecast["share_of_training"].min()
    with style(plotting):
        marks = [*marks_of(drawn), Line2D([], [], **CHANCE, label="share memorized at the end")]
        figure, axes = panels(1, 2, marks, plotting, sharey=True)
        for ax, value in zip(axes[0], ("precision", "recall"), strict=True):
            lines_over(ax, forecast[itself].dropna(subset=value), "share_of_training", value, drawn)
            for number, (look, part) in enumerate(parts(forecast[~itself].dropna(subset=value), drawn)):
                beside = part.assign(x=SMALL * 10 ** dodge(number, len(drawn), width=0.3))
                over_seeds_points(ax, beside, "x", value, look.color)
            ax.axvline(SMALL / 2.2, color="0.9", linewidth=0.6, zorder=0)
            ax.set(xscale="log", title=value, xlim=(first / 1.3, SMALL * 2.2))
            decades = [tick for tick in 10.0 ** np.arange(-6, 1) if tick >= first / 1.3]
            ax.xaxis.set(minor_locator=NullLocator(), major_locator=FixedLocator([*decades, SMALL]))
            ax.xaxis.set_major_formatter(FixedFormatter([*(f"{tick:g}" for tick in decades), "small\nmodel"]))
            ax.set_xlabel(f"share of training at the forecast\n(n = {several(forecast['n_items'])} windows a seed)")
        for look, part in parts(forecast, drawn):
            axes[0, 0].axhline(part["base_rate"].mean(), **CHANCE | {"color": look.color})
        axes[0, 0].set(ylabel="foretold windows that\nare memorized, share", ylim=(-0.03, 1.03))
        axes[0, 1].set_ylabel("memorized windows that\nare foretold, share")
    return figure


def _seeds_in_a_row(ax: Axes, values: pd.Series, y: float, look: Look) -> None:
    """An open circle a seed, a bar for their mean, a line for their range."""
    if len(values):
        ax.scatter(values, [y] * len(values), s=7, facecolors="none", edgecolors=[look.color], linewidths=0.6, zorder=3)
        ax.hlines(y, values.min(), values.max(), color=look.color, linewidth=0.8)
        ax.plot(values.mean(), y, "|", color=look.color, markersize=6, markeredgewidth=1.8)


def _place(rows: pd.DataFrame, comparison: str, conditions: list[str]) -> int:
    """Where the second model of a comparison stands in the legend."""
    return conditions.index(rows.loc[rows["comparison"] == comparison, "second"].iloc[0])


def _sides(ax: Axes, first: Look, second: Look, largest: float) -> None:
    """Which model a difference speaks for, above 0 and below."""
    ax.set_ylim(-largest, largest)
    ax.axhline(0, **CHANCE)
    for look, edge, at in ((first, largest, 0.98), (second, -largest, 0.02)):
        ax.axhspan(0, edge, color=look.color, alpha=0.08, linewidth=0, zorder=0)
        align = "top" if edge > 0 else "bottom"
        ax.text(0.03, at, f"{look.label} more", color=look.color, transform=ax.transAxes, va=align, size="small")
