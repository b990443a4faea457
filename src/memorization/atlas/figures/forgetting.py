"""What is left of old items once new ones have been trained, by family and by what was trained."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memorization.plotting import CHANCE, grid, legend_height, style

ROW = 0.24  # inches


def forgetting_figure(summary: pd.DataFrame, plotting: dict) -> Figure:
    """Recall of old and of new items at the end, above chance, a row a condition that is trained on new items.

    Parameters
    ----------
    summary : of ``summary.summary_table``
    plotting : ``style``, ``palette``: the colours of new and old items
    """
    switched = summary[summary["old_recall"].notna() & summary["new_recall"].notna()]
    rows = list(dict.fromkeys(zip(switched["family"], switched["condition"], strict=True)))
    new, old = sns.color_palette(plotting["palette"], 2)
    with style(plotting):
        handles = [
            Line2D([], [], color=old, marker="o", linestyle="", markersize=4, label="old items"),
            Line2D([], [], color=new, marker="D", linestyle="", markersize=4, fillstyle="none", label="new items"),
            Line2D([], [], **CHANCE, label="chance"),
        ]
        figure = grid(1, 2, plotting | {"panel_height": 0.7 + ROW * max(1, len(rows))}, legend_height(handles, 3))
        ax = figure.subplots()
        labels = []
        for place, (family, condition) in enumerate(rows):
            own = switched[(switched["family"] == family) & (switched["condition"] == condition)]
            share = (own["trainable"] / own["parameters"]).mean()
            labels.append(f"{family}: {condition} ({share:.0%} trainable)")
            for column, colour, marker, fill, shift in (
                ("old_recall", old, "o", "full", -0.12),
                ("new_recall", new, "D", "none", 0.12),
            ):
                y = np.full(len(own), place + shift)
                ax.plot(
                    own[column], y, color=colour, marker=marker, fillstyle=fill, markersize=3.5, linestyle="", alpha=0.8
                )
                ax.hlines(place + shift, own[column].min(), own[column].max(), color=colour, linewidth=0.8)
        ax.axvline(0, **CHANCE)
        ax.set_yticks(range(len(rows)), labels)
        ax.set_ylim(max(1, len(rows)) - 0.5, -0.5)
        ax.set(xlim=(-0.1, 1.05), xlabel="recall at the end, above chance\n(0: chance, 1: all)")
        ax.grid(axis="y", color="0.92", linewidth=0.6)
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure
