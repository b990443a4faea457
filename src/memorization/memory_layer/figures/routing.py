"""Figures of routing: which slots which tokens retrieve, and how the keys are used."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from memorization.memory_layer.figures.shared import colours, lines, panels
from memorization.memory_layer.routing.consistency import LIKENESSES
from memorization.memory_layer.routing.repeating_digits import AGAINST, ENTITIES, MEASURES
from memorization.memory_layer.routing.token_types import TYPES
from memorization.plotting import CHANCE, log_bins, over_seeds_lines, style

NAMES = {
    "token": "this token",
    "text_position": "this token, at its\nposition in the text",
    "previous": "this token and\nthe one before",
    "word": "the word so far",
    "beginning": "how the text\nbegins",
    "answer": "the answer's\nnext token",
    "half_keys_1": "first half keys",
    "half_keys_2": "second half keys",
    "n_slots": "slots of an answer",
    "weight_entropy_bits": "entropy of\na head's weights",
    "recall": "recall",
    "nll_bits": "bits of the answer",
    "key repeats": "key, repeats",
    "key longest_run": "key, longest run",
    "answer repeats": "answer, repeats",
    "answer longest_run": "answer, longest run",
}
CLUSTERED = ("values", "keys", "half_keys_1", "half_keys_2")
PER_DECADE = 8  # bins of ranks and of retrievals
POSITIONS = 50  # of answers, at most so many bins
SMALL = 1e-3  # Jaccard, below which the axis is linear
SPREAD = 0.7  # of a category's height, over conditions
RANGE = {"color": "0.6", "linewidth": 3.5, "alpha": 0.5, "solid_capstyle": "butt", "zorder": 1}
MOST = {"color": "0.35", "linestyle": "", "marker": "|", "markersize": 7}


def routing_figure(
    routing: pd.DataFrame, consistency: pd.DataFrame, conditions: Sequence[str], plotting: dict
) -> Figure:
    """How many slots token types and positions use, and whether places that are alike use the same ones.

    Effective slots are 2 to the entropy of the shares of weight. What is drawn are means over layers and heads. Types
    are those of the token read; positions those of the token of the answer that is predicted.

    Parameters
    ----------
    routing, consistency : rows of ``memory_layer_routing`` and ``memory_layer_consistency``
    conditions : in the order of the legend
    plotting : the configuration's ``style`` and ``memory_layer.figures.routing``
    """
    of_name = colours(conditions, plotting)
    routing = routing.assign(effective=2 ** routing["entropy_bits"], most=2 ** routing["ceiling_bits"])
    cells = routing.groupby(["condition", "seed", "by", "label"], as_index=False)[["effective", "most"]].mean()
    by_type, places = cells[cells["by"] == "type"], cells[cells["by"] == "answer_position"]
    places = _binned(places.assign(position=places["label"].astype(int) + 1))
    alike = consistency[consistency["token_type"] == "all"]
    alike = alike.groupby(["condition", "seed", "likeness"], as_index=False).mean(numeric_only=True)
    with style(plotting):
        marks = lines(conditions, plotting)
        marks += [Line2D([], [], **MOST, label="the most possible"), Line2D([], [], **RANGE, label="shuffled labels")]
        figure, (of_type, of_place, shared) = panels(3, marks, plotting)
        for place, name, part in categories(of_type, by_type, "label", TYPES, conditions):
            points(of_type, part["effective"], place, of_name[name])
            of_type.plot(part["most"].mean(), place, **MOST)
        for name, colour in of_name.items():
            over_seeds_lines(
                of_place, places[places["condition"] == name], "position", "effective", colour, of_all=True
            )
        for place, name, part in categories(shared, alike, "likeness", list(LIKENESSES), conditions):
            points(shared, part["jaccard"], place, of_name[name])
            shared.hlines(place, part["null_low"].mean(), part["null_high"].mean(), **_range())
        of_type.set(xlabel="effective slots of a head", xscale="log", title="by the token read")
        of_place.set(xscale="log", yscale="log", ylabel="effective slots of a head")
        of_place.set_xlabel("token of the answer that is\npredicted, from 1")
        of_place.xaxis.set(major_locator=LogLocator(10, (1, 3)), minor_locator=NullLocator())
        of_place.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        shared.set(xlabel="shared slots of two places,\nJaccard", title="alike in …")
        shared.set_xscale("symlog", linthresh=SMALL, linscale=0.3)
        shared.set_xlim(left=0)
    return figure


def key_statistics_figure(
    key_statistics: pd.DataFrame, clusters: pd.DataFrame, conditions: Sequence[str], plotting: dict
) -> Figure:
    """How slots are used in these texts: weight by rank, slots that no head retrieves, a key's weight, clusters.

    Parameters
    ----------
    key_statistics, clusters : rows of ``memory_layer_key_statistics``, a row a key, that of a head for a slot, and
        of ``memory_layer_clusters``
    conditions : in the order of the legend
    plotting : the configuration's ``style`` and ``memory_layer.figures.key_statistics``
    """
    of_name = colours(conditions, plotting)
    by_of = (
        clusters[clusters["silhouette"].notna()]
        .groupby(["condition", "seed", "of"], as_index=False)
        .mean(numeric_only=True)
    )
    by_slot = ["condition", "seed", "layer", "slot"]
    slots = key_statistics.groupby(by_slot, as_index=False)[["count", "weight"]].sum()
    never_here = slots.assign(share=slots["count"] == 0).groupby(by_slot[:3], as_index=False)["share"].mean()
    never_here = never_here.assign(place="layer " + never_here["layer"].astype(str))
    layers = [f"layer {layer}" for layer in sorted(never_here["layer"].unique())]
    with style(plotting):
        marks = [*lines(conditions, plotting), Line2D([], [], **RANGE, label="permuted vectors")]
        figure, (ranked, never, varied, apart) = panels(4, marks, plotting, in_a_row=2)
        for name, colour in of_name.items():
            part = key_statistics[key_statistics["condition"] == name]
            over_seeds_lines(ranked, _ranks(slots[slots["condition"] == name]), "rank", "share", colour)
            over_seeds_lines(varied, _deviations(part), "count", "deviation", colour)
        for place, name, part in categories(never, never_here, "place", layers, conditions):
            points(never, part["share"], place, of_name[name])
        for place, name, part in categories(apart, by_of, "of", list(CLUSTERED), conditions):
            points(apart, part["silhouette"], place, of_name[name])
            apart.hlines(place, part["null_low"].mean(), part["null_high"].mean(), **_range())
        apart.axvline(0, **CHANCE)
        ranked.set(xscale="log", yscale="log", xlabel="rank of the slot", ylabel="share of all weight")
        never.set(xlim=(-0.02, 1.02), xlabel="slots that no head retrieves\nin these texts, share")
        varied.set(xscale="log", xlabel="times that a key is retrieved", ylabel="standard deviation\nof its weight")
        varied.set_ylim(bottom=0)
        apart.set(xlabel="silhouette of clusters, mean")
    return figure


def repeating_digits_figure(repeating_digits: pd.DataFrame, conditions: Sequence[str], plotting: dict) -> Figure:
    """Spearman's ρ of repeating digits with slot use and recall, of trained pairs: a panel each of what it is against.

    A row an entity and measure; a circle and a line a seed, its ρ and 95% interval over pairs; a bar the mean of seeds.
    Where all are alike there is no ρ, and nothing is drawn.

    Parameters
    ----------
    repeating_digits : rows of ``memory_layer_repeating_digits``, of which the split ``train`` is drawn
    conditions : in the order of the legend; those without a row are left out
    plotting : the configuration's ``style`` and ``memory_layer.figures.repeating_digits``
    """
    of = repeating_digits[(repeating_digits["split"] == "train") & repeating_digits["rho"].notna()]
    of = of.assign(about=of["entity"] + " " + of["measure"])
    conditions = [name for name in conditions if name in set(of["condition"])]
    rows = [f"{entity} {measure}" for entity, measure in product(ENTITIES, MEASURES)]
    of_name = colours(conditions, plotting)
    with style(plotting):
        figure, axes = panels(len(AGAINST), lines(conditions, plotting), plotting, in_a_row=2)
        for ax, against in zip(axes, AGAINST, strict=True):
            for place, name, part in categories(
                ax, of[of["against"] == against], "about", rows, conditions, every=True
            ):
                _with_intervals(ax, part, place, SPREAD / max(len(conditions), 1), of_name[name])
            ax.axvline(0, **CHANCE)
            ax.set(title=NAMES[against].replace("\n", " "))
        for ax in axes[2:]:
            ax.set_xlabel("Spearman's ρ over pairs")
        for ax in axes[1::2]:
            ax.set_yticklabels([])
        most = max((np.abs(ax.get_xlim()).max() for ax in axes), default=1.0)
        for ax in axes:
            ax.set_xlim(-most, most)
    return figure


def _with_intervals(ax: Axes, rows: pd.DataFrame, place: float, height: float, colour) -> None:
    """A circle and the interval of each seed, one below the other in some height, and a bar for their mean."""
    order = rows.sort_values("seed")
    y = place + 0.8 * height * ((np.arange(len(order)) + 0.5) / len(order) - 0.5)
    ax.hlines(y, order["low"], order["high"], color=colour, linewidth=0.8, alpha=0.7)
    ax.scatter(order["rho"], y, s=8, facecolors="none", edgecolors=[colour], linewidths=0.8, zorder=3)
    ax.plot([order["rho"].mean()] * 2, place + np.array([-0.5, 0.5]) * height, color=colour, linewidth=1.8)


def categories(
    ax: Axes,
    table: pd.DataFrame,
    column: str,
    order: Sequence[str],
    conditions: Sequence[str],
    every: bool = False,
):
    """Rows of an axes for the categories that a table has, or for all, and in each a place for each condition.

    Yields
    ------
    the place, the condition, and its rows of the category
    """
    held = [each for each in order if every or each in set(table[column])]
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
    """By condition and seed the mean over positions, from 1, in bins of equal width; of one position if they are few.

    The width is the condition's own, so that short answers are not lost in a bin beside long ones.
    """
    width = 1 + (places.groupby("condition")["position"].transform("max") - 1) // POSITIONS
    middle = (places["position"] - 1) // width * width + (width + 1) / 2
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
