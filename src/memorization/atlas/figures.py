"""Figures that lay conditions of several families side by side."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memorization.plotting import CHANCE, grid, over_seeds_lines, style

LN2 = np.log(2)  # nats a bit: what a guess costs
RANKS = {"ranks 0–9": (0, 10), "ranks 10–99": (10, 100), "ranks 100 and up": (100, None)}
BINS_PER_DECADE = 6  # of exposures


def comparison_figure(records: pd.DataFrame, conditions: Sequence[Sequence[str]], plotting: dict) -> Figure:
    """Conditions beside each other: suffix accuracy and loss against exposures, by how frequent sequences are.

    Recorded (step, sequence) pairs are averaged in bins of exposures, six a decade, in each seed; thin lines
    are seeds, thick lines their mean, bands their range.

    Parameters
    ----------
    records : rows of ``<family>_records``, of items ``set<set>/rank<rank>``
    conditions : family and name, in the order of the legend; the first is black
    plotting : ``style``, limits ``exposures``, ``suffix_loss``
    """
    rows = [("accuracy", "accuracy, suffix", 0.5), ("loss", "loss, suffix\n(nats per bit)", LN2)]
    seen = records[records["exposures"] > 0]
    bins = (np.log10(seen["exposures"]) * BINS_PER_DECADE).round() / BINS_PER_DECADE
    seen = pd.DataFrame(
        {
            "line": seen["family"] + ": " + seen["condition"],
            "seed": seen["seed"],
            "exposures": 10**bins,
            "rank": seen["item"].str.rpartition("rank")[2].astype(int),
            "accuracy": seen["recall"],
            "loss": seen["nll_bits"] * LN2 / seen["n_tokens"],
        }
    )
    groups = {title: bounds for title, bounds in RANKS.items() if bounds[0] <= seen["rank"].max()}
    with style(plotting):
        figure = grid(2, len(groups), plotting, legend_height=0.5)
        axes = figure.subplots(2, len(groups), squeeze=False, sharex=True, sharey="row")
        colours = ["black", *sns.color_palette("colorblind", len(conditions) - 1)]
        for column, (title, (low, high)) in zip(axes.T, groups.items(), strict=True):
            part = seen[(seen["rank"] >= low) & (seen["rank"] < (high or np.inf))]
            means = part.groupby(["line", "seed", "exposures"], as_index=False)[[row[0] for row in rows]].mean()
            for ax, (value, _, chance) in zip(column, rows, strict=True):
                for (family, condition), colour in zip(conditions, colours, strict=True):
                    line = f"{family}: {condition}"
                    chosen = means[means["line"] == line]
                    over_seeds_lines(ax, chosen, "exposures", value, colour, label=line)
                ax.axhline(chance, **CHANCE)
            column[0].set(title=title, xscale="log")
            column[1].set(yscale="log", xlabel="exposures of the sequence")
        for ax, (_, label, _) in zip(axes[:, 0], rows, strict=True):
            ax.set_ylabel(label)
        axes[0, 0].set_xlim(*plotting["exposures"])
        axes[0, 0].set_ylim(0.35, 1.02)
        axes[1, 0].set_ylim(*plotting["suffix_loss"])
        handles, labels = axes[0, 0].get_legend_handles_labels()
        handles, labels = [*handles, Line2D([], [], **CHANCE)], [*labels, "chance (the Bayes floor is 0)"]
        figure.legend(handles, labels, loc="outside lower center", ncols=min(3, len(handles)))
    return figure
