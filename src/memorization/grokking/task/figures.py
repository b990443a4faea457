"""Figures of training: accuracies, and what perturbations change."""

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memorization.plotting import (
    CHANCE,
    grid,
    of_all_seeds,
    over_seeds_lines,
    style,
)

SPLITS = {"train": "training", "val": "validation"}


def accuracy_figure(history: pd.DataFrame, *, conditions: list[str], plotting: dict) -> Figure:
    """Accuracy on training and validation equations against steps, a panel a condition.

    Thin lines are seeds, thick lines their mean as far as all seeds go, bands their range.

    Parameters
    ----------
    history : rows of ``grokking_history``
    conditions : of the panels, from left to right
    plotting : the configuration's ``style`` and ``grokking_accuracy``
    """
    with style(plotting):
        figure = grid(1, len(conditions), plotting, legend_height=0.3)
        axes = figure.subplots(1, len(conditions), squeeze=False, sharex=True, sharey=True)[0]
        colours = sns.color_palette(plotting["palette"], len(SPLITS))
        for ax, condition in zip(axes, conditions, strict=True):
            part = history[(history["condition"] == condition) & (history["step"] > 0)]
            for colour, split in zip(colours, SPLITS, strict=True):
                over_seeds_lines(ax, part, "step", f"accuracy_{split}", colour, of_all=True)
            ax.axhline(part["chance"].iloc[0], **CHANCE)
            ax.set(xscale="log", ylim=(-0.02, 1.02), title=condition, xlabel="optimizer step")
        axes[0].set(ylabel="accuracy")
        axes[0].set_xlim(*plotting["step"])
        handles = [
            Line2D([], [], color=colour, linewidth=1.6, label=label)
            for colour, label in zip(colours, SPLITS.values(), strict=True)
        ]
        handles.append(Line2D([], [], **CHANCE, label="chance, 1/p"))
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def perturbation_figure(table: pd.DataFrame, *, conditions: list[str], plotting: dict) -> Figure:
    """How far trainings from perturbed weights drift from their references, and what it does to generalizing.

    Two rows of panels a condition: weights, readings, quantiles; growth, steps to 99% of validation, legend. Thin
    lines are seeds, thick lines their geometric mean.

    Parameters
    ----------
    table : rows of ``grokking_perturbation``
    conditions : in their order; those that were not perturbed have no panels
    plotting : the configuration's ``style`` and ``grokking_perturbation``
    """
    conditions = [name for name in conditions if (table["condition"] == name).any()]
    names = list(dict.fromkeys(table["perturbation"]))
    colours = dict(zip(names, matplotlib.colormaps[plotting["palette"]](np.linspace(0, 0.85, len(names))), strict=True))
    courses = {
        "weight_distance": "distance of the weights,\n‖w′ − w‖ / ‖w‖",
        "rms_change": "change of the probe's readings\n(root mean square)",
        "fingerprint_distance": "change of their quantiles\n(root mean square)",
    }
    with style(plotting):
        figure = grid(2 * len(conditions), 3, plotting)
        panels = figure.subplots(2 * len(conditions), 3, squeeze=False)
        for n, condition in enumerate(conditions):
            part = table[table["condition"] == condition]
            for ax, (value, label) in zip(panels[2 * n], courses.items(), strict=True):
                for name in names:
                    _drift(ax, part[part["perturbation"] == name], value, colours[name])
                scale = "log" if ax.lines else "linear"  # where nothing moved there is nothing to scale
                ax.set(xscale=scale, yscale=scale, xlabel="optimizer step", ylabel=label)
            panels[2 * n, 1].set_title(condition)
            growth, reached, legend = panels[2 * n + 1]
            for name in names:
                own = part[(part["perturbation"] == name) & part["growth_rate"].notna()]
                for _, seed in own.groupby("seed"):
                    growth.plot(seed["step"], 1000 * seed["growth_rate"], color=colours[name], alpha=0.4, linewidth=0.6)
                mean = of_all_seeds(own, "step").groupby("step")["growth_rate"].mean()
                growth.plot(mean.index, 1000 * mean, color=colours[name], linewidth=1.6)
            growth.axhline(0, **CHANCE)
            growth.set(xlabel="optimizer step", ylabel="growth of the change\n(per 1000 steps)")
            _reached(reached, part, names, colours)
            legend.axis("off")
            handles = [Line2D([], [], color=colours[name], linewidth=1.6, label=name) for name in names]
            handles.append(Line2D([], [], color="black", marker="_", linestyle="", markersize=9, label="unperturbed"))
            legend.legend(handles=handles, loc="center left")
    return figure


def _drift(ax: Axes, part: pd.DataFrame, value: str, colour) -> None:
    part = part[(part["step"] > 0) & (part[value] > 0)]
    if part.empty:
        return
    for _, seed in part.groupby("seed"):
        ax.plot(seed["step"], seed[value], color=colour, alpha=0.4, linewidth=0.6)
    logs = of_all_seeds(part, "step").assign(log=lambda rows: np.log(rows[value]))
    mean = np.exp(logs.groupby("step")["log"].mean())
    ax.plot(mean.index, mean, color=colour, linewidth=1.6)


def _reached(ax: Axes, part: pd.DataFrame, names: list[str], colours: dict) -> None:
    """When each seed generalized, perturbed (points) and not (bars); those that did not within the run stand above."""
    last = part["step"].max()
    runs = part.drop_duplicates(["perturbation", "seed"])
    for place, name in enumerate(names):
        own = runs[runs["perturbation"] == name].sort_values("seed")
        x = place + np.linspace(-0.2, 0.2, len(own)) if len(own) > 1 else np.array([place])
        reached = own["generalized_step"].to_numpy()
        ax.plot(x, own["reference_generalized_step"], "_", color="black", markersize=9)
        ax.plot(x, reached, "o", color=colours[name], markersize=4)
        missed = np.isnan(reached)
        if missed.any():
            ax.plot(x[missed], np.full(missed.sum(), last), "^", color=colours[name], markersize=5, clip_on=False)
    ax.set(xticks=range(len(names)), xlim=(-0.5, len(names) - 0.5))
    ax.set_xticklabels(names, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_ylabel(f"step of 99% validation\n(▲: not by {last})")
