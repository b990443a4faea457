"""Figures of the stages besides the attack: documents whole, windows behind other text, nearly verbatim text."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memorization.extraction.figures.shared import lines_over, looks, marks_of, panels, parts, several
from memorization.plotting import FLOOR, style

LEAST = -20  # log10 of a probability; what is less is drawn as this
IN_A_COLUMN = 2  # panels of a map; more stand in two columns
NAME = 24  # characters of a document's name
ROW = 0.27  # inches of a document
PLANTED = {"color": "black", "linewidth": 1.2, "solid_capstyle": "butt"}


def map_figure(extraction_map: pd.DataFrame, settings: Mapping, plotting: dict) -> Figure:
    """How likely each part of whole documents is drawn after its prefix, a panel a model, a row a document.

    Parameters
    ----------
    extraction_map : rows of ``map``, of one seed of each model
    settings : ``conditions`` and ``architectures``, see ``figures.looks``; models without rows are left out
    plotting : the configuration's ``style`` and ``extraction.figures.map``
    """
    held = set(extraction_map["condition"])
    conditions = [name for name in settings["conditions"] if name in held]
    order = extraction_map.drop_duplicates("document").sort_values(["data_type", "document"])
    across = 1 if len(conditions) <= IN_A_COLUMN else 2
    width = plotting["panel_width"] * (1 + 1.6 / across)
    size = {"panel_height": 0.45 + ROW * len(order), "panel_width": width}
    scale = Normalize(LEAST, 0)
    with style(plotting):
        marks = [Line2D([], [], **PLANTED, label="around a planted window, with its copies in training")]
        down = -(-len(conditions) // across)
        figure, axes = panels(down, across, marks, plotting | size, sharex=True, sharey=True)
        for ax, name in zip(axes.ravel(), conditions, strict=False):
            of_document = dict(list(extraction_map[extraction_map["condition"] == name].groupby("document")))
            for place, document in enumerate(order["document"]):
                if document in of_document:
                    _strip(ax, of_document[document].sort_values("start"), place, scale, plotting["palette"])
            ax.tick_params(axis="y", length=0, labelsize="x-small")
            ax.set_title(name)
            ax.set_xlabel("token of the document at which the prefix begins")
            ax.label_outer()
        axes[0, 0].set_yticks(range(len(order)), _labels(order))
        axes[0, 0].set_ylim(len(order) - 0.4, -0.7)
        for ax in axes.ravel()[len(conditions) :]:
            ax.remove()
        colours, held_by = ScalarMappable(scale, plotting["palette"]), list(axes.ravel()[: len(conditions)])
        bar = figure.colorbar(colours, ax=held_by, shrink=0.9, aspect=40, pad=0.015, extend="min")
        bar.set_label("log₁₀ probability of drawing the suffix")
    return figure


def interference_figure(interference: pd.DataFrame, settings: Mapping, plotting: dict) -> Figure:
    """Share reproduced exactly, and tokens right in a row, against unrelated tokens before the window.

    Parameters
    ----------
    interference : rows of ``interference`` of all runs; of windows that were trained on, or whose copies are unknown
    settings : ``conditions`` and ``architectures``, see ``figures.looks``; models without rows are left out
    plotting : the configuration's ``style`` and ``extraction.figures.interference``
    """
    windows = interference[(interference["role"] != "control") & (interference["copies"] != 0)]
    by = ["condition", "seed", "distance"]
    rows = windows.assign(exact=windows["exact"].astype(float)).groupby(by, as_index=False)
    n, rows = rows.size()["size"], rows[["exact", "matched_run"]].mean()
    distances = sorted(rows["distance"].unique())
    rows = rows.assign(place=rows["distance"].map(distances.index))
    drawn = looks(settings, plotting, rows)
    labels = ("continued exactly,\nshare of windows", "tokens right in a row, mean")
    with style(plotting):
        figure, axes = panels(1, 2, marks_of(drawn), plotting)
        for ax, value, label in zip(axes[0], ("exact", "matched_run"), labels, strict=True):
            lines_over(ax, rows, "place", value, drawn)
            for look, part in parts(rows, drawn):
                means = part.groupby("place")[value].mean()
                ax.plot(means.index, means, ls="", marker=look.marker, markersize=4, color=look.color)
            ax.set_xticks(range(len(distances)), [f"{each:,}" for each in distances])
            ax.set_xlabel(f"unrelated tokens before the window\n(n = {several(n)} windows a seed)")
            ax.set_ylabel(label)
            ax.set_xlim(-0.3, len(distances) - 0.7)
            ax.set_ylim(bottom=0)
    return figure


def near_verbatim_figure(near_verbatim: pd.DataFrame, settings: Mapping, plotting: dict) -> Figure:
    """The probability of the true suffix beside that of all within one token of it; how much of this a bound counts.

    Parameters
    ----------
    near_verbatim : rows of ``near_verbatim`` of all runs; without ``mass`` where the vocabulary is too large for it
    settings : ``conditions`` and ``architectures``, see ``figures.looks``; models without rows are left out
    plotting : the configuration's ``style`` and ``extraction.figures.near_verbatim``
    """
    drawn = looks(settings, plotting, near_verbatim)
    counted = near_verbatim["mass"].notna()
    rows = near_verbatim.assign(
        verbatim=_log10(near_verbatim["p_z"]),
        near=_log10(near_verbatim["mass"].where(counted, near_verbatim["bound"])),
        seen=near_verbatim["bound"] / near_verbatim["mass"],
        counted=counted,
    )
    least = min(rows["verbatim"].min(), rows["near"].min()) - 0.5 if len(rows) else LEAST
    with style(plotting):
        marks = [
            Line2D([], [], color=look.color, marker=look.marker, ls="", markersize=4, label=look.label)
            for look in drawn.values()
        ]
        marks.append(Line2D([], [], **FLOOR, label="equal"))
        if not counted.all():
            marks.append(Line2D([], [], **_dot("0.35", "o", filled=False), ls="", label="lower bound of the mass"))
        figure, axes = panels(1, 1 + counted.any(), marks, plotting)
        near = axes[0, 0]
        for look, part in parts(rows, drawn):
            for filled, some in part.groupby("counted"):
                near.plot(some["verbatim"], some["near"], ls="", **_dot(look.color, look.marker, filled))
            if counted.any():
                axes[0, 1].plot(part["near"], part["seen"], ls="", **_dot(look.color, look.marker, True))
        near.plot([least, 0], [least, 0], **FLOOR)
        near.set(xlim=(least, 0.5), ylim=(least, 0.5))
        near.set_xlabel(f"log₁₀ probability of the true suffix\n(n = {several(_sizes(rows))} windows a seed)")
        near.set_ylabel("log₁₀ mass within one token")
        if counted.any():
            axes[0, 1].axhline(1, **FLOOR)
            axes[0, 1].set(xlim=(least, 0.5), ylim=(-0.03, 1.06), xlabel="log₁₀ mass within one token")
            axes[0, 1].set_ylabel("share of it that the\nlower bound counts")
    return figure


def _strip(ax: Axes, part: pd.DataFrame, place: int, scale: Normalize, palette: str) -> None:
    """A document as a row of colours, and a line over each stretch that overlaps a planted window."""
    starts, copies = part["start"].to_numpy(), part["copies"].to_numpy()
    stride = np.diff(starts).min() if len(starts) > 1 else 1
    edges = np.append(starts, starts[-1] + stride)
    values = np.maximum(part["log10_p_z"].to_numpy(float), LEAST)[None]
    ax.pcolormesh(edges, [place - 0.1, place + 0.4], values, norm=scale, cmap=palette, rasterized=True)
    for first, last in _stretches(copies):
        ax.plot([starts[first], starts[last] + stride], [place - 0.19] * 2, **PLANTED)
        middle = (starts[first] + starts[last] + stride) / 2
        ax.text(middle, place - 0.22, f"{copies[first]:g}", ha="center", va="bottom", size="xx-small")


def _stretches(copies: Sequence[int]) -> list[tuple[int, int]]:
    """First and last place of each stretch of one and the same number of copies but 0."""
    copies = np.asarray(copies)
    firsts = np.flatnonzero(np.diff(copies, prepend=copies[0] - 1))
    lasts = np.append(firsts[1:], len(copies)) - 1
    return [(first, last) for first, last in zip(firsts, lasts, strict=True) if copies[first] > 0]


def _labels(order: pd.DataFrame) -> list[str]:
    """Names of documents, of long ones the end, with their data type."""
    names = [name if len(name) <= NAME else f"…{name[-NAME:]}" for name in order["document"].astype(str)]
    return [f"{name} ({of})" for name, of in zip(names, order["data_type"], strict=True)]


def _log10(probability: pd.Series) -> pd.Series:
    return np.log10(probability.clip(lower=10.0**LEAST))


def _dot(color, marker: str, filled: bool) -> dict:
    look = {"color": color, "marker": marker, "markersize": 3.5, "markeredgewidth": 0.7}
    return look | ({"alpha": 0.7} if filled else {"fillstyle": "none"})


def _sizes(rows: pd.DataFrame) -> pd.Series:
    return rows.groupby(["condition", "seed"]).size()
