"""A cell: prompts of one length on texts of one length, trained in all layouts together and measured."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from memorization.prompt_capacity.frozen import FrozenModel
from memorization.prompt_capacity.layouts import layout_name
from memorization.prompt_capacity.measuring import described, memorization_table, survival_table, vectors_table
from memorization.prompt_capacity.memorizing import Cell, PromptLearner, memorize
from memorization.prompt_capacity.texts import Pool
from memorization.prompt_capacity.tuning import chosen
from memorization.training.checkpoints import Unfinished


class Found(NamedTuple):
    """``tables`` by name, the ``trajectory`` (``measuring.described``), and the best ``prompts`` (n, k, d_model)."""

    tables: dict[str, pd.DataFrame]
    trajectory: dict[str, np.ndarray]
    prompts: Tensor


def trained_cell(
    model: FrozenModel,
    pool: Pool,
    settings: Mapping,
    sizes: tuple[int, int],
    run: tuple[str, int, Sequence[pd.DataFrame]],
    unfinished: Unfinished,
    report_seconds: float,
) -> Found:
    """Train and measure a cell.

    Parameters
    ----------
    model : frozen
    pool : of the texts
    settings : of ``PromptCapacity.memorized``
    sizes : vectors of a prompt, tokens of a text
    run : condition, seed, and the table of learning rates, if there is one
    unfinished, report_seconds : as in ``training.fit.fit``
    """
    (k, length), (condition, seed, rates) = sizes, run
    layouts = tuple(settings["layouts"])
    of_layouts = chosen(list(rates), list(layouts), settings["learning_rates"])
    trials = pool.trials(settings, settings["longest"], seed).cut(length)
    count = settings["control_texts"]
    of_random = count if settings["random_trials"] else 0
    alone = dict(settings) | {"trials": count, "random_trials": of_random, "batch_size": 1}
    control = pool.trials(alone, settings["longest"], seed, "control").cut(length)
    learner = PromptLearner(model, Cell(trials, layouts, k), settings, of_layouts, seed)
    trained = memorize(learner, settings["steps"], settings["n_records"], unfinished, report_seconds)
    by_name = {layout_name(layout): rate for layout, rate in of_layouts.items()}
    about = {"condition": condition, "seed": seed, "learning_rates": by_name}
    table = memorization_table(learner, trained, control, about)
    survival = survival_table(learner, settings["quantization"], control, table)
    tables = {"memorization": table, "survival": survival, "vectors": vectors_table(learner, table)}
    return Found(tables, described(learner, trained), learner.best)
