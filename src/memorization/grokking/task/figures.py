"""Figures of training: accuracies, and what perturbations change."""

from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation
from scipy.stats import gmean

from memorization.grokking.task.equations import first_crossing
from memorization.plotting import (
    CHANCE,
    grid,
    legend_columns,
    legend_height,
    log_bins,
    of_all_seeds,
    over_seeds_lines,
    style,
)

SPLITS = {"train": "training", "val": "validation"}
CROSSINGS = {  # marks of the first step with 99% right; the second fits into the first
    "train": {"marker": "o", "markersize": 5.5, "markerfacecolor": "white", "markeredgewidth": 1.2},
    "val": {"marker": "o", "markersize": 4, "markeredgewidth": 0},
}
DRIFTS = {  # columns of ``grokking_perturbation``, titles, labels
    "weight_distance": ("weights", "distance ‖w′ − w‖ / ‖w‖"),
    "rms_change": ("readings of the probe", "RMS change\n(unit of the readings)"),
    "fingerprint_distance": ("quantiles of the readings", "RMS change\n(unit of the readings)"),
}
GENERALIZED = {"marker": "o", "markersize": 4.5, "markeredgewidth": 0}
NOT_GENERALIZED = {"marker": ">", "markersize": 6, "markerfacecolor": "white"}


def accuracy_figure(history: pd.DataFrame, *, conditions: list[str], plotting: dict) -> Figure:
    """Accuracy on training and validation equations against steps, a panel a condition, one above the other.

    Thin lines are seeds, thick lines their mean as far as all seeds go, bands their range. Above them stands a row a
    seed: from the first step with 99% of the training equations right to that with 99% of the validation equations.

    Parameters
    ----------
    history : rows of ``grokking_history``
    conditions : of the panels, from top to bottom
    plotting : the configuration's ``style`` and ``grokking_accuracy``
    """
    colours = dict(zip(SPLITS, sns.color_palette(plotting["palette"], len(SPLITS)), strict=True))
    crossings = {run: _crossings(rows) for run, rows in history.groupby(["condition", "seed"])}
    with style(plotting):
        figure = grid(len(conditions), 1, wide(plotting), legend_height=0.5)
        axes = figure.subplots(len(conditions), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
        for ax, condition in zip(axes, conditions, strict=True):
            part = history[history["condition"] == condition]
            for split, colour in colours.items():
                over_seeds_lines(ax, part, "step", f"accuracy_{split}", colour, of_all=True)
            ax.axhline(part["chance"].iloc[0], **CHANCE)
            rows = [(steps, colours) for (name, _), steps in crossings.items() if name == condition]
            mark_crossings(ax, condition, rows)
            ax.set(ylabel="accuracy", yticks=np.linspace(0, 1, 5))
        axes[-1].set(xlabel="optimizer step", xlim=plotting["step"], ylim=(-0.02, 1.02))
        handles = [Line2D([], [], color=colours[split], linewidth=1.6, label=name) for split, name in SPLITS.items()]
        handles += crossing_handles(crossings.values())
        handles.append(Line2D([], [], **CHANCE, label="chance, 1/p"))
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def wide(plotting: dict) -> dict:
    """The configured sizes for panels that stand one above the other: three panels wide, and lower."""
    return plotting | {"panel_width": 3 * plotting["panel_width"], "panel_height": 0.75 * plotting["panel_height"]}


def mark_crossings(ax: Axes, title: str, rows: Sequence[tuple[dict, dict]]) -> None:
    """A panel's title, and below it a row of marks a run, joined by a line: the first steps with 99% right.

    Parameters
    ----------
    rows : of each run, from the top, the steps that it has and the colours, both by split
    """
    above = 5  # points
    for steps, colours in reversed([row for row in rows if row[0]]):
        move = ScaledTranslation(0, above / 72, ax.get_figure(root=True).dpi_scale_trans)
        look = {"transform": ax.get_xaxis_transform() + move, "clip_on": False}
        ax.plot(list(steps.values()), [1] * len(steps), color="0.6", linewidth=0.8, **look)
        for split, step in steps.items():
            ax.plot(step, 1, color=colours[split], linestyle="", **CROSSINGS[split], **look)
        above += 7.5
    ax.set_title(title, loc="left", pad=above + 1)


def crossing_handles(runs: Sequence[dict]) -> list[Line2D]:
    """The legend of these marks, of the splits that one of the runs has a step of."""
    handles = []
    for split, name in SPLITS.items():
        if any(split in steps for steps in runs):
            look = CROSSINGS[split] | {"color": "black", "linestyle": ""}
            handles.append(Line2D([], [], label=f"first 99% of {name} right", **look))
    return handles


def _crossings(run: pd.DataFrame) -> dict[str, int]:
    steps = {split: first_crossing(run["step"].to_numpy(), run[f"accuracy_{split}"].to_numpy()) for split in SPLITS}
    return {split: step for split, step in steps.items() if step is not None}


def perturbation_figure(table: pd.DataFrame, *, conditions: list[str], plotting: dict) -> Figure:
    """How far trainings from perturbed weights drift from their references, and what it does to generalizing.

    Two rows of panels a condition: weights, readings, quantiles; growth, steps to 99% of validation. Thin lines are
    seeds, thick lines their mean, a geometric one but for growth.

    Parameters
    ----------
    table : rows of ``grokking_perturbation``
    conditions : in their order; those that were not perturbed have no panels
    plotting : the configuration's ``style`` and ``grokking_perturbation``
    """
    conditions = [name for name in conditions if (table["condition"] == name).any()]
    names = list(dict.fromkeys(table["perturbation"]))
    colours = dict(zip(names, matplotlib.colormaps[plotting["palette"]](np.linspace(0, 0.8, len(names))), strict=True))
    handles = [Line2D([], [], color=colours[name], linewidth=1.6, label=name) for name in names]
    if table[["generalized_step", "reference_generalized_step"]].isna().any(axis=None):
        handles.append(Line2D([], [], color="black", linestyle="", label="99% not reached by then", **NOT_GENERALIZED))
    with style(plotting):
        columns = legend_columns(handles, plotting, 3)
        figure = grid(2 * len(conditions), 3, plotting, legend_height(handles, columns))
        for part, condition in zip(figure.subfigures(len(conditions), squeeze=False)[:, 0], conditions, strict=True):
            _perturbed(part, table[table["condition"] == condition], colours)
            part.suptitle(condition, x=0.01, ha="left", fontsize=plotting["font_size"] + 2)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def _perturbed(figure: SubFigure, table: pd.DataFrame, colours: dict) -> None:
    """The panels of a condition."""
    panels = figure.add_gridspec(2, 3)
    for place, (value, (title, label)) in enumerate(DRIFTS.items()):
        ax = figure.add_subplot(panels[0, place])
        moved = _by_decade(table[(table["step"] > 0) & (table[value] > 0)], value)
        for name, colour in colours.items():
            _seeds_and_mean(ax, moved[moved["perturbation"] == name], value, colour, gmean)
        scale = "linear" if moved.empty else "log"
        ax.set(xscale=scale, yscale=scale, title=title, xlabel="optimizer step", ylabel=label)
    growth, generalized = figure.add_subplot(panels[1, 0]), figure.add_subplot(panels[1, 1:])
    rates = table[table["growth_rate"].notna()].assign(rate=lambda rows: 1000 * rows["growth_rate"])
    for name, colour in colours.items():
        _seeds_and_mean(growth, rates[rates["perturbation"] == name], "rate", colour, np.mean)
    growth.axhline(0, **CHANCE)
    growth.set(title="growth of the change", xlabel="optimizer step", ylabel="rate for the readings\n(per 1000 steps)")
    _generalized(generalized, table, colours)


def _by_decade(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Geometric means over intervals of steps, 20 a decade: on a log axis later steps would cover each other."""
    return (
        table.assign(step=log_bins(table["step"], 20))
        .groupby(["perturbation", "seed", "step"], as_index=False)[value]
        .agg(gmean)
    )


def _seeds_and_mean(ax: Axes, table: pd.DataFrame, value: str, colour, mean: Callable) -> None:
    """A thin line a seed, a thick one for their mean as far as all seeds go."""
    for _, seed in table.groupby("seed"):
        ax.plot(seed["step"], seed[value], color=colour, alpha=0.4, linewidth=0.6)
    middle = of_all_seeds(table, "step").groupby("step")[value].agg(mean)
    ax.plot(middle.index, middle, color=colour, linewidth=1.6)


def _generalized(ax: Axes, table: pd.DataFrame, colours: dict) -> None:
    """When each seed generalized, unperturbed and perturbed, a row each; a thin line joins what is of one seed."""
    columns = {"generalized_step": "perturbed", "reference_generalized_step": "unperturbed"}
    runs = table.rename(columns=columns).groupby(["perturbation", "seed"], as_index=False)
    runs = runs.agg({"step": "max", "perturbed": "first", "unperturbed": "first"})
    seeds = sorted(runs["seed"].unique())
    shifts = dict(zip(seeds, np.linspace(-0.24, 0.24, len(seeds)) if len(seeds) > 1 else [0], strict=True))
    rows = [("black", runs.sort_values("step").drop_duplicates("seed", keep="last"), "unperturbed")]
    rows += [(colour, runs[runs["perturbation"] == name], "perturbed") for name, colour in colours.items()]
    for seed, shift in shifts.items():
        path = []
        for place, (colour, own, value) in enumerate(rows):
            for _, run in own[own["seed"] == seed].iterrows():
                missed = pd.isna(run[value])
                path.append((run["step"] if missed else run[value], place + shift))
                ax.plot(*path[-1], linestyle="", color=colour, **(NOT_GENERALIZED if missed else GENERALIZED))
        ax.plot(*zip(*path, strict=True), color="0.7", linewidth=0.6, zorder=1)
    ax.set_yticks(range(len(rows)), ["unperturbed", *colours])
    ax.margins(x=0.1)
    ax.set(ylim=(len(rows) - 0.5, -0.5), title="generalizing, by seed")
    ax.set_xlabel("first step with 99% of validation right")
