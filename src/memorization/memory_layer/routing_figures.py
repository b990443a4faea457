"""Figures of routing: which slots which tokens retrieve, and how the keys are used."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memorization.memory_layer.figures import colours, lines, panels
from memorization.memory_layer.routing.consistency import LIKENESSES
from memorization.memory_layer.routing.token_types import TYPES
from memorization.plotting import CHANCE, log_bins, over_seeds_lines, style

NAMES = {
    "word_piece": "word piece",
    "token": "this token",
    "position": "this token,\nat its position",
    "previous": "this token and\nthe one before",
    "word": "the word so far",
    "beginning": "how the text\nbegins",
    "answer": "the answer's\nnext token",
    "half_keys_1": "first half keys",
    "half_keys_2": "second half keys",
}
CLUSTERED = ("values", "keys", "half_keys_1", "half_keys_2")
PER_DECADE = 8  # bins of ranks and of retrievals
POSITIONS = 50  # at most so many bins
SPREAD = 0.7  # of a category's height, over conditions
RANGE = {"color": "0.6", "linewidth": 3.5, "alpha": 0.5, "solid_capstyle": "butt", "zorder": 1}
MOST = {"color": "0.35", "linestyle": "", "marker": "|", "markersize": 7}


def routing_figure(
    routing: pd.DataFrame, consistency: pd.DataFrame, conditions: Sequence[str], plotting: dict
) -> Figure:
    """How many slots token types and positions use, and whether places that are alike use the same ones.

    Effective slots are 2 to the entropy of the shares of weight. What is drawn are means over layers and heads.

    Parameters
    ----------
    routing, consistency : rows of ``memory_layer_routing`` and ``memory_layer_consistency``
    conditions : in the order of the legend
    plotting : the configuration's ``style`` and ``memory_layer.figures.routing``
    """
    of_name = colours(conditions, plotting)
    routing = routing.assign(effective=2 ** routing["entropy_bits"], most=2 ** routing["ceiling_bits"])
    cells = routing.groupby(["condition", "seed", "by", "label"], as_index=False)[["effective", "most"]].mean()
    by_type, places = cells[cells["by"] == "type"], cells[cells["by"] == "position"]
    places = _binned(places.assign(position=places["label"].astype(int)))
    alike = consistency[consistency["token_type"] == "all"]
    alike = alike.groupby(["condition", "seed", "likeness"], as_index=False).mean(numeric_only=True)
    with style(plotting):
        marks = lines(conditions, plotting)
        marks += [Line2D([], [], **MOST, label="the most possible"), Line2D([], [], **RANGE, label="shuffled labels")]
        figure, (of_type, of_place, shared) = panels(3, marks, plotting)
        for place, name, part in categories(of_type, by_type, "label", TYPES, conditions, plotting):
            points(of_type, part["effective"], place, of_name[name])
            of_type.plot(part["most"].mean(), place, **MOST)
        for name, colour in of_name.items():
            over_seeds_lines(
                of_place, places[places["condition"] == name], "position", "effective", colour, of_all=True
            )
        for place, name, part in categories(shared, alike, "likeness", list(LIKENESSES), conditions, plotting):
            points(shared, part["jaccard"], place, of_name[name])
            shared.hlines(place, part["null_low"].mean(), part["null_high"].mean(), **_range())
        of_type.set(xlabel="effective slots of a head", xscale="log")
        of_place.set(xlabel="position of the token in the text", ylabel="effective slots of a head", yscale="log")
        shared.set(xlabel="shared slots of two places,\nJaccard", title="alike in …")
        shared.set_xlim(left=0)
    return figure


def key_statistics_figure(
    key_statistics: pd.DataFrame, clusters: pd.DataFrame, conditions: Sequence[str], plotting: dict
) -> Figure:
    """How the slots are used: weight by rank, slots no head retrieves, spread of a key's weight, clusters.

    Parameters
    ----------
    key_statistics, clusters : rows of ``memory_layer_key_statistics``, a row a key, that of a head for a slot, and
        of ``memory_layer_clusters``
    conditions : in the order of the legend
    plotting : the configuration's ``style`` and ``memory_layer.figures.key_statistics``
    """
    of_name = colours(conditions, plotting)
    by_of = clusters.groupby(["condition", "seed", "of"], as_index=False).mean(numeric_only=True)
    by_slot = ["condition", "seed", "layer", "slot"]
    slots = key_statistics.groupby(by_slot, as_index=False)[["count", "weight"]].sum()
    unused = slots.assign(unused=slots["count"] == 0).groupby(by_slot[:3], as_index=False)["unused"].mean()
    unused = unused.assign(place="layer " + unused["layer"].astype(str))
    layers = [f"layer {layer}" for layer in sorted(unused["layer"].unique())]
    with style(plotting):
        marks = [*lines(conditions, plotting), Line2D([], [], **RANGE, label="permuted vectors")]
        figure, (ranked, never, varied, apart) = panels(4, marks, plotting, in_a_row=2)
        for name, colour in of_name.items():
            part = key_statistics[(key_statistics["condition"] == name) & ~key_statistics["unused"]]
            over_seeds_lines(ranked, _ranks(slots[slots["condition"] == name]), "rank", "share", colour)
            over_seeds_lines(varied, _deviations(part), "count", "deviation", colour)
        for place, name, part in categories(never, unused, "place", layers, conditions, plotting):
            points(never, part["unused"], place, of_name[name])
        for place, name, part in categories(apart, by_of, "of", list(CLUSTERED), conditions, plotting):
            points(apart, part["silhouette"], place, of_name[name])
            apart.hlines(place, part["null_low"].mean(), part["null_high"].mean(), **_range())
        apart.axvline(0, **CHANCE)
        ranked.set(xscale="log", yscale="log", xlabel="rank of the slot", ylabel="share of all weight")
        never.set(xlim=(-0.02, 1.02), xlabel="slots never retrieved, share")
        varied.set(xscale="log", xlabel="times that a key is retrieved", ylabel="standard deviation\nof its weight")
        varied.set_ylim(bottom=0)
        apart.set(xlabel="silhouette of clusters, mean")
    return figure


def categories(
    ax: Axes, table: pd.DataFrame, column: str, order: Sequence[str], conditions: Sequence[str], plotting: dict
):
    """Rows of an axes for the categories that a table has, from the top, and in each a place for each condition.

    Yields
    ------
    the place, the condition, and its rows of the category
    """
    held = [each for each in order if each in set(table[column])]
    ax.set_yticks(range(len(held)), [NAMES.get(each, each) for each in held])
    ax.set_ylim(len(held) - 0.5, -0.5)
    ax.hlines(
        np.arange(1, len(held)) - 0.5, 0, 1, transform=ax.get_yaxis_transform(), color="0.9", linewidth=0.6, zorder=0
    )
    for row, category in enumerate(held):
        for n, name in enumerate(conditions):
            part = table[(table[column] == category) & (table["condition"] == name)]
            if len(part):
                yield row + SPREAD * ((n + 0.5) / len(conditions) - 0.5), name, part


def points(ax: Axes, values: pd.Series, place: float, colour) -> None:
    """An open circle a seed, a bar for their mean, a line for their range, at a height of an axes."""
    ax.scatter(values, [place] * len(values), s=10, facecolors="none", edgecolors=[colour], linewidths=0.8, zorder=3)
    ax.hlines(place, values.min(), values.max(), color=colour, linewidth=0.8)
    ax.plot(values.mean(), place, "|", color=colour, markersize=7, markeredgewidth=1.8)


def _range() -> dict:
    return {
        ("linewidths" if name == "linewidth" else name): value for name, value in RANGE.items() if "cap" not in name
    }


def _binned(places: pd.DataFrame) -> pd.DataFrame:
    """By condition and seed the mean over positions in bins of equal width, of one position if they are few."""
    width = 1 + places["position"].max() // POSITIONS if len(places) else 1
    middle = places["position"] // width * width + (width - 1) / 2
    of = places.assign(position=middle).groupby(["condition", "seed", "position"], as_index=False)
    return of[["effective"]].mean()


def _ranks(slots: pd.DataFrame) -> pd.DataFrame:
    """By seed the share of a layer's weight of its slots by rank, means in bins of ranks and over layers."""
    read = slots[slots["count"] > 0]
    of_layer = read.groupby(["seed", "layer"])["weight"]
    rank = log_bins(of_layer.rank(ascending=False, method="first"), PER_DECADE)
    ranked = read.assign(share=read["weight"] / of_layer.transform("sum"), rank=rank)
    return ranked.groupby(["seed", "rank"], as_index=False)["share"].mean()


def _deviations(keys: pd.DataFrame) -> pd.DataFrame:
    """By seed the standard deviation of the weight of keys retrieved twice or more, means in bins of how often."""
    often = keys[keys["count"] > 1]
    often = often.assign(deviation=np.sqrt(often["weight_variance"]), count=log_bins(often["count"], PER_DECADE))
    return often.groupby(["seed", "count"], as_index=False)["deviation"].mean()
