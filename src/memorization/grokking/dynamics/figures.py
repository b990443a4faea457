"""Figures of the dynamics: the fingerprint, its spectrum beside surrogates', distances between runs, residuals."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memorization.grokking.dynamics.spectra import FINGERPRINT, MEASURES, distance_matrix
from memorization.grokking.task.figures import SPLITS
from memorization.plotting import CHANCE, grid, legend_columns, legend_height, style

DATA = {FINGERPRINT: "fingerprint", "phase_randomised": "phase-randomised", "white_noise": "white noise"}
CROSSINGS = {  # marks of the first step at 99%
    "memorized_step": {"color": "0.45", "linestyle": ":", "linewidth": 0.9},
    "generalized_step": {"color": "0.45", "linestyle": "--", "linewidth": 0.9},
}
CROSSING_LABELS = {"memorized_step": "99% of training right", "generalized_step": "99% of validation right"}


def fingerprint_figure(
    embedded: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    runs: pd.DataFrame,
    reading: str,
    probe_split: str,
    plotting: dict,
) -> Figure:
    """Quantiles of the probe's readings against steps, a panel a run.

    Parameters
    ----------
    embedded : of each run, what ``fingerprint.embed`` gives
    runs : their rows of ``grokking_transitions``, in the same order
    reading, probe_split : what was read, on which split
    plotting : the configuration's ``style`` and ``grokking_fingerprint``
    """
    labels = {
        "log_prob": "log-probability of the\nanswer (nats)",
        "logits": "logit of\nthe answer",
        "hidden": "norm of the\nhidden state",
    }
    with style(plotting):
        figure = grid(1, len(embedded), plotting, legend_height=0.3)
        axes = figure.subplots(1, len(embedded), squeeze=False, sharex=True, sharey=True)[0]
        colormap = matplotlib.colormaps[plotting["palette"]]
        levels = embedded[0][1]
        norm = Normalize(levels[0], levels[-1])
        for ax, (steps, _, snapshots), (_, run) in zip(axes, embedded, runs.iterrows(), strict=True):
            for level, course in zip(levels, snapshots.T, strict=True):
                ax.plot(steps, course, color=colormap(0.95 * norm(level)), linewidth=0.6, rasterized=True)
            _mark_crossings(ax, run.to_frame().T)
            if reading == "log_prob":
                ax.axhline(np.log(run["chance"]), **CHANCE | {"zorder": 3, "color": "black"})
            ax.set(title=f"{run['condition']}, seed {run['seed']}", xlabel="optimizer step")
        axes[0].set_ylabel(f"{labels[reading]}, {SPLITS[probe_split]} probe")
        figure.colorbar(ScalarMappable(norm, colormap), ax=list(axes), label="quantile over the probe", pad=0.01)
        handles = _crossing_handles()
        if reading == "log_prob":
            handles.append(Line2D([], [], **CHANCE | {"color": "black"}, label="a guess, −ln p"))
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def spectrum_figure(spectra: pd.DataFrame, *, conditions: list[str], plotting: dict) -> Figure:
    """Eigenvalues in the upper half of the complex plane, and their moduli in order, a column a condition.

    Parameters
    ----------
    spectra : rows of ``grokking_spectra``
    conditions : of the columns
    plotting : the configuration's ``style`` and ``grokking_spectrum``
    """
    with style(plotting):
        figure = grid(2, len(conditions), plotting, legend_height=0.3)
        planes, orders = figure.subplots(2, len(conditions), squeeze=False, sharex="row", sharey="row")
        colours = _colours(plotting)
        for plane, order, condition in zip(planes, orders, conditions, strict=True):
            part = spectra[spectra["condition"] == condition]
            unit_circle(plane)
            for kind in reversed(DATA):
                own = part[(part["data"] == kind) & (part["imag"] >= 0)]
                size, alpha = (14, 0.9) if kind == FINGERPRINT else (4, 0.25)
                plane.scatter(
                    own["real"], own["imag"], s=size, alpha=alpha, color=colours[kind], linewidths=0, rasterized=True
                )
            _moduli(order, part, colours)
            plane.set(aspect="equal", xlim=(-1.08, 1.08), ylim=(-0.04, 1.08), title=condition, xlabel="Re λ")
            order.set(xlabel="mode, by |λ|")
        planes[0].set_ylabel("Im λ ≥ 0")
        orders[0].set_ylabel("modulus |λ|")
        orders[0].set_ylim(*plotting["modulus"])
        handles = [
            Line2D([], [], color=colours[kind], marker="o", markersize=4, linestyle="", label=label)
            for kind, label in DATA.items()
        ]
        handles.append(Line2D([], [], **CHANCE, label="unit circle"))
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def distances_figure(distances: pd.DataFrame, tests: pd.DataFrame, *, conditions: list[str], plotting: dict) -> Figure:
    """Distances between the spectra of all runs, and how much larger they are across conditions than within.

    Parameters
    ----------
    distances, tests : rows of ``grokking_distances`` and ``grokking_tests``
    conditions : in whose order the runs stand
    plotting : the configuration's ``style`` and ``grokking_distances``
    """
    own = distances[distances["data"] == FINGERPRINT]
    with style(plotting):
        figure = grid(1, 3, plotting | {"panel_width": 1.15 * plotting["panel_width"]}, legend_height=0.5)
        axes = figure.subplots(1, 3)
        for ax, measure in zip(axes, MEASURES, strict=False):
            matrix, labels, _ = distance_matrix(own, conditions, measure)
            image = ax.imshow(matrix, cmap=plotting["palette"])
            edges = np.flatnonzero(np.array(labels[1:]) != np.array(labels[:-1])) + 0.5
            for edge in edges:
                ax.axhline(edge, color="white", linewidth=1.2)
                ax.axvline(edge, color="white", linewidth=1.2)
            middles = [
                np.mean([n for n, label in enumerate(labels) if label == name]) for name in dict.fromkeys(labels)
            ]
            ax.set_xticks(middles, list(dict.fromkeys(labels)))
            ax.set_yticks(middles, list(dict.fromkeys(labels)), rotation=90, va="center")
            ax.tick_params(length=0)
            ax.set(
                title={"plain": "all modes alike", "weighted": "modes by amplitude"}[measure], xlabel="runs, by seed"
            )
            figure.colorbar(image, ax=ax, label="Wasserstein distance", shrink=0.8)
        _ratios(axes[2], tests, conditions)
    return figure


def residual_figure(
    residuals: pd.DataFrame, transitions: pd.DataFrame, *, conditions: list[str], plotting: dict
) -> Figure:
    """What Hankel-DMD leaves of a stretch of training, relative and absolute, against the stretch's last step.

    Parameters
    ----------
    residuals, transitions : rows of ``grokking_residuals`` and ``grokking_transitions``
    conditions : of the columns
    plotting : the configuration's ``style`` and ``grokking_residual``
    """
    rows = {
        "residual": "residual of Hankel-DMD\n(share of the norm)",
        "unexplained": "residual of Hankel-DMD\n(root mean square, unit\nof the readings)",
    }
    with style(plotting):
        seeds = sorted(residuals["seed"].unique())
        colours = dict(zip(seeds, sns.color_palette(plotting["palette"], len(seeds)), strict=True))
        handles = _crossing_handles()
        handles += [Line2D([], [], color=colours[seed], linewidth=1.6, label=f"seed {seed}") for seed in seeds]
        columns = legend_columns(handles, plotting, len(conditions))
        figure = grid(2, len(conditions), plotting, legend_height(handles, columns))
        axes = figure.subplots(2, len(conditions), squeeze=False, sharex=True, sharey="row")
        for column, condition in zip(axes.T, conditions, strict=True):
            part = residuals[residuals["condition"] == condition]
            for ax, value in zip(column, rows, strict=True):
                for seed, course in part.groupby("seed"):
                    ax.plot(course["step"], course[value], color=colours[seed], linewidth=0.9)
                    own = transitions[(transitions["condition"] == condition) & (transitions["seed"] == seed)]
                    _mark_crossings(ax, own, color=colours[seed])
                ax.set_yscale("log")
            column[0].set_title(condition)
            column[1].set_xlabel("optimizer step")
        for ax, (value, label) in zip(axes[:, 0], rows.items(), strict=True):
            ax.set_ylabel(label)
            ax.set_ylim(*plotting[value])
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def eigenvalues_figure(eigenvalues: np.ndarray, title: str, plotting: dict) -> Figure:
    """The eigenvalues of one run in the complex plane, with the unit circle.

    Parameters
    ----------
    eigenvalues : (m,) complex
    plotting : the configuration's ``style``
    """
    with style(plotting):
        figure = grid(1, 1, plotting | {"panel_height": plotting["panel_width"]})
        ax = figure.subplots()
        unit_circle(ax)
        ax.scatter(eigenvalues.real, eigenvalues.imag, s=14, color="black", linewidths=0)
        ax.set(aspect="equal", title=title, xlabel="Re λ", ylabel="Im λ")
    return figure


def unit_circle(ax: Axes) -> None:
    angle = np.linspace(0, 2 * np.pi, 361)
    ax.plot(np.cos(angle), np.sin(angle), **CHANCE)


def _colours(plotting: dict) -> dict[str, tuple]:
    first, second, third = sns.color_palette(plotting["palette"], 3)
    return {FINGERPRINT: "black", "phase_randomised": second, "white_noise": third if third != second else first}


def _moduli(ax: Axes, part: pd.DataFrame, colours: dict) -> None:
    """Moduli by mode: the fingerprint's of each seed as points; of surrogates the median and 5% to 95% of the draws."""
    ax.axhline(1, **CHANCE)
    for kind in reversed(DATA):
        own = part[part["data"] == kind]
        if kind == FINGERPRINT:
            ax.plot(
                own["mode"] + 1, own["modulus"], "o", color=colours[kind], markersize=3.5, markeredgewidth=0, alpha=0.8
            )
            continue
        spread = own.groupby("mode")["modulus"].quantile([0.05, 0.5, 0.95]).unstack()
        ax.fill_between(spread.index + 1, spread[0.05], spread[0.95], color=colours[kind], alpha=0.25, linewidth=0)
        ax.plot(spread.index + 1, spread[0.5], color=colours[kind], linewidth=1.4)
    ax.xaxis.get_major_locator().set_params(integer=True)


def _ratios(ax: Axes, tests: pd.DataFrame, conditions: list[str]) -> None:
    """Across over within, of the fingerprints and of each draw of surrogates, for both distances."""
    omnibus = tests[tests["conditions"] == " ".join(conditions)]
    looks = {"plain": {"marker": "o", "facecolors": "0.2"}, "weighted": {"marker": "s", "facecolors": "none"}}
    for place, kind in enumerate(DATA):
        for shift, (measure, look) in zip((-0.16, 0.16), looks.items(), strict=True):
            own = omnibus[(omnibus["data"] == kind) & (omnibus["measure"] == measure)]
            spread = np.linspace(-0.09, 0.09, len(own)) if len(own) > 1 else np.zeros(len(own))
            size = 28 if kind == FINGERPRINT else 9
            ax.scatter(place + shift + spread, own["ratio"], s=size, edgecolors="0.2", linewidths=0.7, **look)
            for _, test in own.iterrows() if kind == FINGERPRINT else ():
                ax.annotate(
                    f"{test['p']:.2g}; {test['p_within_seeds']:.2g}",
                    (place + shift, test["ratio"]),
                    (0, 6),
                    textcoords="offset points",
                    ha="center",
                )
    ax.axhline(1, **CHANCE)
    ax.set(
        xticks=range(len(DATA)),
        xlim=(-0.8, len(DATA) - 0.5),
        ylabel="distance across conditions\nover within",
        yscale="log",
    )
    ax.set_xticklabels(DATA.values(), rotation=20, ha="right", rotation_mode="anchor")
    ax.yaxis.set_major_formatter(matplotlib.ticker.ScalarFormatter())
    ax.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    ax.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 1.5, 2, 3, 5)))
    ax.margins(y=0.15)
    smallest = omnibus[["smallest_p", "smallest_p_within_seeds"]].min()
    ax.set_title("p over all runs; within seeds\n(at least {:.2g}; {:.2g})".format(*smallest))
    handles = [
        Line2D(
            [], [], marker=look["marker"], linestyle="", color="0.2", markerfacecolor=look["facecolors"], label=measure
        )
        for measure, look in looks.items()
    ]
    ax.legend(handles=handles, loc="upper right")


def _mark_crossings(ax: Axes, runs: pd.DataFrame, **look) -> None:
    for _, run in runs.iterrows():
        for crossing, line in CROSSINGS.items():
            if not pd.isna(run[crossing]):
                ax.axvline(run[crossing], **line | look)


def _crossing_handles() -> list[Line2D]:
    return [Line2D([], [], **line, label=CROSSING_LABELS[name]) for name, line in CROSSINGS.items()]
