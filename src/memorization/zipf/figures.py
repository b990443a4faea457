"""Figures of the family that compare its conditions."""

from collections import Counter

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memorization.plotting import (
    CHANCE,
    FLOOR,
    grid,
    legend_columns,
    legend_height,
    over_seeds_lines,
    over_seeds_points,
    style,
)
from memorization.random_sequences.figures import one_end
from memorization.random_sequences.measures import LN2


def comparison_figure(table: pd.DataFrame, comparisons: list[dict], plotting: dict) -> Figure:
    """How conditions differ: the p-weighted loss and the suffix accuracy of all sequences against steps.

    Thin lines are seeds, thick lines their mean, bands their range; the last point is the median over the last tenth of
    training. The condition that stands in most comparisons, if in several, is black. Floors that differ in a panel
    have their conditions' colours.

    Parameters
    ----------
    table : rows of ``zipf_summary``
    comparisons : a column of panels each, ``{name, conditions}``
    plotting : the configuration's ``style`` and ``zipf_comparison``
    """
    stands = Counter(name for each in comparisons for name in each["conditions"])
    values = ["weighted_loss", "suffix_accuracy"]
    table = one_end(table[table["step"] > 0], [*values, "floor"])
    baseline = [name for name, count in stands.most_common(1) if count > 1]
    with style(plotting):
        figure = grid(2, len(comparisons), plotting)
        axes = figure.subplots(2, len(comparisons), squeeze=False, sharex=True, sharey="row")
        for column, comparison in zip(axes.T, comparisons, strict=True):
            colours = iter(sns.color_palette(plotting["palette"], len(comparison["conditions"])))
            several = table.loc[table["condition"].isin(comparison["conditions"]), "floor"].nunique() > 1
            for name in comparison["conditions"]:
                colour = "black" if name in baseline else next(colours)
                part = table[table["condition"] == name]
                column[0].axhline(part["floor"].iloc[0], **FLOOR | ({"color": colour} if several else {}))
                for ax, value in zip(column, values, strict=True):
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

    Circles are seeds, bars their mean, lines their range; the left group is the trained model, the right one the model
    from before the switch, which is drawn once for the conditions that go on from the same one.

    Parameters
    ----------
    table : rows of ``zipf_swap``
    conditions : in the order of the legend
    plotting : ``style``, ``palette`` and the limits ``suffix_loss``
    """
    swaps = {"none": "nothing", "attention": "attention", "mlp": "MLP", "mlp_head": "MLP\nand head", "all": "all"}
    rows = [("suffix_accuracy", "accuracy, suffix", 0.5), ("suffix_loss", "loss, suffix\n(nats per bit)", LN2)]
    last = table.groupby("condition")["set"].transform("max") - table["set"]
    values = [value for value, *_ in rows]
    means = table.groupby(["condition", "seed", "swap", last.rename("age")], as_index=False)[values].mean()
    before = _before(means)
    with style(plotting):
        colours = dict(zip(conditions, sns.color_palette(plotting["palette"], len(conditions)), strict=True))
        handles = [Line2D([], [], color=colour, linewidth=1.8, label=name) for name, colour in colours.items()]
        if any(len(names) > 1 for names in before):
            handles += [Line2D([], [], color="black", linewidth=1.8, label="the same in several conditions")]
        handles += [Line2D([], [], **CHANCE, label="chance"), Line2D([], [], **FLOOR, label="Bayes floor")]
        columns = legend_columns(handles, plotting, 2)
        figure = grid(2, 2, plotting, legend_height(handles, columns))
        axes = figure.subplots(2, 2, sharex=True, sharey="row")
        for column, (age, title) in zip(axes.T, ((1, "set before the switch"), (0, "set after it")), strict=True):
            for ax, (value, _, chance) in zip(column, rows, strict=True):
                for number, swap in enumerate(swaps):
                    part = means[(means["swap"] == swap) & (means["age"] == age)]
                    drawn = before if swap == "all" else [[name] for name in conditions]
                    for names in drawn:
                        places = [
                            number + (conditions.index(name) + 0.5) / len(conditions) * 0.84 - 0.42 for name in names
                        ]
                        points = part[part["condition"] == names[0]].assign(x=sum(places) / len(places))
                        colour = colours[names[0]] if len(names) == 1 else "black"
                        over_seeds_points(ax, points, "x", value, colour)
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
        axes[0, 0].set_xlim(-0.5, len(swaps) - 0.5)
        axes[0, 0].set_ylim(None, 1.03)
        axes[1, 0].set_ylim(*plotting["suffix_loss"])
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def _before(means: pd.DataFrame) -> list[list[str]]:
    """The conditions by the model from before their switch: where it is the same, so are its losses in every seed."""
    rows = means[means["swap"] == "all"].sort_values(["seed", "age"])
    losses = rows.groupby("condition")["suffix_loss"].agg(lambda each: tuple(each.round(6)))
    return [sorted(names) for names in losses.groupby(losses).groups.values()]
