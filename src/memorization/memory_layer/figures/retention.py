"""The figure of a second training: what it learns and leaves, and whether what is lost was foretold."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memorization.memory_layer.figures.shared import MARKERS, colours, panels
from memorization.memory_layer.findings import overlap_correlations, pooled
from memorization.plotting import CHANCE, over_seeds_lines, style
from memorization.statistics import t_interval

BINS = 10  # of old facts, by overlap


def retention_figure(
    recall: pd.DataFrame, forgetting: pd.DataFrame, history: pd.DataFrame, conditions: Sequence[str], plotting: dict
) -> Figure:
    """What a second training learns against what it leaves; bits that old facts lose against their overlap; and both
    kinds of facts over its steps.

    Parameters
    ----------
    recall : rows of ``memory_layer_recall``: the old facts are the split ``train``, the new ones ``new``
    forgetting : rows of ``memory_layer_forgetting``
    history : rows of ``memory_layer_history``
    conditions : that start from another, in the order of the legend
    plotting : the configuration's ``style`` and ``memory_layer.figures.retention``
    """
    ends = pooled(recall, ["condition", "seed", "split"], ["exact"])
    ends = ends.pivot(index=["condition", "seed"], columns="split", values="exact")
    steps = pooled(history, ["condition", "seed", "split", "step"], ["exact"])
    lost = forgetting.assign(lost=forgetting["nll_after_bits"] - forgetting["nll_before_bits"])
    looks = {
        name: {"color": colour, "marker": MARKERS[place % len(MARKERS)]}
        for place, (name, colour) in enumerate(colours(conditions, plotting).items())
    }
    with style(plotting):
        marks = [
            Line2D([], [], ls="", **look, label=f"{name}, {_correlation(lost[lost['condition'] == name])}")
            for name, look in looks.items()
        ]
        figure, (frontier, foretold, *over_steps) = panels(4, marks, plotting, in_a_row=2)
        frontier.plot(1, 1, "*", color="0.75", markersize=14, clip_on=False, zorder=1)
        frontier.annotate("ideal", (1, 1), (0, 9), textcoords="offset points", ha="center", color="0.4")
        for name, look in looks.items():
            of_name = ends[ends.index.get_level_values("condition") == name]
            frontier.scatter(of_name["new"], of_name["train"], s=22, alpha=0.7, linewidths=0, clip_on=False, **look)
            bins = _overlap_bins(lost[lost["condition"] == name])
            if len(bins):
                over_seeds_lines(foretold, bins, "overlap", "lost", look["color"])
                means = bins.groupby("overlap")["lost"].mean()
                foretold.plot(means.index, means, ls="", markersize=4, **look)
        foretold.axhline(0, **CHANCE)
        frontier.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        frontier.set(xlabel="exact match, new facts", ylabel="exact match, old facts", title="learned and kept")
        foretold.set(xlabel="overlap with the new facts' slots,\n1: both spread evenly", ylabel="bits lost")
        foretold.set_title("foretold")
        for ax, split, facts in zip(over_steps, ("new", "train"), ("new", "old"), strict=True):
            for name, look in looks.items():
                of_name = steps[(steps["condition"] == name) & (steps["split"] == split)]
                over_seeds_lines(ax, of_name, "step", "exact", look["color"])
            ax.set_xscale("symlog", linthresh=1, linscale=0.5)
            ax.set(xlim=(0, None), ylim=(-0.03, 1.03))
            ax.set(xlabel="step of the second training", ylabel=f"exact match, {facts} facts", title=f"{facts} facts")
    return figure


def _correlation(lost: pd.DataFrame) -> str:
    """Spearman's correlation of overlap with bits lost, in words: mean of seeds and its interval."""
    rho, low, high = t_interval(np.array(list(overlap_correlations(lost).values())))
    if np.isnan(rho):
        return "no ρ"
    return f"ρ = {rho:.2f}" + ("" if np.isnan(low) else f" [{max(low, -1):.2f}, {min(high, 1):.2f}]")


def _overlap_bins(lost: pd.DataFrame) -> pd.DataFrame:
    """Mean bits lost by seed, of old facts in tenths by overlap, at the mean overlap of each tenth."""
    known = lost.dropna(subset="overlap")
    if known["overlap"].nunique() < 2:
        return known[["seed", "overlap", "lost"]].iloc[:0]
    known = known.assign(bin=pd.qcut(known["overlap"], BINS, labels=False, duplicates="drop"))
    middle = known.groupby("bin")["overlap"].mean()
    means = known.groupby(["seed", "bin"], as_index=False)["lost"].mean()
    return means.assign(overlap=means["bin"].map(middle))
