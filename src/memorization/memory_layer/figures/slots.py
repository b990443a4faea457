"""Figures of the slots: how many are used, how large their values are, which ones an example retrieves."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memorization.memory_layer.figures.shared import colours, lines, panels
from memorization.plotting import (
    grid,
    legend_columns,
    legend_height,
    log_bins,
    over_seeds_lines,
    over_seeds_points,
    style,
)

MEASURES = {
    "used": "slots used, share",
    "kl_counts": "KL of counts\nfrom uniform, nats",
    "kl_weights": "KL of weights\nfrom uniform, nats",
    "gini": "Gini coefficient\nof counts",
}
LINES = ("-", "--", ":", "-.")  # of layers
PER_DECADE = 4  # bins of how often a slot is retrieved


def usage_figure(usage: pd.DataFrame, conditions: Sequence[str], plotting: dict) -> Figure:
    """How many slots are used, and how evenly, against steps of training; a line a condition and layer.

    Parameters
    ----------
    usage : rows of ``memory_layer_usage``, of which the split ``train`` is drawn
    conditions : in the order of the legend
    plotting : the configuration's ``style`` and ``memory_layer.figures.usage``
    """
    drawn = usage[(usage["split"] == "train") & usage["condition"].isin(conditions)].sort_values("step")
    layers = sorted(drawn["layer"].unique())
    with style(plotting):
        marks = lines(conditions, plotting)
        if len(layers) > 1:
            styles = dict(zip(layers, LINES, strict=False))
            marks += [Line2D([], [], color="0.3", ls=look, label=f"layer {layer}") for layer, look in styles.items()]
        figure, axes = panels(len(MEASURES), marks, plotting, in_a_row=2, sharex=True)
        of_name = colours(conditions, plotting)
        for (name, layer), part in drawn.groupby(["condition", "layer"]):
            look = {"color": of_name[name], "linestyle": LINES[layers.index(layer) % len(LINES)]}
            for ax, measure in zip(axes, MEASURES, strict=True):
                over_seeds_lines(ax, part, "step", measure, **look, label=name, of_all=True)
        for ax, label in zip(axes, MEASURES.values(), strict=True):
            ax.set_ylabel(label)
            ax.set_ylim(0, 1.02 if label.startswith(("slots", "Gini")) else None)
        for ax in axes[2:]:
            ax.set_xlabel("optimizer step")
    return figure


def value_norms_figure(value_norms: pd.DataFrame, conditions: Sequence[str], plotting: dict) -> Figure:
    """Norm of the values against how often their slot is retrieved, slots never retrieved apart, on the left.

    Parameters
    ----------
    value_norms : rows of ``memory_layer_value_norms``; all layers of a condition are drawn together
    conditions : in the order of the legend
    plotting : the configuration's ``style`` and ``memory_layer.figures.value_norms``
    """
    read = value_norms[value_norms["count"] > 0]
    read = read.assign(count=log_bins(read["count"], PER_DECADE))
    read = read.groupby(["condition", "seed", "count"], as_index=False)["norm"].mean()
    never = value_norms[value_norms["count"] == 0].groupby(["condition", "seed"], as_index=False)["norm"].mean()
    with style(plotting):
        marks = lines(conditions, plotting)
        columns = legend_columns(marks, plotting, 1)
        figure = grid(1, 1, plotting, legend_height(marks, columns))
        apart, ax = figure.subplots(1, 2, sharey=True, width_ratios=[1, 5])
        for place, (name, colour) in enumerate(colours(conditions, plotting).items()):
            of_name = never[never["condition"] == name]
            over_seeds_points(apart, of_name.assign(place=place), "place", "norm", colour)
            over_seeds_lines(ax, read[read["condition"] == name], "count", "norm", colour, label=name)
        apart.set(xlim=(-0.7, len(conditions) - 0.3), xticks=[(len(conditions) - 1) / 2], xticklabels=["never"])
        apart.set(ylabel="norm of a value, mean")
        ax.set(xscale="log", xlabel="times that a slot is retrieved,\nover all trained facts")
        ax.spines["left"].set_visible(False)
        ax.tick_params(axis="y", left=False)
        figure.legend(handles=marks, loc="outside lower center", ncols=columns)
    return figure


def activations_figure(activations: pd.DataFrame, plotting: dict) -> Figure:
    """What a few examples retrieve: the largest weight and the different slots by position; slots shared by examples.

    A row of panels a condition, of its first seed. Shared slots are those that both examples retrieve at any position,
    as a share of those that either does (Jaccard); slots of different layers are different.

    Parameters
    ----------
    activations : rows of ``memory_layer_activations``
    plotting : the configuration's ``style`` and ``memory_layer.figures.activations``
    """
    conditions = list(dict.fromkeys(activations["condition"]))
    with style(plotting):
        figure = grid(len(conditions), 3, plotting)
        rows = figure.subplots(len(conditions), 3, squeeze=False)
        for (largest, different, shared), name in zip(rows, conditions, strict=True):
            part = activations[activations["condition"] == name]
            part = part[part["seed"] == part["seed"].min()]
            part = part.assign(
                example=part["split"] + " " + part["item"].astype(str),
                which=part["layer"].astype(str) + " " + part["slot"].astype(str),
            )
            order = list(dict.fromkeys(part["example"]))
            cells = part.groupby(["example", "position"])
            weights = cells["weight"].max().unstack().reindex(order)
            counts = cells["which"].nunique().unstack().reindex(order)
            heat = {"cmap": plotting["palette"], "cbar": True, "cbar_kws": {"shrink": 0.8}, "linewidths": 0.3}
            sns.heatmap(weights, ax=largest, vmin=0, vmax=1, yticklabels=True, **heat)
            sns.heatmap(counts, ax=different, vmin=1, yticklabels=False, **heat)
            sns.heatmap(overlaps(part, order), ax=shared, vmin=0, vmax=1, yticklabels=False, xticklabels=True, **heat)
            largest.set_title(f"{name}\nlargest weight of a slot")
            different.set_title("\ndifferent slots retrieved")
            shared.set_title("\nslots that two examples share")
            for ax in (largest, different):
                ax.set(xlabel="position of the token", ylabel="")
            shared.set(xlabel="", ylabel="")
            for ax in (largest, different, shared):
                ax.collections[0].colorbar.outline.set_visible(False)
    return figure


def overlaps(activations: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """Share of the slots (``which``) retrieved by either of two examples that both retrieve, (n, n), in this order."""
    sets = activations.groupby("example")["which"].agg(set)
    jaccard = np.array([[len(sets[a] & sets[b]) / len(sets[a] | sets[b]) for b in order] for a in order])
    return pd.DataFrame(jaccard, index=order, columns=order)
