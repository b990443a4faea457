"""Which learning rate each layout is trained at, chosen on texts of their own."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from memorization.prompt_capacity.frozen import FrozenModel
from memorization.prompt_capacity.layouts import layout_name, layout_of
from memorization.prompt_capacity.memorizing import Cell, PromptLearner
from memorization.prompt_capacity.texts import Pool


def rates_table(model: FrozenModel, pool: Pool, settings: Mapping, seed: int) -> pd.DataFrame:
    """A row a layout and learning rate: what the best iterates cost in the mean, and which rate is ``chosen``.

    Parameters
    ----------
    model : frozen
    pool : of the texts
    settings : of ``PromptCapacity.tuned``
    seed : of the run

    Returns
    -------
    ``layout``, ``learning_rate``, ``nll`` (nats a token, mean over prompts of their best iterates), ``chosen``.
    """
    wanted = settings["tuning"]
    drawn = dict(settings) | {"trials": wanted["trials"], "random_trials": 0}
    trials = pool.trials(drawn, wanted["length"], seed, "tuning")
    cell = Cell(trials, tuple(settings["layouts"]), wanted["prompt_length"])
    rows = []
    for rate in settings["learning_rates"]:
        learner = PromptLearner(model, cell, settings, dict.fromkeys(cell.layouts, rate), seed, "tuning")
        for n in range(1, wanted["steps"] + 1):
            learner.step(n)
        losses, layouts = learner.best_loss.cpu().numpy(), np.array([layout_name(each) for each in cell.layout_of])
        rows += [(layout_name(each), rate, losses[layouts == layout_name(each)].mean()) for each in cell.layouts]
    table = pd.DataFrame(rows, columns=["layout", "learning_rate", "nll"])
    return table.assign(chosen=table.index.isin(table.groupby("layout")["nll"].idxmin()))


def chosen(tables: list[pd.DataFrame], layouts: list[str | int], rates: list[float]) -> dict[str | int, float]:
    """The learning rate of each layout: the chosen one, or the only one, for which there is no table."""
    if not tables:
        return dict.fromkeys(layouts, rates[0])
    best = tables[0][tables[0]["chosen"]].set_index("layout")["learning_rate"]
    return {layout_of(name): float(rate) for name, rate in best.items() if layout_of(name) in layouts}
