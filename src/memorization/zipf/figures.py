"""Figures of the family that compare its conditions."""

from collections import Counter

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memorization.plotting import CHANCE, FLOOR, grid, over_seeds_lines, style
from memorization.random_sequences.measures import LN2
from memorization.statistics import over_seeds


def comparison_figure(table: pd.DataFrame, comparisons: list[dict], plotting: dict) -> Figure:
    """How conditions differ: the p-weighted loss and the suffix accuracy of all sequences against steps.

    Thin lines are seeds, thick lines their mean, bands their range; the condition that stands in
    most comparisons, if in several, is black. Floors that differ in a panel have their conditions' colours.

    Parameters
    ----------
    table : rows of ``zipf_summary``
    comparisons : a column of panels each, ``{name, conditions}``
    plotting : the configuration's ``style`` and ``zipf_comparison``
    """
    stands = Counter(name for each in comparisons for name in each["conditions"])
    baseline = [name for name, count in stands.most_common(1) if count > 1]
    with style(plotting):
        figure = grid(2, len(comparisons), plotting)
        axes = figure.subplots(2, len(comparisons), squeeze=False, sharex=True, sharey="row")
        for column, comparison in zip(axes.T, comparisons, strict=True):
            colours = iter(sns.color_palette(plotting["palette"], len(comparison["conditions"])))
            several = table.loc[table["condition"].isin(comparison["conditions"]), "floor"].nunique() > 1
            for name in comparison["conditions"]:
                colour = "black" if name in baseline else next(colours)
                part = table[(table["condition"] == name) & (table["step"] > 0)]
                column[0].axhline(part["floor"].iloc[0], **FLOOR | ({"color": colour} if several else {}))
                for ax, value in zip(column, ("weighted_loss", "suffix_accuracy"), strict=True):
                    over_seeds_lines(ax, part, "step", value, colour, label=name)
            column[0].axhline(LN2, **CHANCE)
            column[1].axhline(0.5, **CHANCE)
            column[0].set(xscale="log", title=comparison["name"])
            column[1].set(ylim=(0.4, 1.02), xlabel="optimizer step")
            column[1].legend(loc="upper left", handlelength=1.2)
        axes[0, 0].set_xlim(*plotting["step"])
        axes[0, 0].set_ylim(*plotting["weighted_loss"])
        axes[0, 0].set_ylabel("loss, all bits, weighted by p\n(nats per bit)")
        axes[1, 0].set_ylabel("accuracy, suffix,\nmean over sequences")
        marks = [Line2D([], [], **FLOOR, label="Bayes floor, H(p)/N"), Line2D([], [], **CHANCE, label="chance")]
        axes[0, 0].legend(handles=marks, loc="lower left", handlelength=1.6)
    return figure


def swap_figure(table: pd.DataFrame, conditions: list[str], plotting: dict) -> Figure:
    """What the sequences from before the last switch and those after it lose or regain when parts are put back.

    Points are means over seeds with 95% t intervals, small points seeds; the left group is the trained model, the right
    one the model from before the switch.

    Parameters
    ----------
    table : rows of ``zipf_swap``
    conditions : in the order of the legend
    plotting : ``style``, ``palette`` and the limits ``suffix_loss``
    """
    swaps = {"none": "nothing", "attention": "attention", "mlp": "MLP", "mlp_head": "MLP\nand head", "all": "all"}
    rows = [("suffix_accuracy", "accuracy, suffix", 0.5), ("suffix_loss", "loss, suffix\n(nats per bit)", LN2)]
    last = table.groupby("condition")["set"].transform("max") - table["set"]
    by = ["condition", "seed", "swap"]
    with style(plotting):
        figure = grid(2, 2, plotting, legend_height=0.3 + 0.2 * -(-(len(conditions) + 2) // 3))
        axes = figure.subplots(2, 2, sharex=True, sharey="row")
        palette = dict(zip(conditions, sns.color_palette(plotting["palette"], len(conditions)), strict=True))
        for column, (age, title) in zip(axes.T, ((1, "set before the switch"), (0, "set after it")), strict=True):
            means = table[last == age].groupby(by, as_index=False)[["suffix_accuracy", "suffix_loss"]].mean()
            for ax, (value, _, chance) in zip(column, rows, strict=True):
                for i, condition in enumerate(conditions):
                    part = means[means["condition"] == condition]
                    offset = (i - (len(conditions) - 1) / 2) * 0.8 / len(conditions)
                    x = part["swap"].map(list(swaps).index) + offset
                    ax.scatter(x, part[value], color=palette[condition], s=6, alpha=0.5, linewidths=0)
                    mean = over_seeds(part, ["swap"], value)
                    x = mean["swap"].map(list(swaps).index) + offset
                    error = [mean["mean"] - mean["low"], mean["high"] - mean["mean"]]
                    style_of = {"color": palette[condition], "markersize": 4, "elinewidth": 0.8}
                    ax.errorbar(x, mean["mean"], error, fmt="o", label=condition, **style_of)
                ax.axhline(chance, **CHANCE)
                if value == "suffix_loss":
                    ax.axhline(0, **FLOOR)
                for between in range(len(swaps) - 1):
                    ax.axvline(between + 0.5, color="0.9", linewidth=0.8, zorder=0)
            column[0].set_title(title)
            column[1].set_xticks(range(len(swaps)), list(swaps.values()))
            column[1].set_xlabel("put back to before the switch")
        for ax, (_, label, _) in zip(axes[:, 0], rows, strict=True):
            ax.set_ylabel(label)
        axes[0, 0].set_ylim(0.35, 1.03)
        axes[1, 0].set_ylim(*plotting["suffix_loss"])
        handles, labels = axes[0, 0].get_legend_handles_labels()
        handles += [Line2D([], [], **CHANCE), Line2D([], [], **FLOOR)]
        labels += ["chance", "Bayes floor"]
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure
