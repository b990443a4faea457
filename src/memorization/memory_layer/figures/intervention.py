"""Figures of the interventions: what swaps of slots do, and whose answer is given under each intervention."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from memorization.memory_layer.figures.shared import panels
from memorization.memory_layer.intervention.shares import kind_shares, pooled_shares
from memorization.memory_layer.intervention.substitutes import kept_matrix
from memorization.plotting import CHANCE, grid, legend_columns, legend_height, over_seeds_lines, style

SWAPS = {"values": "values", "keys": "keys", "half_keys": "half-keys"}
INTERVENTIONS = {
    "swap_values": "swap of values",
    "swap_keys": "swap of keys",
    "swap_half_keys": "swap of half-keys",
    "replace_other": "value of another",
    "replace_mean": "mean value",
    "replace_noise": "noise",
    "replace_zero": "zero",
    "inject": "activation of another",
}
CONTROL = "by construction"
SHARES = ("partner_share", "neither_share", "own_share")
BAR = 0.2  # inches
PLACES = {"here": "-", "elsewhere": "--"}  # where the partner's content is counted


def swap_figure(swap: pd.DataFrame, substitutes: pd.DataFrame, conditions: Sequence[str], plotting: dict) -> Figure:
    """What is kept when slots are swapped in pairs, and whose answer comes by position; a row of panels a condition.

    A heat map for each kind of swap, of the first seed, in the order of its clusters, which lines part; p is that of
    their silhouette against permuted pairs. On the right the share of examples that give the partner's answer, over
    chance, by position of the answer. Of several layers with a memory the last.

    Parameters
    ----------
    swap, substitutes : rows of ``memory_layer_swap`` and ``memory_layer_substitutes``
    conditions : with a memory
    plotting : the configuration's ``style`` and ``memory_layer.figures.swap``
    """
    drawn = swap[swap["condition"].isin(conditions)]
    drawn = drawn[drawn["layer"] == drawn.groupby("condition")["layer"].transform("max")]
    kinds = [kind for kind in SWAPS if kind in set(drawn["kind"])]
    of_kind = dict(zip(kinds, sns.color_palette(plotting["palette"], max(len(kinds), 1)), strict=True))
    with style(plotting):
        marks = [Line2D([], [], color=colour, label=f"swap of {SWAPS[kind]}") for kind, colour in of_kind.items()]
        told = {"here": "partner's content at this position", "elsewhere": "its content at the other positions"}
        marks += [Line2D([], [], color="0.3", ls=PLACES[place], label=text) for place, text in told.items()]
        across = len(kinds) + 1
        columns = legend_columns(marks, plotting, across)
        figure = grid(len(conditions), across, plotting, legend_height(marks, columns))
        rows = figure.subplots(len(conditions), across, squeeze=False)
        for ax in rows[1:, -1]:
            ax.sharey(rows[0, -1])
        for (*maps, ax), name in zip(rows, conditions, strict=True):
            of_name = drawn[drawn["condition"] == name]
            for heat, kind in zip(maps, kinds, strict=True):
                first = of_name["seed"].min()
                one = of_name[(of_name["kind"] == kind) & (of_name["seed"] == first)]
                heat.set_title(f"{name}, swap of {SWAPS[kind]}\n{_heat_map(heat, one, substitutes, plotting)}")
            for kind, colour in of_kind.items():
                _excess(ax, of_name[of_name["kind"] == kind], colour)
            ax.axhline(0, **CHANCE)
            ax.set(xlabel="position in the answer", ylabel="partner's answer,\nshare over chance")
        figure.legend(handles=marks, loc="outside lower center", ncols=columns)
    return figure


def predictions_figure(
    predictions: pd.DataFrame, control: pd.DataFrame, conditions: Sequence[str], plotting: dict
) -> Figure:
    """Whose answer is given under each intervention, a panel a condition, the last one of memories made by hand.

    Bars are means of seeds, circles at both their edges are seeds; a dotted line is the chance level of the partner's
    answer.

    Parameters
    ----------
    predictions, control : rows of ``memory_layer_predictions`` and ``memory_layer_control``, product keys of the latter
    conditions : with a memory
    plotting : the configuration's ``style`` and ``memory_layer.figures.predictions``
    """
    by = ["condition", "seed", "intervention"]
    reference = control[(control["keys"] == "product") & control["intervention"].isin(INTERVENTIONS)]
    shares = pd.concat([kind_shares(predictions, by), reference.assign(condition=CONTROL)])
    order = [name for name in INTERVENTIONS if name in set(shares["intervention"])]
    with style(plotting):
        partner, _, own = sns.color_palette(plotting["palette"], 3)
        of_kind = {"partner": partner, "neither": "0.85", "own": own}
        told = {"partner": "the partner's answer", "neither": "neither", "own": "its own answer"}
        marks = [Patch(color=of_kind[kind], label=text) for kind, text in told.items()]
        marks.append(Line2D([], [], **CHANCE | {"color": "black"}, label="chance of the partner's"))
        names = [*conditions, CONTROL]
        size = plotting | {"panel_height": 0.9 + BAR * len(order)}
        figure, axes = panels(len(names), marks, size, 2 if len(names) == 4 else 3, sharey=True, sharex=True)
        for ax, name in zip(axes, names, strict=True):
            _bars(ax, shares[shares["condition"] == name], order, of_kind)
            ax.set(title=name, xlabel="share of examples", xlim=(0, 1))
        axes[0].set_yticks(range(len(order)), [INTERVENTIONS[name] for name in order])
        axes[0].set_ylim(len(order) - 0.4, -0.6)
    return figure


def _heat_map(ax: Axes, swap: pd.DataFrame, substitutes: pd.DataFrame, plotting: dict) -> str:
    """Of one run, kind and layer: the share of a slot's examples that keep their answer, rows slots, columns partners.

    Returns
    -------
    What is known of the clusters, in words.
    """
    keys = ["condition", "seed", "kind", "layer"]
    of = substitutes.merge(swap[keys].drop_duplicates(), on=keys).sort_values("place")
    kept = kept_matrix(swap).loc[of["slot"], of["slot"]]
    bar = {"shrink": 0.8, "label": "kept, share"}
    look = {"cmap": plotting["palette"], "xticklabels": False, "yticklabels": False}
    sns.heatmap(kept, ax=ax, vmin=0, vmax=1, cbar_kws=bar, **look)
    for edge in np.flatnonzero(np.diff(of["cluster"])) + 1:
        ax.axhline(edge, color="white", linewidth=0.4)
        ax.axvline(edge, color="white", linewidth=0.4)
    ax.set(xlabel="partner", ylabel="slot of the examples")
    ax.collections[0].colorbar.outline.set_visible(False)
    clusters, p = of["clusters"].iloc[0], of["p"].iloc[0]
    return f"{clusters} clusters, p = {p:.2g}" if np.isfinite(p) else "too few slots to cluster"


def _excess(ax: Axes, swap: pd.DataFrame, colour) -> None:
    """The partner's share over chance by position, of what the partner stands for there, and elsewhere."""
    shares = pooled_shares(swap, ["seed", "position"]).sort_values("position")
    elsewhere = shares.assign(excess=shares["elsewhere_share"] - shares["elsewhere_chance"])
    for part, place in ((shares, "here"), (elsewhere, "elsewhere")):
        part = part.dropna(subset="excess")
        over_seeds_lines(ax, part, "position", "excess", colour, linestyle=PLACES[place], band=place == "here")


def _bars(ax: Axes, shares: pd.DataFrame, order: Sequence[str], of_kind: Mapping) -> None:
    """Stacked means, the edges of each seed, and the chance level."""
    means = shares.groupby("intervention")[[*SHARES, "chance"]].mean().reindex(order)
    left = np.zeros(len(order))
    for kind, colour in of_kind.items():
        ax.barh(range(len(order)), means[f"{kind}_share"], left=left, height=0.8, color=colour, linewidth=0)
        left = left + means[f"{kind}_share"].to_numpy()
    place = shares["intervention"].map(dict(zip(order, range(len(order)), strict=True)))
    for edge in (shares["partner_share"], 1 - shares["own_share"]):
        ax.scatter(edge, place, s=9, facecolors="none", edgecolors="black", linewidths=0.6, zorder=3, clip_on=False)
    at = np.arange(len(order))
    ax.vlines(means["chance"], at - 0.4, at + 0.4, color="black", linestyles=":", linewidth=1.0, zorder=4)
