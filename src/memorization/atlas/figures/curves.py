"""Recall against exposures and against the time since the last one, for conditions of several families."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memorization.atlas.ends import at_end, at_last_step
from memorization.atlas.exposures import Curve, recall_curve
from memorization.plotting import CHANCE, grid, log_bins, over_seeds_points, style

BINS_PER_DECADE = 4
MARKERS = {"within": "o", "at most": "<", "at least": ">"}
UNSEEN = {"marker": "D", "markersize": 3.5, "fillstyle": "none", "linestyle": ""}  # at the left edge: log 0 is nowhere
DODGE = 0.12  # between seeds of a row
ROW = 0.27  # inches


def exposure_figure(
    records: pd.DataFrame, curves: pd.DataFrame, conditions: Sequence[Sequence[str]], plotting: dict
) -> Figure:
    """Recall at the end of training against exposures, a panel a family, and E50 of all on one axis.

    Parameters
    ----------
    records : of the conditions
    curves : of ``exposures.exposure_table``
    conditions : family and name, in the order of the legends
    plotting : ``style``, ``palette``
    """
    end = at_end(records[records["phase"].isin(["train", "held_out"])])
    seen = end[(end["phase"] == "train") & (end["exposures"] > 0)]
    seen = seen.assign(x=log_bins(seen["exposures"], BINS_PER_DECADE))
    means = seen.groupby(["family", "condition", "seed", "x"], as_index=False, observed=True)["recall"].mean()
    shades, families = _shades(conditions, plotting), _families(conditions)
    with style(plotting):
        heights = [plotting["panel_height"] + 1.0, 0.9 + ROW * len(conditions)]
        figure = grid(1, max(len(families), 2), plotting | {"panel_height": sum(heights)})
        upper, lower = figure.subfigures(2, 1, height_ratios=heights)
        axes = upper.subplots(1, len(families), squeeze=False, sharey=True)[0]
        for ax, (family, names) in zip(axes, families.items(), strict=True):
            for name in names:
                own = _of(curves, family, name)
                _fits(ax, own, shades[family, name])
                over_seeds_points(ax, _of(means, family, name), "x", "recall", shades[family, name])
                at_edge = {"transform": ax.get_yaxis_transform(), "clip_on": False, "zorder": 3}
                ax.plot(0 * own["unseen"], own["unseen"], color=shades[family, name], **UNSEEN, **at_edge)
            chance = _of(curves, family, None)["chance"].mean()
            ax.axhline(chance, **CHANCE)
            ax.set(title=family, xscale="log", xlabel="exposures of an item", ylim=(-0.03, 1.03))
            unseen = [Line2D([], [], color="0.3", **UNSEEN, label="items never seen")]
            _legend(ax, family, names, shades, unseen * bool(_of(curves, family, None)["unseen"].notna().any()))
        axes[0].set_ylabel("recall at the end\n(share of tokens)")
        _midpoints(lower.subplots(), curves, conditions, shades)
    return figure


def timing_figure(
    records: pd.DataFrame, curves: pd.DataFrame, conditions: Sequence[Sequence[str]], plotting: dict
) -> Figure:
    """Recall at the last step against the steps since the last exposure; below, beyond what exposures foretell.

    Parameters
    ----------
    records : of the conditions
    curves : of ``exposures.exposure_table``, from which what exposures foretell is taken
    conditions : family and name, in the order of the legends
    plotting : ``style``, ``palette``
    """
    end = at_last_step(records[records["phase"] == "train"])
    seen = end[end["exposures"] > 0].merge(curves, on=["family", "condition", "seed"], suffixes=("", "_of_run"))
    foretold = recall_curve(seen["exposures"], seen["chance_of_run"], Curve(seen["lapse"], seen["slope"], seen["e50"]))
    seen = seen.assign(x=log_bins(seen["step"] - seen["last_exposure_step"] + 1, BINS_PER_DECADE))
    seen["beyond"] = (seen["recall"] - foretold).where(seen["e50_is"] == "within")
    keys = ["family", "condition", "seed", "x"]
    means = seen.groupby(keys, as_index=False, observed=True)[["recall", "beyond", "chance"]].mean()
    shades, families = _shades(conditions, plotting), _families(conditions)
    with style(plotting):
        figure = grid(2, len(families), plotting, 1.0)
        axes = figure.subplots(2, len(families), squeeze=False, sharex="col", sharey="row")
        for column, (family, names) in zip(axes.T, families.items(), strict=True):
            for name in names:
                for ax, value in zip(column, ("recall", "beyond"), strict=True):
                    over_seeds_points(
                        ax, _of(means, family, name).dropna(subset=[value]), "x", value, shades[family, name]
                    )
            column[0].axhline(_of(means, family, None)["chance"].mean(), **CHANCE)
            column[1].axhline(0, color="0.35", linewidth=0.8, zorder=1)
            column[0].set(title=family, xscale="log", ylim=(-0.03, 1.03))
            _legend(column[1], family, names, shades)
            column[1].set_xlabel("steps since the last exposure, plus 1")
        axes[0, 0].set_ylabel("recall at the last step\n(share of tokens)")
        axes[1, 0].set_ylabel("recall beyond what\nexposures foretell")
    return figure


def _legend(ax: Axes, family: str, names: Sequence[str], shades: dict, others: Sequence[Artist] = ()) -> None:
    """The conditions of a panel, below it."""
    handles = [Line2D([], [], color=shades[family, name], linewidth=1.6, label=name) for name in names]
    handles += [Line2D([], [], **CHANCE, label="chance"), *others]
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.24), handlelength=1.2)


def _families(conditions: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for family, name in conditions:
        found.setdefault(family, []).append(name)
    return found


def _shades(conditions: Sequence[Sequence[str]], plotting: dict) -> dict[tuple[str, str], tuple]:
    """A colour a condition, anew in each family."""
    return {
        (family, name): shade
        for family, names in _families(conditions).items()
        for name, shade in zip(names, sns.color_palette(plotting["palette"], len(names)), strict=True)
    }


def _of(table: pd.DataFrame, family: str, condition: str | None) -> pd.DataFrame:
    own = table[table["family"] == family]
    return own if condition is None else own[own["condition"] == condition]


def _fits(ax: Axes, curves: pd.DataFrame, colour) -> None:
    """A thin line a seed whose midpoint is inside of the exposures that were seen: its curve, over these."""
    for row in curves[curves["e50_is"] == "within"].itertuples():
        x = np.geomspace(row.least, row.most, 100)
        y = recall_curve(x, row.chance, Curve(row.lapse, row.slope, row.e50))
        ax.plot(x, y, color=colour, linewidth=0.8, alpha=0.7)


def _midpoints(ax: Axes, curves: pd.DataFrame, conditions: Sequence[Sequence[str]], shades: dict) -> None:
    """A row a condition: E50 of each seed with its interval over items; a triangle where it is beyond what was seen."""
    for place, (family, name) in enumerate(conditions):
        own = _of(curves, family, name)
        for number, row in enumerate(own[own["e50_is"] != "no curve"].itertuples()):
            y = place + (number - (len(own) - 1) / 2) * DODGE
            ax.plot(row.e50, y, color=shades[family, name], marker=MARKERS[row.e50_is], markersize=4, linestyle="")
            if row.e50_is == "within":
                ax.hlines(y, row.low, row.high, color=shades[family, name], linewidth=0.9)
        if len(own) and (own["e50_is"] == "no curve").all():
            place_of = {"transform": ax.get_yaxis_transform(), "va": "center", "color": "0.4"}
            ax.text(0.01, place, "all items as often: no curve", **place_of)
    ax.set(xscale="log", xlabel="E50: exposures until recall is midway between chance and its highest")
    ax.set_yticks(range(len(conditions)), [f"{family}: {name}" for family, name in conditions])
    ax.set_ylim(len(conditions) - 0.5, -0.5)
    ax.grid(axis="y", color="0.9", linewidth=0.6)
    ax.legend(handles=_sides(), loc="upper center", bbox_to_anchor=(0.5, -0.19), ncols=3, handlelength=1)


def _sides() -> list[Artist]:
    words = {"within": "a seed, with its interval", "at most": "fewer than any seen", "at least": "more than any seen"}
    return [
        Line2D([], [], color="0.3", marker=MARKERS[side], markersize=4, linestyle="", label=label)
        for side, label in words.items()
    ]
