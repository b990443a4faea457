"""Figures of ablations: what each slot, group of slots and part is worth; how many slots an answer rests on."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from memorization.memory_layer.ablation.tables import exposure_bins
from memorization.memory_layer.figures.shared import IN_A_ROW, colours, lines, panels
from memorization.plotting import grid, legend_columns, legend_height, over_seeds_lines, style

MODE = "slot_mask"  # that is drawn
INTACT = {"alpha": 0.4, "markersize": 8, "markeredgewidth": 1.8}
CIRCLE = {"marker": "o", "markersize": 3.5, "zorder": 3}
OPEN = CIRCLE | {"markerfacecolor": "white"}
LEAST_BITS = 1e-3  # the left end of the axis of bits
BITS = np.logspace(-3, np.log10(30), 60)
N_SLOTS, N_EXAMPLES = 12, 24  # of the heat maps
GROUPS = {"own_slots": "-", "random_slots": "--"}
PARTS = {
    "memory": "memory",
    "values_random": "its values",
    "keys_random": "its keys",
    "head": "a head",
}


def ablation_figure(
    ablation: pd.DataFrame,
    positions: pd.DataFrame,
    impact: pd.DataFrame,
    parts: pd.DataFrame,
    conditions: Sequence[str],
    plotting: dict,
) -> Figure:
    """What is lost with a slot, with an answer's own slots, with whole parts; and where the worst slots hurt.

    Parameters
    ----------
    ablation, positions, impact, parts : rows of ``memory_layer_ablation``, ``_ablation_positions``, ``_impact`` (of the
        first seed of each condition), ``_ablation_parts``; of the first three ``slot_mask`` is drawn
    conditions : in the order of the legend; two heat maps each, of its first seed, with the same slots
    plotting : the configuration's ``style`` and ``memory_layer.figures.ablation``: ``palette`` of the conditions,
        ``heat_palette`` of the heat maps
    """
    slots, positions, impact = (table[table["mode"] == MODE] for table in (ablation, positions, impact))
    of_name = colours(conditions, plotting)
    with style(plotting):
        looks = {"own_slots": "its own slots of largest weight", "random_slots": "random slots of other answers"}
        marks = lines(conditions, plotting)
        marks += [Line2D([], [], color="0.3", ls=GROUPS[part], label=label) for part, label in looks.items()]
        marks.append(Line2D([], [], ls="", marker="|", label="nothing taken away", **INTACT | {"color": "0.3"}))
        columns = legend_columns(marks, plotting, IN_A_ROW)
        figure = grid(1 + len(conditions), IN_A_ROW, plotting, legend_height(marks, columns))
        cells = figure.add_gridspec(1 + len(conditions), IN_A_ROW)
        single, groups, wholes = (figure.add_subplot(cells[0, n]) for n in range(IN_A_ROW))
        heats = [[figure.add_subplot(cells[n, at]) for at in (0, slice(1, None))] for n in range(1, cells.nrows)]
        for name, colour in of_name.items():
            shares = _shares_above(slots[slots["condition"] == name])
            over_seeds_lines(single, shares, "bits", "share", colour, label=name)
            for part, linestyle in GROUPS.items():
                of = _pooled(parts[(parts["condition"] == name) & (parts["part"] == part)])
                over_seeds_lines(
                    groups, of, "number", "exact_after", colour, label=f"{name} {part}", linestyle=linestyle
                )
        single.set(xscale="log", yscale="log", xlim=(LEAST_BITS, BITS[-1]))
        single.set(
            xlabel="bits that some answer loses without it", ylabel="share of retrieved slots,\nat least so much"
        )
        groups.set_xscale("log", base=2)
        _plain_ticks(groups, parts.loc[parts["part"].isin(GROUPS), "number"])
        groups.set(xlabel="slots masked for each answer", ylabel="exact match of trained facts", ylim=(-0.03, 1.03))
        _draw_wholes(wholes, parts, of_name)
        for of, name in zip(heats, conditions, strict=True):
            tables = (table[table["condition"] == name] for table in (positions, impact))
            _draw_heats(*of, *tables, name, plotting)
        figure.legend(handles=marks, loc="outside lower center", ncols=columns)
    return figure


def cuts_figure(cuts: pd.DataFrame, conditions: Sequence[str], plotting: dict) -> Figure:
    """How many slots must go until an answer is wrong: over answers, and against how often a fact was seen.

    A circle is a bin of exposures in which every cut flips its answer; open, some do not: the mean is a lower bound.

    Parameters
    ----------
    cuts : rows of ``memory_layer_cuts``
    conditions : in the order of the legend
    plotting : the configuration's ``style`` and ``memory_layer.figures.cuts``
    """
    drawn = cuts[cuts["condition"].isin(conditions)]
    with style(plotting):
        marks = lines(conditions, plotting)
        marks.append(Line2D([], [], color="0.3", ls="", label="a lower bound", **OPEN))
        figure, (sizes, exposed) = panels(2, marks, plotting)
        most = drawn[["cut", "exposures"]].max().fillna(1).clip(lower=1).astype(int)
        for name, colour in colours(conditions, plotting).items():
            of = drawn[drawn["condition"] == name]
            over_seeds_lines(sizes, _wrong_by(of, most["cut"]), "cut", "share", colour, label=name)
            bins = _by_exposures(of)
            over_seeds_lines(exposed, bins, "exposures", "cut", colour, label=name)
            means = bins.groupby("exposures").agg({"cut": "mean", "flipped": "all"})
            for look, some in (({}, means[means["flipped"]]), (OPEN, means[~means["flipped"]])):
                exposed.plot(some.index, some["cut"], color=colour, ls="", **CIRCLE | look)
        for ax, largest in ((sizes, most["cut"]), (exposed, most["exposures"])):
            ax.set_xscale("log", base=2)
            _plain_ticks(ax, 2 ** np.arange(int(np.log2(largest)) + 2))
        sizes.set(
            xlabel="slots masked, worst first", ylabel="share of known answers\nthat are wrong", ylim=(-0.03, 1.03)
        )
        exposed.set(xlabel="times that a fact was trained on", ylabel="slots until it is wrong, mean", ylim=(0, None))
    return figure


def _shares_above(slots: pd.DataFrame) -> pd.DataFrame:
    """By seed, the share of the table's slots, all layers together, whose largest loss is at least ``bits``."""
    parts = [pd.DataFrame({"seed": [], "bits": [], "share": []})]
    for seed, of in slots.groupby("seed"):
        ordered = np.sort(of["most_bits"].to_numpy())
        share = 1 - np.searchsorted(ordered, BITS) / len(ordered)
        parts.append(pd.DataFrame({"seed": seed, "bits": BITS, "share": share})[share > 0])
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _pooled(parts: pd.DataFrame) -> pd.DataFrame:
    """Means over layers and splits, weighted by their facts, by seed and number."""
    of = parts.assign(exact_after=parts["exact_after"] * parts["n"]).groupby(["seed", "number"])
    sums = of[["exact_after", "n"]].sum()
    return sums.assign(exact_after=sums["exact_after"] / sums["n"]).reset_index()


def _draw_wholes(ax: Axes, parts: pd.DataFrame, of_name: dict) -> None:
    """A row a part and layer of attention: an open circle a seed and head, a bar their mean, a pale one what was."""
    heads = sorted(parts.loc[parts["part"] == "head", "layer"].unique())
    rows = [(part, label, None) for part, label in PARTS.items() if part != "head"]
    rows += [("head", f"{PARTS['head']},\nlayer {layer}", layer) for layer in heads]
    for place, (part, _, layer) in enumerate(rows):
        for k, (name, colour) in enumerate(of_name.items()):
            of = parts[(parts["condition"] == name) & (parts["part"] == part)]
            of = of if layer is None else of[of["layer"] == layer]
            if of.empty:
                continue
            y = place + 0.6 * ((k + 0.5) / len(of_name) - 0.5)
            ax.scatter(of["exact_after"], [y] * len(of), s=12, facecolors="none", edgecolors=[colour], zorder=3)
            ax.plot(of["exact_after"].mean(), y, "|", color=colour, markersize=8, markeredgewidth=1.8)
            ax.plot(of["exact_before"].mean(), y, "|", color=colour, **INTACT)
    ax.set_yticks(range(len(rows)), [label for _, label, _ in rows])
    ax.set(xlim=(-0.04, 1.04), ylim=(len(rows) - 0.5, -0.5), xlabel="exact match without it")
    ax.hlines(np.arange(1, len(rows)) - 0.5, -0.04, 1.04, color="0.9", linewidth=0.6, zorder=0)


def _draw_heats(at: Axes, of: Axes, positions: pd.DataFrame, impact: pd.DataFrame, name: str, plotting: dict) -> None:
    """What the slots that cost most in all cost: a token by its position, mean; and the answers that lose most."""
    at.set_title(name)
    if positions.empty:
        at.set_axis_off()
        of.set_axis_off()
        return
    seed, layers = positions["seed"].min(), positions["layer"].nunique() > 1
    positions, impact = (_named(table[table["seed"] == seed], layers) for table in (positions, impact))
    total = positions["n"] * positions["nll_change_bits"]
    worst = total.groupby(positions["which"]).sum().nlargest(N_SLOTS).index
    tokens = positions.pivot_table("nll_change_bits", "which", "position").reindex(worst)
    impact = impact[impact["which"].isin(worst)]
    answers = impact.pivot_table("nll_change_bits", "which", "item", aggfunc="sum").reindex(worst)
    looks = {"vmin": 0, "cmap": plotting["heat_palette"], "linewidths": 0.3, "xticklabels": True}
    for ax, bits, what in ((at, tokens, "a token"), (of, _most_harmed(answers), "an answer")):
        bar = {"label": f"bits that {what} loses", "shrink": 0.9}
        sns.heatmap(bits, ax=ax, cbar_kws=bar, yticklabels=ax is at, **looks)
        ax.collections[0].colorbar.outline.set_visible(False)
    at.set(xlabel="token of the answer, from 0", ylabel="layer and slot" if layers else "slot")
    of.set(xlabel="item", ylabel="")
    at.tick_params(axis="y", rotation=0, labelsize=plotting["font_size"] - 2)
    of.tick_params(axis="x", rotation=90, labelsize=plotting["font_size"] - 2)


def _named(table: pd.DataFrame, layers: bool) -> pd.DataFrame:
    """With ``which``: the slot, and its layer where there are several."""
    slot = table["slot"].astype(str)
    return table.assign(which=table["layer"].astype(str) + "." + slot if layers else slot)


def _most_harmed(answers: pd.DataFrame) -> pd.DataFrame:
    """Of a matrix (slots, answers) the answers that lose most to one slot, ordered by this slot and what they lose."""
    some = answers[answers.max().nlargest(N_EXAMPLES).index]
    filled = some.fillna(-np.inf).to_numpy()
    return some.iloc[:, np.lexsort((-filled.max(axis=0), filled.argmax(axis=0)))]


def _wrong_by(cuts: pd.DataFrame, most: int) -> pd.DataFrame:
    """By seed, the share of answers whose cut is at most so many slots, up to the most."""
    parts = [pd.DataFrame({"seed": [], "cut": [], "share": []})]
    sizes = np.arange(1, most + 1)
    for seed, of in cuts.groupby("seed"):
        share = [(of["flipped"] & (of["cut"] <= size)).mean() for size in sizes]
        parts.append(pd.DataFrame({"seed": seed, "cut": sizes, "share": share}))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _by_exposures(cuts: pd.DataFrame) -> pd.DataFrame:
    """Mean cut, and whether all are flipped, by seed and bin of exposures, at the mean of the bin over all seeds."""
    bins = exposure_bins(cuts["exposures"])
    middle = cuts["exposures"].groupby(bins).mean()
    of = cuts.assign(bin=bins, flipped=cuts["flipped"].astype(bool)).groupby(["seed", "bin"], as_index=False)
    means = of.agg({"cut": "mean", "flipped": "all"})
    return means.assign(exposures=means["bin"].map(middle))


def _plain_ticks(ax: Axes, ticks: Sequence[int]) -> None:
    """Ticks at these values of a logarithmic axis, as plain numbers."""
    ax.xaxis.set(
        major_locator=FixedLocator(sorted(set(ticks))),
        major_formatter=FuncFormatter(lambda value, _: f"{value:g}"),
        minor_locator=NullLocator(),
    )
