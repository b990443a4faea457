"""Texts that grow token by token as a prompt learns them: how far does it get."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from memorization.prompt_capacity.frozen import FrozenModel
from memorization.prompt_capacity.layouts import layout_name
from memorization.prompt_capacity.measuring import LN2, kinds_of, token_scores
from memorization.prompt_capacity.memorizing import Cell, PromptLearner
from memorization.prompt_capacity.prompting import Inputs
from memorization.prompt_capacity.texts import Pool
from memorization.prompt_capacity.tuning import chosen
from memorization.training.checkpoints import Unfinished
from memorization.training.fit import Recorder, fit


class GrowingLearner(PromptLearner):
    """As ``PromptLearner``, of texts that begin with one token and grow by one whenever all of them is right.

    The prompt goes on from where it stands. A trial ends at the whole length, or after ``patience`` steps without
    growth. Its best iterate is that of its longest text.

    Parameters
    ----------
    model, cell, rates, seed : as of ``PromptLearner``
    settings : besides, ``patience``

    Attributes
    ----------
    horizon : (n_prompts,), tokens of the longest text that was right as a whole
    cost : (n_prompts,), what it costs with the prompt, in nats
    """

    kept = (*PromptLearner.kept, "grown", "horizon", "cost", "since")

    def __init__(self, model: FrozenModel, cell: Cell, settings: Mapping, rates: Mapping, seed: int):
        super().__init__(model, cell, settings, rates, seed, "growing")
        self.whole = int(self.inputs.scored[0].sum())
        self.grown = torch.ones_like(self.loss)  # tokens that are trained now
        self.horizon, self.cost, self.since = (torch.zeros_like(self.loss) for _ in range(3))
        self._n, self._exact = 0, torch.zeros_like(self.loss, dtype=torch.bool)

    def step(self, n: int) -> Tensor:
        self._n = n
        return super().step(n)

    def _wanted(self, inputs: Inputs, active: Sequence[int]) -> Inputs:
        grown = self.grown[list(active)][inputs.owner]
        scored = inputs.scored & (inputs.scored.cumsum(dim=1) <= grown[:, None])
        columns = int(scored.any(dim=0).nonzero()[-1]) + 1
        return replace(inputs, tokens=inputs.tokens[:, :columns], scored=scored[:, :columns])

    def _note(self, inputs: Inputs, nll: Tensor, right: Tensor, active: Sequence[int]) -> None:
        of = inputs.owner.repeat_interleave(inputs.scored.sum(dim=1))
        zeros = torch.zeros(len(active), device=self.model.device)
        exact, cost = zeros.index_add(0, of, (~right).float()) == 0, zeros.index_add(0, of, nll)
        self._exact[list(active)] = False
        prompts = torch.tensor(list(active), device=self.model.device)[exact]
        self._exact[prompts] = True
        self.horizon[prompts], self.cost[prompts] = self.grown[prompts], cost[exact]
        self.since[prompts] = float(self._n)
        self.grown[prompts] = (self.grown[prompts] + 1).clamp(max=self.whole)

    def _better(self, wanted: Tensor) -> Tensor:
        return wanted[self._exact[wanted]]

    def _ended(self, n: int, wanted: Tensor) -> Tensor:
        stalled = n - self.since[wanted] >= self.settings["patience"]
        return stalled | (self.horizon[wanted] == self.whole)


def grow(learner: GrowingLearner, steps: int, unfinished: Unfinished, report_seconds: float) -> dict[str, np.ndarray]:
    """Train until no trial grows any more, or the budget is spent.

    Returns
    -------
    ``horizon`` (iterates, n_prompts), tokens that have been right so far.
    """
    recorder = Recorder(horizon=((learner.n_prompts,), np.int64))

    def record(step: int) -> None:
        if step:
            recorder.append(horizon=learner.horizon.cpu())

    fit(learner, record, recorder, steps, unfinished, report_seconds, stop=partial(learner.stop, steps))
    return recorder.arrays()


def horizon_table(learner: GrowingLearner, steps: int, about: Mapping) -> pd.DataFrame:
    """A row a prompt: how long a text it got right, and what that holds.

    A horizon is censored where the text was at its whole length, or was still growing as the budget ended.

    Parameters
    ----------
    learner : after ``grow``
    steps : of the budget
    about : columns of the run
    """
    model, cell = learner.model, learner.cell
    horizon, since = learner.horizon.long().cpu().numpy(), learner.since.cpu().numpy()
    without, owner = token_scores(model, cell.without(model.begin)).nll, cell.inputs(learner.best.cpu()).owner.numpy()
    skipped = 0 if learner.settings["score_first_token"] else 1
    first = np.array([row[skipped:][: horizon[of]].sum() for row, of in zip(without, owner, strict=True)])
    layouts = [layout_name(layout) for layout in cell.layout_of]
    left = learner.left.cpu().numpy()
    stopped_growing = steps - since >= learner.settings["patience"]
    return pd.DataFrame(
        dict(about)
        | {
            "layout": layouts,
            "kind": kinds_of(cell),
            "trial": cell.trial_of,
            "d_model": model.d_model,
            "prompt_length": cell.length,
            "rank": learner.settings["rank"] or model.d_model,
            "horizon": horizon,
            "censored": (horizon == learner.whole) | ~stopped_growing,
            "gain_bits": (np.bincount(owner, first) - learner.cost.cpu().numpy()) / LN2,
            "steps": np.where(left < 0, steps, left).astype(int),
        }
    )


def grown_texts(
    model: FrozenModel,
    pool: Pool,
    settings: Mapping,
    run: tuple[str, int, Sequence[pd.DataFrame]],
    unfinished: Unfinished,
    report_seconds: float,
) -> pd.DataFrame:
    """Grow texts with prompts of one length; ``horizon_table``.

    Parameters
    ----------
    model : frozen
    pool : of the texts
    settings : of ``PromptCapacity.grown``
    run : condition, seed, and the table of learning rates, if there is one
    unfinished, report_seconds : as in ``training.fit.fit``
    """
    condition, seed, rates = run
    layouts = tuple(settings["layouts"])
    of_layouts = chosen(list(rates), list(layouts), settings["learning_rates"])
    trials = pool.trials(settings, settings["max_length"], seed, "growing")
    cell = Cell(trials, layouts, settings["prompt_length"])
    learner = GrowingLearner(model, cell, settings, of_layouts, seed)
    grow(learner, settings["steps"], unfinished, report_seconds)
    return horizon_table(learner, settings["steps"], {"condition": condition, "seed": seed})
