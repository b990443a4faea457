"""How prompts are trained, as figures: by step, and by number of examples of a task."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from memorization.plotting import CHANCE, style
from memorization.prompt_capacity.figures.shared import Look, layout_looks, levels, line, mark, marks_of, named, panels

STYLES = ("-", "--", ":", "-.", (0, (4, 1, 1, 1, 1, 1)))  # of budgets
NO_PROMPT = CHANCE | {"linewidth": 1.2}
OF_STEPS = {
    "loss": "loss\n(nats per token)",
    "norm": "norm of a vector of P",
    "angle": "angle to its first value\n(degrees)",
}
OF_SAMPLES = {
    "exact": "right answers\n(share of test questions)",
    "complies": "answers in the format\n(share of test questions)",
}


def dynamics_figure(cells: Sequence[Mapping[str, np.ndarray]], settings: Mapping, plotting: Mapping) -> Figure:
    """Loss, norm and angle of the first model's longest prompts by step: a row a measure, a column a length of texts.

    Parameters
    ----------
    cells : of ``measuring.described``, of one length of prompts; those of one length of the text are its seeds
    settings : ``conditions``, ``layouts`` and ``asked`` in their order
    plotting : the configuration's ``style`` and ``prompt_capacity.figures.dynamics``
    """
    table = _by_step(cells)
    lengths, looks = sorted(set(table["length"])), layout_looks(table["layout"], settings, plotting)
    with style(plotting):
        figure, axes = panels(len(OF_STEPS), len(lengths), marks_of(looks), plotting, sharex=True, sharey="row")
        for column, length in zip(axes.T, lengths, strict=True):
            column[0].set_title(f"{length} tokens")
            column[-1].set_xlabel("step")
            for ax, measure in zip(column, OF_STEPS, strict=True):
                for layout, look in looks.items():
                    rows = table[(table["length"] == length) & (table["layout"] == layout)]
                    line(ax, rows, "step", measure, look, of_all=True, band=False)
        axes[0, 0].set_yscale("log")
        axes[0, 0].yaxis.set(
            major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}", minor_formatter=NullFormatter()
        )
        axes[0, 0].set_xscale("symlog", linthresh=1, linscale=0.4)
        axes[0, 0].xaxis.set_major_formatter("{x:g}")
        axes[0, 0].set_xlim(-0.1, 1.3 * table["step"].max() + 0.1)
        for ax, label in zip(axes[:, 0], OF_STEPS.values(), strict=True):
            ax.set_ylabel(label)
        axes[-1, 0].set_ylim(bottom=0)
        named(figure, f"{settings['conditions'][0]}, k = {int(cells[0]['prompt_length'])}")
    return figure


def _by_step(cells: Sequence[Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """A row a cell, recorded step and prompt on text; vectors of a prompt are averaged."""
    tables, seeds = [], {}
    for cell in cells:
        length, steps = int(cell["length"]), cell["step"]
        seeds[length] = seeds.get(length, -1) + 1  # cells come in the order of seeds
        text = cell["kind"] == "text"
        angle = np.degrees(np.arccos(np.clip(cell["cosine"].astype(float), -1, 1)))
        of_prompts = {
            "loss": cell["losses"][steps][:, text],
            "norm": cell["norm"].mean(axis=2)[:, text],
            "angle": angle.mean(axis=2)[:, text],
        }
        columns = {name: values.ravel() for name, values in of_prompts.items()}
        columns |= {"step": np.repeat(steps, text.sum()), "layout": np.tile(cell["layout"][text], len(steps))}
        tables.append(pd.DataFrame(columns | {"length": length, "seed": seeds[length]}))
    return pd.concat(tables, ignore_index=True)


def samples_figure(generalization: pd.DataFrame, settings: Mapping, plotting: Mapping) -> Figure:
    """Right answers, and answers in the format, by number of examples: a row a model with a task.

    Parameters
    ----------
    generalization : all rows
    settings, plotting : as in ``dynamics_figure``
    """
    table = generalization.assign(spent=generalization["updates"].where(generalization["budget"] == "updates", 0))
    trained = table[table["layout"] != "none"]
    models = [name for name in settings["conditions"] if name in set(trained["condition"])]
    looks = layout_looks(trained["layout"], settings, plotting)
    budgets = dict(zip(sorted(set(trained["spent"])), STYLES * len(trained), strict=False))
    marks = marks_of(looks)
    marks += [mark(f"{n} updates" if n else "fixed epochs", "black", linestyle=of) for n, of in budgets.items()]
    marks.append(mark("without P", **NO_PROMPT))
    with style(plotting):
        figure, axes = panels(len(models), len(OF_SAMPLES), marks, plotting, sharex=True, sharey="col")
        for row, model in zip(axes, models, strict=True):
            for ax, (measure, label) in zip(row, OF_SAMPLES.items(), strict=True):
                _over_samples(ax, table[table["condition"] == model], measure, looks, budgets)
                ax.set_ylabel(label)
                ax.set_title(model)
        for ax in axes[-1]:
            ax.set_xlabel("training examples")
        for ax, measure in zip(axes[0], OF_SAMPLES, strict=True):
            most = table[measure].max()
            ax.set_ylim(-0.04 * (top := 1.0 if most > 0.8 else max(1.2 * most, 0.1)), 1.04 * top)
        levels(axes[0, 0], trained["training_samples"], base=10)
    return figure


def _over_samples(ax: Axes, table: pd.DataFrame, measure: str, looks: Mapping[str, Look], budgets: Mapping) -> None:
    for layout, look in looks.items():
        for budget, linestyle in budgets.items():
            rows = table[(table["layout"] == layout) & (table["spent"] == budget)]
            if len(rows):
                line(ax, rows, "training_samples", measure, look, linestyle=linestyle, band=not budget)
    ax.axhline(table.loc[table["layout"] == "none", measure].mean(), **NO_PROMPT)
