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
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

from memorization.grokking.dynamics.spectra import FINGERPRINT, distance_matrix
from memorization.grokking.task.figures import CROSSINGS, SPLITS, crossing_handles, mark_crossings, wide
from memorization.plotting import CHANCE, grid, legend_columns, legend_height, style

DATA = {FINGERPRINT: "fingerprint", "phase_randomised": "phase-randomised", "white_noise": "white noise"}
CROSSED = {"memorized_step": "train", "generalized_step": "val"}  # columns of ``grokking_transitions``, their splits
MEASURE_LABELS = {"plain": "all modes alike", "weighted": "modes by amplitude"}
MARKS = {kind: {"marker": "o", "markersize": 3.5, "markeredgewidth": 0} for kind in DATA}
MARKS[FINGERPRINT] = {"marker": "o", "markersize": 4, "markerfacecolor": "none", "markeredgewidth": 0.8}
ON_CURVE = CROSSINGS["val"] | {"markeredgecolor": "black", "markeredgewidth": 0.8}
BLACK = dict.fromkeys(SPLITS, "black")
CASING = [withStroke(linewidth=1.8, foreground="white")]
GUESS = CHANCE | {"color": "black", "zorder": 3, "path_effects": CASING}
ANGLE_TICKS, ANGLE_LABELS = (0, 0.01, 0.03, 0.1, 0.3, 1, np.pi), ("0", "0.01", "0.03", "0.1", "0.3", "1", "π")
MODULUS_TICKS = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1, 1.01, 1.02, 1.05, 1.1, 1.2, 1.5)


def fingerprint_figure(
    embedded: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    runs: pd.DataFrame,
    recorded: Sequence[str],
    reading: str,
    probe_split: str,
    plotting: dict,
) -> Figure:
    """Quantiles of the probe's readings against steps, a panel a run, one above the other.

    Parameters
    ----------
    embedded : of each run, what ``fingerprint.embed`` gives
    runs : rows of ``grokking_transitions`` of the first of them, in the same order
    recorded : the conditions of the others, which come from elsewhere
    reading, probe_split : what was read of the first, on which split
    plotting : the configuration's ``style`` and ``grokking_fingerprint``
    """
    labels = {
        "log_prob": "log-probability\nof the answer (nats)",
        "logits": "logit\nof the answer",
        "hidden": "norm of the\nhidden state",
    }
    with style(plotting):
        figure = grid(len(embedded), 1, wide(plotting), legend_height=0.5)
        axes = figure.subplots(len(embedded), 1, squeeze=False, sharex=True)[:, 0]
        for ax in axes[1 : len(runs)]:
            ax.sharey(axes[0])
        colormap = matplotlib.colormaps[plotting["palette"]]
        levels = embedded[0][1]
        norm = Normalize(levels[0], levels[-1])
        rows = [*(run for _, run in runs.iterrows()), *(pd.Series({"condition": name, "seed": 0}) for name in recorded)]
        for ax, (steps, _, snapshots), run in zip(axes, embedded, rows, strict=True):
            for level, course in zip(levels, snapshots.T, strict=True):
                ax.plot(steps, course, color=colormap(0.95 * norm(level)), linewidth=0.6, rasterized=True)
            if reading == "log_prob" and "chance" in run:
                ax.axhline(np.log(run["chance"]), **GUESS)
            crossings = _crossings(run)
            for step in crossings.values():
                ax.axvline(step, color="black", linewidth=0.8, path_effects=CASING)
            mark_crossings(ax, f"{run['condition']}, seed {run['seed']}", [(crossings, BLACK)])
            ax.set_ylabel(labels[reading] if "chance" in run else "reading")
        axes[-1].set(xlabel="optimizer step", xlim=(0, None))
        label = "quantile of the readings" if recorded else f"quantile over the {SPLITS[probe_split]} probe"
        figure.colorbar(ScalarMappable(norm, colormap), ax=list(axes), label=label, pad=0.01, aspect=50)
        handles = crossing_handles([_crossings(run) for run in rows])
        if reading == "log_prob":
            handles.append(Line2D([], [], **GUESS, label="a guess, −ln p"))
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def spectrum_figure(spectra: pd.DataFrame, *, conditions: list[str], plotting: dict) -> Figure:
    """Eigenvalues in the upper half plane and by angle and modulus, moduli in order; a column a condition.

    Parameters
    ----------
    spectra : rows of ``grokking_spectra``
    conditions : of the columns
    plotting : the configuration's ``style`` and ``grokking_spectrum``
    """
    upper = spectra[spectra["imag"] >= 0]
    upper = upper.assign(angle=np.arctan2(upper["imag"], upper["real"]))
    with style(plotting):
        figure = grid(3, len(conditions), plotting, legend_height=0.3)
        rows = figure.subplots(3, len(conditions), squeeze=False, sharex="row", sharey="row", height_ratios=[0.7, 1, 1])
        colours = _colours(plotting)
        for (plane, polar, order), condition in zip(rows.T, conditions, strict=True):
            part = upper[upper["condition"] == condition]
            unit_circle(plane)
            _eigenvalues(plane, part, "real", "imag", colours, size=3)
            plane.set(aspect="equal", xlim=(-1.08, 1.08), ylim=(-0.04, 1.08), title=condition, xlabel="Re λ")
            polar.axhline(1, **CHANCE)
            _eigenvalues(polar, part, "angle", "modulus", colours, size=7)
            polar.set_xscale(**_around(0))
            polar.set_xticks(ANGLE_TICKS, ANGLE_LABELS)
            polar.set_xlabel("angle arg λ (radians per snapshot)")
            _moduli(order, spectra[spectra["condition"] == condition], colours)
            order.set_xlabel("mode, by |λ|")
            for ax in (polar, order):
                ax.set_yscale(**_around(1))
                ax.yaxis.set_major_locator(FixedLocator(MODULUS_TICKS))
                ax.yaxis.set_major_formatter("{x:g}")
        rows[0, 0].set_ylabel("Im λ ≥ 0")
        for ax in rows[1:, 0]:
            ax.set_ylim(*plotting["modulus"])
            ax.set_ylabel("modulus |λ|\n(stretched around 1)")
        handles = [
            Line2D([], [], color=colours[kind], linestyle="", label=label, **MARKS[kind])
            for kind, label in DATA.items()
        ]
        handles.append(Line2D([], [], **CHANCE, label="unit circle, |λ| = 1"))
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
        figure = grid(1, 3, plotting | {"panel_width": 1.15 * plotting["panel_width"]}, legend_height=0.7)
        axes = figure.subplots(1, 3)
        for ax, (measure, title) in zip(axes, MEASURE_LABELS.items(), strict=False):
            matrix, labels, _ = distance_matrix(own, conditions, measure)
            image = ax.imshow(np.ma.masked_where(np.eye(len(matrix), dtype=bool), matrix), cmap=plotting["palette"])
            for edge in np.flatnonzero(np.array(labels[1:]) != np.array(labels[:-1])) + 0.5:
                ax.axhline(edge, color="white", linewidth=1.6)
                ax.axvline(edge, color="white", linewidth=1.6)
            names = list(dict.fromkeys(labels))
            middles = [np.mean(np.flatnonzero(np.array(labels) == name)) for name in names]
            ax.set_xticks(middles, names)
            ax.set_yticks(middles, names, rotation=90, va="center")
            ax.tick_params(length=0)
            ax.set_facecolor("0.8")  # of the diagonal
            ax.set(title=title, xlabel="runs of a condition, by seed")
            figure.colorbar(image, ax=ax, label="Wasserstein distance", shrink=0.8)
        handles = _ratios(axes[2], tests[tests["conditions"] == " ".join(conditions)])
        figure.legend(handles=handles, loc="outside lower center")
    return figure


def residual_figure(
    residuals: pd.DataFrame, transitions: pd.DataFrame, *, conditions: list[str], plotting: dict
) -> Figure:
    """What Hankel-DMD leaves of a stretch of training, relative and absolute, against the stretch's last step.

    Parameters
    ----------
    residuals, transitions : rows of ``grokking_residuals`` and ``grokking_transitions``
    conditions : of the rows
    plotting : the configuration's ``style`` and ``grokking_residual``
    """
    columns = {"residual": "residual\n(share of norm)", "unexplained": "residual, RMS\n(unit of readings)"}
    look = wide(plotting) | {"panel_width": 1.5 * plotting["panel_width"]}
    with style(plotting):
        seeds = sorted(residuals["seed"].unique())
        colours = dict(zip(seeds, sns.color_palette(plotting["palette"], len(seeds)), strict=True))
        handles = [Line2D([], [], color=colours[seed], linewidth=1.6, label=f"seed {seed}") for seed in seeds]
        handles += crossing_handles([_crossings(run) for _, run in transitions.iterrows()])
        entries = legend_columns(handles, look, 2)
        figure = grid(len(conditions), 2, look, legend_height(handles, entries))
        axes = figure.subplots(len(conditions), 2, squeeze=False, sharex=True, sharey="col")
        for row, condition in zip(axes, conditions, strict=True):
            part = residuals[residuals["condition"] == condition]
            runs = transitions[transitions["condition"] == condition].sort_values("seed")
            for ax, (value, label) in zip(row, columns.items(), strict=True):
                crossings = {run["seed"]: _crossings(run) for _, run in runs.iterrows()}
                rows = [(steps, dict.fromkeys(SPLITS, colours[seed])) for seed, steps in crossings.items()]
                mark_crossings(ax, condition, rows)
                for seed, course in part.groupby("seed"):
                    ax.plot(course["step"], course[value], color=colours[seed], linewidth=0.8)
                    if step := crossings.get(seed, {}).get("val"):
                        ax.plot(step, np.interp(step, course["step"], course[value]), color=colours[seed], **ON_CURVE)
                ax.set(yscale="log", ylabel=label)
        for ax, value in zip(axes[-1], columns, strict=True):
            ax.set(xlabel="optimizer step", ylim=plotting[value])
        axes[-1, 0].set_xlim(0, None)
        figure.legend(handles=handles, loc="outside lower center", ncols=entries)
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


def _eigenvalues(ax: Axes, part: pd.DataFrame, x: str, y: str, colours: dict, size: float) -> None:
    for kind in reversed(DATA):
        own = part[part["data"] == kind]
        if kind == FINGERPRINT:
            look = {"s": 2 * size, "facecolors": "none", "edgecolors": colours[kind], "linewidths": 0.8}
        else:
            look = {"s": size, "color": colours[kind], "alpha": 0.35, "linewidths": 0}
        ax.scatter(own[x], own[y], rasterized=True, **look)


def _around(middle: float) -> dict:
    """A scale of an axis that is stretched around a value: what lies near it can be told apart."""
    unit = 0.01  # up to this far from it the scale is about linear, beyond it about logarithmic
    functions = (lambda x: np.arcsinh((x - middle) / unit), lambda x: middle + unit * np.sinh(x))
    return {"value": "function", "functions": functions}


def _moduli(ax: Axes, part: pd.DataFrame, colours: dict) -> None:
    """Moduli by mode: a line a seed's fingerprint; of surrogates the median and 5% to 95% of the draws."""
    ax.axhline(1, **CHANCE)
    for kind in reversed(DATA):
        own = part[part["data"] == kind]
        if kind == FINGERPRINT:
            for _, run in own.groupby("seed"):
                ax.plot(run["mode"] + 1, run["modulus"], color=colours[kind], linewidth=0.6, **MARKS[kind])
            continue
        spread = own.groupby("mode")["modulus"].quantile([0.05, 0.5, 0.95]).unstack()
        ax.fill_between(spread.index + 1, spread[0.05], spread[0.95], color=colours[kind], alpha=0.25, linewidth=0)
        ax.plot(spread.index + 1, spread[0.5], color=colours[kind], linewidth=1.4)
    ax.xaxis.get_major_locator().set_params(integer=True)


def _ratios(ax: Axes, tests: pd.DataFrame) -> list[Line2D]:
    """Across over within, of the fingerprints and of each draw of surrogates; handles with the fingerprints' p."""
    looks = {"plain": {"marker": "o", "facecolors": "0.2"}, "weighted": {"marker": "s", "facecolors": "none"}}
    handles = []
    for shift, (measure, look) in zip((-0.18, 0.18), looks.items(), strict=True):
        for place, kind in enumerate(DATA):
            own = tests[(tests["data"] == kind) & (tests["measure"] == measure)]
            spread = np.linspace(-0.12, 0.12, len(own)) if len(own) > 1 else np.zeros(len(own))
            size = 34 if kind == FINGERPRINT else 9
            ax.scatter(place + shift + spread, own["ratio"], s=size, edgecolors="0.2", linewidths=0.7, **look)
        label = f"{MEASURE_LABELS[measure]}: {_p_of_fingerprints(tests[tests['measure'] == measure])}"
        mark = {"marker": look["marker"], "markerfacecolor": look["facecolors"], "linestyle": ""}
        handles.append(Line2D([], [], color="0.2", label=label, **mark))
    ax.axhline(1, **CHANCE)
    ax.set(
        xlim=(-0.5, len(DATA) - 0.5),
        title="how far conditions are apart",
        ylabel="mean distance across conditions\nover that within",
        yscale="log",
    )
    ax.set_xticks(range(len(DATA)), [label.replace("-", "-\n").replace(" ", "\n") for label in DATA.values()])
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())
    ax.margins(y=0.15)
    return handles


def _p_of_fingerprints(tests: pd.DataFrame) -> str:
    told = []
    for _, test in tests[tests["data"] == FINGERPRINT].iterrows():
        for way, end in (("over all runs", ""), ("within seeds", "_within_seeds")):
            if not pd.isna(test[f"p{end}"]):
                p, least = test[f"p{end}"], test[f"smallest_p{end}"]
                told.append(f"p = {p:.2g} {way} (least possible {least:.2g})")
    return ", ".join(told) or "too few seeds for a test"


def _crossings(run: pd.Series) -> dict[str, float]:
    return {split: run[crossing] for crossing, split in CROSSED.items() if not pd.isna(run.get(crossing))}
