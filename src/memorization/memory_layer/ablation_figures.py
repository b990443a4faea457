"""Figures of ablations: what each slot, group of slots and part is worth; how many slots an answer rests on."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from memorization.memory_layer.figures import colours, lines, panels
from memorization.plotting import over_seeds_lines, style

MODE = "slot_mask"  # that is drawn
INTACT = {"alpha": 0.4, "markersize": 8, "markeredgewidth": 1.8}
LEAST_BITS = 1e-3  # the left end of the axis of bits
BITS = np.logspace(-3, np.log10(30), 60)
N_SLOTS = 12  # rows of a heat map
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
    parts: pd.DataFrame,
    conditions: Sequence[str],
    plotting: dict,
) -> Figure:
    """What is lost with a slot, with an answer's own slots, with whole parts; and where the worst slots hurt.

    Parameters
    ----------
    ablation, positions, parts : rows of ``memory_layer_ablation``, ``_ablation_positions``, ``_ablation_parts``; of the
        first two ``slot_mask`` is drawn
    conditions : in the order of the legend; a heat map each, of its first seed
    plotting : the configuration's ``style`` and ``memory_layer.figures.ablation``: ``palette`` of the conditions,
        ``heat_palette`` of the heat maps
    """
    slots, positions = (table[table["mode"] == MODE] for table in (ablation, positions))
    of_name = colours(conditions, plotting)
    with style(plotting):
        looks = {"own_slots": "its own slots of largest weight", "random_slots": "random slots of other answers"}
        marks = lines(conditions, plotting)
        marks += [Line2D([], [], color="0.3", ls=GROUPS[part], label=label) for part, label in looks.items()]
        marks.append(Line2D([], [], ls="", marker="|", label="nothing taken away", **INTACT | {"color": "0.3"}))
        figure, axes = panels(3 + len(conditions), marks, plotting)
        impact, groups, wholes, *heats = axes
        for name, colour in of_name.items():
            shares = _shares_above(slots[slots["condition"] == name])
            over_seeds_lines(impact, shares, "bits", "share", colour, label=name)
            for part, linestyle in GROUPS.items():
                of = _pooled(parts[(parts["condition"] == name) & (parts["part"] == part)])
                over_seeds_lines(
                    groups, of, "number", "exact_after", colour, label=f"{name} {part}", linestyle=linestyle
                )
        impact.set(xscale="log", yscale="log", xlim=(LEAST_BITS, BITS[-1]))
        impact.set(
            xlabel="bits that some answer loses without it", ylabel="share of retrieved slots,\nat least so much"
        )
        groups.set_xscale("log", base=2)
        _plain_ticks(groups, parts.loc[parts["part"].isin(GROUPS), "number"])
        groups.set(xlabel="slots masked for each answer", ylabel="exact match of trained facts", ylim=(-0.03, 1.03))
        _draw_wholes(wholes, parts, of_name)
        for ax, name in zip(heats, conditions, strict=True):
            _draw_heat(ax, positions[positions["condition"] == name], name, plotting)
    return figure


def cuts_figure(cuts: pd.DataFrame, conditions: Sequence[str], plotting: dict) -> Figure:
    """How many slots must go until an answer is wrong: over answers, and against how often a fact was seen.

    Parameters
    ----------
    cuts : rows of ``memory_layer_cuts``
    conditions : in the order of the legend
    plotting : the configuration's ``style`` and ``memory_layer.figures.cuts``
    """
    drawn = cuts[cuts["condition"].isin(conditions)]
    with style(plotting):
        figure, (sizes, exposed) = panels(2, lines(conditions, plotting), plotting)
        most = drawn[["cut", "exposures"]].max().fillna(1).clip(lower=1).astype(int)
        for name, colour in colours(conditions, plotting).items():
            of = drawn[drawn["condition"] == name]
            over_seeds_lines(sizes, _wrong_by(of, most["cut"]), "cut", "share", colour, label=name)
            bins = _by_exposures(of)
            over_seeds_lines(exposed, bins, "exposures", "cut", colour, label=name)
            means = bins.groupby("exposures")["cut"].mean()
            exposed.plot(means.index, means, "o", color=colour, markersize=3.5)
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


def _draw_heat(ax: Axes, positions: pd.DataFrame, name: str, plotting: dict) -> None:
    """Mean bits that a token loses without one of the slots that cost most in all, by its position."""
    ax.set_title(name)
    if positions.empty:
        ax.set_axis_off()
        return
    one = positions[positions["seed"] == positions["seed"].min()]
    layers = one["layer"].nunique() > 1
    which = one["slot"].astype(str) if not layers else one["layer"].astype(str) + "." + one["slot"].astype(str)
    one = one.assign(which=which, total=one["n"] * one["nll_change_bits"])
    worst = one.groupby("which")["total"].sum().nlargest(N_SLOTS).index
    bits = one.pivot_table("nll_change_bits", "which", "position").reindex(worst)
    bars = {"label": "bits that a token loses", "shrink": 0.9}
    sns.heatmap(bits, ax=ax, vmin=0, cmap=plotting["heat_palette"], cbar_kws=bars, linewidths=0.3, yticklabels=True)
    ax.collections[0].colorbar.outline.set_visible(False)
    ax.set(xlabel="token of the answer, from 0", ylabel="layer and slot" if layers else "slot")
    ax.tick_params(axis="y", rotation=0, labelsize=plotting["font_size"] - 2)


def _wrong_by(cuts: pd.DataFrame, most: int) -> pd.DataFrame:
    """By seed, the share of answers whose cut is at most so many slots, up to the most."""
    parts = [pd.DataFrame({"seed": [], "cut": [], "share": []})]
    sizes = np.arange(1, most + 1)
    for seed, of in cuts.groupby("seed"):
        share = [(of["flipped"] & (of["cut"] <= size)).mean() for size in sizes]
        parts.append(pd.DataFrame({"seed": seed, "cut": sizes, "share": share}))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def _by_exposures(cuts: pd.DataFrame) -> pd.DataFrame:
    """Mean cut by seed and exposures, these in bins of a factor of 2, at the mean of a bin over all seeds."""
    bins = np.log2(cuts["exposures"].clip(lower=1)).round()
    middle = cuts["exposures"].groupby(bins).mean()
    means = cuts.assign(bin=bins).groupby(["seed", "bin"], as_index=False)["cut"].mean()
    return means.assign(exposures=means["bin"].map(middle))


def _plain_ticks(ax: Axes, ticks: Sequence[int]) -> None:
    """Ticks at these values of a logarithmic axis, as plain numbers."""
    ax.xaxis.set(
        major_locator=FixedLocator(sorted(set(ticks))),
        major_formatter=FuncFormatter(lambda value, _: f"{value:g}"),
        minor_locator=NullLocator(),
    )
