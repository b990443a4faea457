"""Figures of what is answered: recall, by exposures, errors, logits, loss, parameters."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, FixedLocator, FuncFormatter, LogLocator, NullLocator

from memorization.memory_layer.figures.shared import IN_A_ROW, MARKERS, colours, lines, panels
from memorization.memory_layer.findings import TRAINED, pooled
from memorization.plotting import CHANCE, over_seeds_lines, style

KINDS = {  # of answers, and how they are drawn: what is right first
    "correct": "correct",
    "intermediate": "an earlier link of its chain",
    "other_fact": "another fact's answer",
    "other_chain": "a hash of another chain",
    "unknown": "well formed, of no fact",
    "malformed": "malformed",
}
LEAST = 10  # tokens of a seed in a bin of confidence that is drawn
BAR = 0.17  # inches


def recall_figure(recall: pd.DataFrame, comparisons: Sequence[Mapping], plotting: dict) -> Figure:
    """Exact match at the end by condition, a panel a comparison, a colour a split, a circle a seed, a bar their mean.

    Parameters
    ----------
    recall : rows of ``memory_layer_recall``
    comparisons : ``{name, conditions}`` of the panels
    plotting : the configuration's ``style`` and ``memory_layer.figures.recall``
    """
    ends = pooled(recall, ["condition", "seed", "split"], ["exact", "exact_chance"])
    splits = sorted(ends["split"].unique(), key=lambda split: (split not in TRAINED, split != "train", split))
    of_split = colours(splits, plotting)
    with style(plotting):
        marks = [Line2D([], [], color=of_split[split], marker="o", ls="", label=split) for split in splits]
        marks.append(Line2D([], [], **CHANCE | {"linestyle": "", "marker": "|"}, label="guessing"))
        figure, axes = panels(len(comparisons), marks, plotting)
        most = max(len(each["conditions"]) for each in comparisons)  # so that rows are alike in all panels
        for ax, comparison in zip(axes, comparisons, strict=True):
            names = comparison["conditions"]
            for place, name in enumerate(names):
                held = [each for each in splits if ((ends["condition"] == name) & (ends["split"] == each)).any()]
                for row, split in enumerate(held):
                    part = ends[(ends["condition"] == name) & (ends["split"] == split)]
                    y, colour = place + 0.6 * ((row + 0.5) / len(held) - 0.5), of_split[split]
                    ax.scatter(part["exact"], [y] * len(part), s=10, facecolors="none", edgecolors=[colour], zorder=3)
                    ax.hlines(y, part["exact"].min(), part["exact"].max(), color=colour, linewidth=0.8)
                    ax.plot(part["exact"].mean(), y, "|", color=colour, markersize=7, markeredgewidth=1.8)
                    ax.plot(part["exact_chance"].mean(), y, **CHANCE | {"marker": "|", "zorder": 4})
            ax.set_yticks(range(len(names)), names)
            ax.set(xlim=(-0.04, 1.04), ylim=(most - 0.5, -0.5), title=comparison["name"])
            ax.set_xlabel("exact match at the end")
            ax.hlines(np.arange(1, len(names)) - 0.5, -0.04, 1.04, color="0.9", linewidth=0.6, zorder=0)
    return figure


def frequency_figure(recall: pd.DataFrame, conditions: Sequence[str], plotting: dict) -> Figure:
    """Exact match of trained facts against how often each stands in a pass; dashed, of facts that are never trained.

    Parameters
    ----------
    recall : rows of ``memory_layer_recall``, whose groups are exposures in a pass
    conditions : in the order of the legend
    plotting : the configuration's ``style`` and ``memory_layer.figures.frequency``
    """
    ends = pooled(_with_held_out(recall), ["condition", "seed", "held_out", "group"], ["exact"]).sort_values("group")
    with style(plotting):
        marks = lines(conditions, plotting) + _line_styles()
        figure, (ax,) = panels(1, marks, plotting)
        for part, look in _parts(ends, conditions, plotting):
            over_seeds_lines(ax, part, "group", "exact", **look)
        ax.set_xscale("log", base=2)
        ax.xaxis.set(
            major_locator=FixedLocator(sorted(ends["group"].unique())),
            major_formatter=FuncFormatter(lambda value, _: f"{value:g}"),
            minor_locator=NullLocator(),
        )
        ax.set(xlabel="times that a fact stands in a pass", ylabel="exact match at the end,\nshare of facts")
        ax.set_ylim(-0.02, 1.02)
    return figure


def loss_figure(losses: pd.DataFrame, comparisons: Sequence[Mapping], plotting: dict) -> Figure:
    """Loss of training against steps, a panel a comparison, a line a condition.

    Parameters
    ----------
    losses : rows of ``memory_layer_losses``
    comparisons : ``{name, conditions}`` of the panels
    plotting : the configuration's ``style`` and ``memory_layer.figures.loss``
    """
    with style(plotting):
        figure, axes = panels(len(comparisons), [], plotting)
        for ax, comparison in zip(axes, comparisons, strict=True):
            for name, colour in colours(comparison["conditions"], plotting).items():
                part = losses[losses["condition"] == name]
                over_seeds_lines(ax, part, "step", "loss", colour, label=name, of_all=True)
            ax.set(yscale="log", xlabel="optimizer step", title=comparison["name"])
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25), ncols=2, handlelength=1.2, columnspacing=1)
        for ax in axes[::IN_A_ROW]:
            ax.set_ylabel("loss of training,\nnats per answer token")
    return figure


def logits_figure(logits: pd.DataFrame, calibration: pd.DataFrame, conditions: Sequence[str], plotting: dict) -> Figure:
    """The answer's tokens by position: probability, entropy, rank; and how often a confidence is right.

    Parameters
    ----------
    logits, calibration : rows of ``memory_layer_logits`` and ``memory_layer_calibration``
    conditions : in the order of the legend
    plotting : the configuration's ``style`` and ``memory_layer.figures.logits``
    """
    labels = {
        "probability": "probability of the right token",
        "entropy_bits": "entropy, bits",
        "rank": "rank of the right token",
    }
    by = ["condition", "seed", "held_out"]
    places = pooled(_with_held_out(logits), [*by, "position"], list(labels)).sort_values("position")
    bins = pooled(_with_held_out(calibration), [*by, "confidence_low"], ["confidence", "accuracy"])
    bins = bins[bins["n"] >= LEAST].sort_values("confidence_low")
    of_bin = bins.groupby(["condition", "held_out", "confidence_low"])["confidence"]
    bins = bins.assign(confidence=of_bin.transform("mean"))
    with style(plotting):
        figure, axes = panels(4, lines(conditions, plotting) + _line_styles(), plotting, in_a_row=2)
        for ax, (value, label) in zip(axes, labels.items(), strict=False):
            for part, look in _parts(places, conditions, plotting):
                over_seeds_lines(ax, part, "position", value, **look)
            ax.set(xlabel="token of the answer, from 0", ylabel=label)
            ax.set_xticks(sorted(places["position"].unique()))
        axes[3].plot([0, 1], [0, 1], **CHANCE)
        for part, look in _parts(bins, conditions, plotting):
            over_seeds_lines(axes[3], part, "confidence", "accuracy", **look)
        axes[0].set_ylim(-0.02, 1.02)
        axes[3].set(xlim=(0, 1.02), ylim=(-0.02, 1.02), xlabel="confidence: largest probability")
        axes[3].set_ylabel("share of tokens right")
    return figure


def errors_figure(errors: pd.DataFrame, conditions: Sequence[str], plotting: dict) -> Figure:
    """What is answered, in shares that add up to 1, mean over seeds: a panel a split, a bar a condition and group.

    Parameters
    ----------
    errors : rows of ``memory_layer_errors``
    conditions : from the top
    plotting : the configuration's ``style`` and ``memory_layer.figures.errors``
    """
    errors = errors[errors["condition"].isin(conditions)]
    kinds = [kind for kind in KINDS if kind in set(errors["kind"])]
    by = ["condition", "group", "split", "seed"]
    shares = errors.pivot_table("share", by, "kind", aggfunc="sum", fill_value=0.0).groupby(by[:-1]).mean()
    bars = sorted(
        {(name, group) for name, group, _ in shares.index}, key=lambda bar: (conditions.index(bar[0]), bar[1])
    )
    splits = sorted(errors["split"].unique(), key=lambda split: (split not in TRAINED, split != "train", split))
    with style(plotting):
        of_kind = dict(zip(kinds, ["0.8", *sns.color_palette(plotting["palette"])], strict=False))
        marks = [Patch(color=of_kind[kind], label=KINDS[kind]) for kind in kinds]
        height = 0.8 + BAR * len(bars)
        figure, axes = panels(len(splits), marks, plotting | {"panel_height": height}, len(splits), sharey=True)
        for ax, split in zip(axes, splits, strict=True):
            part = shares.xs(split, level="split").reindex(pd.MultiIndex.from_tuples(bars))
            left = np.zeros(len(bars))
            for kind in kinds:
                ax.barh(range(len(bars)), part[kind], left=left, height=0.8, color=of_kind[kind], linewidth=0)
                left = left + part[kind].to_numpy()
            ax.set(title=split, xlabel="share of items", xlim=(0, 1))
        axes[0].set_yticks(range(len(bars)), [f"{name}, {group}" for name, group in bars])
        axes[0].set_ylim(len(bars) - 0.4, -0.6)
    return figure


def parameters_figure(parameters: pd.DataFrame, conditions: Sequence[str], plotting: dict) -> Figure:
    """Exact match of trained facts against all parameters, and against those that a token uses; a colour an arm.

    Parameters
    ----------
    parameters : rows of ``memory_layer_parameters``
    conditions : those drawn
    plotting : the configuration's ``style`` and ``memory_layer.figures.parameters``
    """
    drawn = parameters[parameters["condition"].isin(conditions)]
    arms = list(dict.fromkeys(drawn.set_index("condition").loc[list(conditions), "arm"]))
    looks = {
        arm: {"color": colour, "marker": MARKERS[place % len(MARKERS)]}
        for place, (arm, colour) in enumerate(colours(arms, plotting).items())
    }
    with style(plotting):
        marks = [Line2D([], [], ls="", **look, label=arm) for arm, look in looks.items()]
        figure, axes = panels(2, marks, plotting, sharey=True)
        for ax, size in zip(axes, ("total", "active"), strict=True):
            for (arm, _), part in drawn.groupby(["arm", "condition"]):
                ax.scatter(part[size], part["exact"], s=10, alpha=0.5, linewidths=0, **looks[arm])
                ax.plot(part[size].mean(), part["exact"].mean(), markersize=6, **looks[arm])
            wide = drawn[size].max() > 30 * drawn[size].min()
            ax.set_xscale("log")
            ax.set_xlim(drawn[size].min() / 1.5, drawn[size].max() * 1.5)
            ax.xaxis.set(major_locator=LogLocator(10, (1,) if wide else (1, 2, 5)), minor_locator=NullLocator())
            ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes[0].set(xlabel="all parameters", ylabel="exact match at the end,\nshare of trained facts")
        axes[1].set_xlabel("parameters that a token uses")
        axes[0].set_ylim(-0.03, 1.03)
    return figure


def _line_styles() -> list[Artist]:
    looks = {"trained": "-", "never trained": "--"}
    return [Line2D([], [], color="0.3", linestyle=each, linewidth=1.6, label=name) for name, each in looks.items()]


def _with_held_out(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of what is trained first, and of what is never trained, marked."""
    return table[table["split"] != "new"].assign(held_out=lambda rows: ~rows["split"].isin(TRAINED))


def _parts(table: pd.DataFrame, conditions: Sequence[str], plotting: dict) -> Iterator[tuple[pd.DataFrame, dict]]:
    """The rows of each condition, trained and never trained, and the look of their line."""
    for name, colour in colours(conditions, plotting).items():
        for held_out, linestyle in ((False, "-"), (True, "--")):
            part = table[(table["condition"] == name) & (table["held_out"] == held_out)]
            if len(part):
                yield part, {"color": colour, "linestyle": linestyle, "label": f"{name}{' never' * held_out}"}
