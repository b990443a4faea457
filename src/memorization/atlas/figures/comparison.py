"""Figures that lay conditions of several families side by side."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memorization.plotting import CHANCE, grid, legend_columns, legend_height, log_bins, over_seeds_lines, style
from memorization.random_sequences.measures import LN2

RANKS = {"0-9": (0, 10), "10-99": (10, 100), "100 and up": (100, None)}
BINS_PER_DECADE = 6  # of exposures


def comparison_figure(records: pd.DataFrame, conditions: Sequence[Sequence[str]], plotting: dict) -> Figure:
    """Conditions beside each other: suffix accuracy and loss against exposures, by how frequent sequences are.

    In each seed a sequence's records are averaged in bins of exposures, six a decade, and then the sequences; thin
    lines are seeds, thick lines their mean where all have one, bands their range.

    Parameters
    ----------
    records : rows of ``<family>_records``, of items ``set<set>/rank<rank>``
    conditions : family and name, in the order of the legend; the first is black
    plotting : ``style``, limits ``exposures``, ``suffix_loss``
    """
    rows = [("accuracy", "accuracy, suffix", 0.5), ("loss", "loss, suffix\n(nats per bit)", LN2)]
    seen = records[records["exposures"] > 0]
    seen = pd.DataFrame(
        {
            "line": seen["family"] + ": " + seen["condition"],
            "seed": seen["seed"],
            "exposures": log_bins(seen["exposures"], BINS_PER_DECADE),
            "rank": seen["item"].str.rpartition("rank")[2].astype(int),
            "accuracy": seen["recall"],
            "loss": seen["nll_bits"] * LN2 / seen["n_tokens"],
        }
    )
    values = [value for value, *_ in rows]
    seen = seen.groupby(["line", "seed", "rank", "exposures"], as_index=False)[values].mean()
    groups = {label: bounds for label, bounds in RANKS.items() if bounds[0] <= seen["rank"].max()}
    with style(plotting):
        names = [f"{family}: {condition}" for family, condition in conditions]
        colours = ["black", *sns.color_palette("colorblind", len(conditions) - 1)]
        handles = [
            Line2D([], [], color=shade, linewidth=1.6, label=name) for name, shade in zip(names, colours, strict=True)
        ]
        handles += [Line2D([], [], **CHANCE, label="chance (the Bayes floor is 0)")]
        columns = legend_columns(handles, plotting, len(groups))
        figure = grid(2, len(groups), plotting, legend_height(handles, columns))
        axes = figure.subplots(2, len(groups), squeeze=False, sharex=True, sharey="row")
        for column, (label, (low, high)) in zip(axes.T, groups.items(), strict=True):
            part = seen[(seen["rank"] >= low) & (seen["rank"] < (high or np.inf))]
            means = part.groupby(["line", "seed", "exposures"], as_index=False)[values].mean()
            for ax, (value, _, chance) in zip(column, rows, strict=True):
                for name, colour in zip(names, colours, strict=True):
                    chosen = means[means["line"] == name]
                    over_seeds_lines(ax, chosen, "exposures", value, colour, label=name, of_all=True)
                ax.axhline(chance, **CHANCE)
            column[0].set(title=f"ranks {label}".replace("-", "–"), xscale="log")
            column[1].set(yscale="log", xlabel="exposures of the sequence")
        for ax, (_, label, _) in zip(axes[:, 0], rows, strict=True):
            ax.set_ylabel(label)
        axes[0, 0].set_xlim(*plotting["exposures"])
        axes[0, 0].set_ylim(None, 1.02)
        axes[1, 0].set_ylim(*plotting["suffix_loss"])
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure
