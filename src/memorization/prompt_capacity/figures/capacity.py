"""What prompts hold, as figures: by length of the text, with fewer bits, by layout, by width."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memorization.plotting import over_seeds_points, style
from memorization.prompt_capacity.capacity import HALF, capacity_table, of_pair, of_shared_lengths, pairs_of
from memorization.prompt_capacity.figures.shared import (
    ZERO,
    Look,
    dodge,
    drawn,
    first_condition,
    layout_looks,
    levels,
    line,
    mark,
    marks_of,
    named,
    panels,
    shades,
    titled,
)

GREY = (0.45, 0.45, 0.45)  # of a legend whose shades stand for those of all hues
MEASURES = {
    "exact": "texts reproduced exactly\n(share)",
    "accuracy": "tokens right, the true ones\nbefore given (share)",
    "net_gain_bits": "net gain\n(bits a text)",
}
KEPT = {"kept": "gain kept\n(share of that at 32 bits)", "exact": "texts reproduced exactly\n(share)"}
WIDTHS = {
    "gain_bits": "largest net gain (bits a text)",
    "bits_per_dimension": "bits per dimension",
    "horizon": "horizon (tokens)",
}
SIGNIFICANT = 0.05
LEAST_KEPT = -1.0  # of an axis of shares of gain


def length_figure(memorization: pd.DataFrame, settings: Mapping, plotting: Mapping) -> Figure:
    """Recall and gain of the first model's prompts against the length of the text: a column a layout, a line a k.

    Parameters
    ----------
    memorization : all rows
    settings : ``conditions``, ``layouts`` and ``asked`` in their order
    plotting : the configuration's ``style`` and ``prompt_capacity.figures.length``
    """
    table = first_condition(memorization, settings)
    marks = marks_of(shades(table["prompt_length"], GREY))
    if (table["kind"] == "random").any():
        marks += [mark("text", "black"), mark("random tokens", "black", linestyle="--")]

    def cell(ax: Axes, rows: pd.DataFrame, measure: str, look: Look) -> None:
        text, random = rows[rows["kind"] == "text"], rows[rows["kind"] == "random"]
        if len(random):
            line(ax, random, "length", measure, look, linestyle="--", band=False, seeds=False)
        if len(text):
            line(ax, text, "length", measure, look)

    with style(plotting):
        figure, axes = _by_layout(table, MEASURES, cell, marks, settings, plotting)
        levels(axes[0, 0], table["length"])
        for ax in axes[-1]:
            ax.set_xlabel("tokens of the text")
    return figure


def survival_figure(survival: pd.DataFrame, settings: Mapping, plotting: Mapping) -> Figure:
    """What the first model's prompts still hold with fewer bits an entry: a column a layout, a line a k.

    Of each k it is the longest text of which most are exact with all bits; where there is none, the shortest.

    Parameters
    ----------
    survival : all rows
    settings, plotting : as in ``length_figure``
    """
    table = first_condition(survival, settings)
    table = table[table["kind"] == "text"]
    lengths = _mostly_exact(table[table["bits"] == 32])
    table = table[table["length"] == table["prompt_length"].map(lengths)]
    looks = shades(lengths, GREY)
    marks = marks_of({k: look._replace(label=f"{look.label}, {lengths[k]} tokens") for k, look in looks.items()})

    def cell(ax: Axes, rows: pd.DataFrame, measure: str, look: Look) -> None:
        line(ax, rows, "bits", measure, look, band=measure != "exact")  # shares of few trials are coarse

    with style(plotting):
        figure, axes = _by_layout(_kept(table), KEPT, cell, marks, settings, plotting)
        levels(axes[0, 0], table["bits"])
        axes[0, 0].invert_xaxis()
        low, high = axes[0, 0].get_ylim()
        axes[0, 0].set_ylim(max(low, LEAST_KEPT), max(high, 1.1))
        for ax in axes[0]:
            ax.axhline(1, **ZERO)
        for ax in axes[-1]:
            ax.set_xlabel("bits of an entry of P")
    return figure


def _by_layout(table: pd.DataFrame, measures: Mapping[str, str], cell, marks, settings: Mapping, plotting: Mapping):
    """A row of panels a measure, a column a layout, and in each what ``cell`` draws of each k."""
    layouts = drawn(table["layout"], settings, plotting)
    figure, axes = panels(len(measures), len(layouts), marks, plotting, sharex=True, sharey="row")
    for column, (layout, hue) in zip(axes.T, layouts.items(), strict=True):
        column[0].set_title(titled(layout))
        for ax, measure in zip(column, measures, strict=True):
            for k, look in shades(table["prompt_length"], hue).items():
                cell(ax, table[(table["layout"] == layout) & (table["prompt_length"] == k)], measure, look)
            ax.axhline(0, **ZERO)
    for ax, (measure, label) in zip(axes[:, 0], measures.items(), strict=True):
        ax.set_ylabel(label)
        if measure in ("exact", "accuracy"):
            ax.set_ylim(-0.04, 1.04)
    named(figure, settings["conditions"][0])
    return figure, axes


def _mostly_exact(table: pd.DataFrame) -> dict[int, int]:
    """Of each k the longest text of which at least half are exact, all layouts together, else the shortest."""
    found = {}
    for k, part in table.groupby("prompt_length"):
        shares = part.groupby("length")["exact"].mean()
        mostly = shares.index[shares >= 0.5]
        found[int(k)] = int(mostly.max() if len(mostly) else shares.index.min())
    return found


def _kept(table: pd.DataFrame) -> pd.DataFrame:
    """A row a seed, layout, k and number of bits: ``exact``, and ``kept``, the share of the gain at 32 bits."""
    prompts = ["seed", "layout", "prompt_length"]
    means = table.groupby([*prompts, "bits"])[["net_gain_bits", "exact"]].mean().reset_index()
    whole = means.loc[means["bits"] == 32, [*prompts, "net_gain_bits"]].rename(columns={"net_gain_bits": "whole"})
    means = means.merge(whole, on=prompts)
    return means.assign(kept=means["net_gain_bits"] / means["whole"].where(means["whole"] > 0))


def layout_figure(layouts: pd.DataFrame, settings: Mapping, plotting: Mapping) -> Figure:
    """How much dearer a token of the text is in one layout than in another, of the first model: a panel a pair.

    Parameters
    ----------
    layouts : all rows
    settings, plotting : as in ``length_figure``
    """
    table = first_condition(layouts, settings)
    table = table[(table["kind"] == "text") & (table["metric"] == "log_perplexity")]
    table = table[(table["converged"] <= HALF) | (table["converged"].min() > HALF)]
    looks = shades(table["prompt_length"], GREY)
    dot = {"linestyle": "", "color": "black", "marker": "o"}
    marks = [mark(look.label, **dot | {"color": look.color, "marker": look.marker}) for look in looks.values()]
    marks.append(mark(f"p ≤ {SIGNIFICANT:g}", **dot))
    marks.append(mark(f"p > {SIGNIFICANT:g}", **dot, markerfacecolor="white"))
    pairs = pairs_of([name for name in settings["layouts"] if name in {*table["layout"], *table["other"]}])
    with style(plotting):
        figure, axes = panels(1, max(len(pairs), 1), marks, plotting, sharey=True)
        for ax, (layout, other) in zip(axes[0], pairs, strict=False):
            ax.set_title(f"{layout} − {other}")
            of_layout = shades(table["prompt_length"], drawn([layout], settings, plotting)[layout])
            _differences(ax, of_pair(table, layout, other), of_layout)
            ax.set_xlabel("tokens of the text")
        _sides(axes[0], pairs)
        axes[0, 0].set_ylabel("difference of log perplexity\n(nats per token)")
        if not pairs:
            axes[0, 0].text(0.5, 0.5, "one layout:\nnothing to compare", transform=axes[0, 0].transAxes, ha="center")
        named(figure, settings["conditions"][0])
    return figure


def _differences(ax: Axes, rows: pd.DataFrame, looks: Mapping[int, Look]) -> None:
    lengths = sorted(set(rows["length"]))
    for number, (k, look) in enumerate(looks.items()):
        for row in rows[rows["prompt_length"] == k].itertuples():
            x = lengths.index(row.length) + dodge(number, len(looks))
            ax.vlines(x, row.low, row.high, color=look.color, linewidth=1.0)
            face = look.color if row.p <= SIGNIFICANT else "white"
            ax.plot(x, row.mean, marker=look.marker, color=look.color, markerfacecolor=face, markersize=4.5)
    ax.axhline(0, **ZERO)
    ax.set_xticks(range(len(lengths)), lengths)
    ax.set_xlim(-0.6, len(lengths) - 0.4)


def _sides(axes: np.ndarray, pairs: list) -> None:
    """Around 0 the same room on both sides, and in each corner which layout is the better one."""
    most = max((np.abs(ax.get_ylim()).max() for ax in axes), default=1)
    axes[0].set_ylim(-1.2 * most, 1.2 * most)
    for ax, (layout, other) in zip(axes, pairs, strict=False):
        for y, name in ((0.98, other), (0.02, layout)):
            words = {"transform": ax.transAxes, "ha": "left", "va": "top" if y > 0.5 else "bottom"}
            ax.text(0.02, y, f"{name} is better", **words, size="small", color="0.35")


def dimension_figure(
    memorization: pd.DataFrame, horizon: pd.DataFrame | None, settings: Mapping, plotting: Mapping
) -> Figure:
    """What prompts of one length hold in models of different width, on texts of the lengths that all of these have.

    The length of prompts is the one that most models have, the shortest of several. A measure that not all models have
    is left out.

    Parameters
    ----------
    memorization : all rows
    horizon : all rows of texts that grow, if there are any
    settings, plotting : as in ``length_figure``
    """
    k = memorization.groupby("prompt_length")["condition"].nunique().idxmax()
    mine = memorization[(memorization["prompt_length"] == k) & (memorization["kind"] == "text")]
    mine = of_shared_lengths(mine)
    table = capacity_table(mine, horizon)
    places = {name: n for n, name in enumerate(mine.sort_values(["d_model", "condition"])["condition"].unique())}
    looks = layout_looks(table["layout"], settings, plotting)
    measures = [name for name in WIDTHS if table.dropna(subset=name)["condition"].nunique() == len(places)]
    with style(plotting):
        figure, axes = panels(1, len(measures), [mark(name, look.color) for name, look in looks.items()], plotting)
        for ax, measure in zip(axes[0], measures, strict=True):
            for number, (layout, look) in enumerate(looks.items()):
                rows = table[(table["layout"] == layout) & table[measure].notna()]
                rows = rows.assign(x=rows["condition"].map(places).astype(float) + dodge(number, len(looks), 0.5))
                over_seeds_points(ax, rows, "x", measure, look.color)
                means = rows.groupby("x")[measure].mean()
                ax.plot(means.index, means, color=look.color, linewidth=0.9, alpha=0.6)
            ax.set(ylabel=WIDTHS[measure], ylim=(min(0, ax.get_ylim()[0]), None), xlim=(-0.6, len(places) - 0.4))
            _models(ax, table, places)
        tokens = ", ".join(map(str, sorted(set(mine["length"]))))
        named(figure, f"k = {k}, texts of {tokens} tokens")
    return figure


def _models(ax: Axes, table: pd.DataFrame, places: Mapping[str, int]) -> None:
    """An axis of models, each with its width."""
    widths = table.groupby("condition")["d_model"].first()
    turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if len(places) > 4 else {}
    ax.set_xticks(list(places.values()), [f"{widths[name]}\n{name}" for name in places], **turned)
    ax.set_xlabel("d_model, model")
