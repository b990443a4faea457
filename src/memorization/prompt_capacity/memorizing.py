"""Training prompts to bring forth texts, all trials of a cell in one pass, each as if alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from memorization.prompt_capacity import FAMILY
from memorization.prompt_capacity.frozen import FrozenModel
from memorization.prompt_capacity.prompting import (
    Inputs,
    PromptEmbeddings,
    assemble,
    first_prompts,
    joined,
    subspaces,
    without_prompts,
)
from memorization.prompt_capacity.texts import TRIALS, Trials
from memorization.provenance import generator
from memorization.training.checkpoints import Unfinished, restore, training_state
from memorization.training.fit import Recorder, fit, log_spaced_steps

ASK_EVERY = 50  # steps between two questions whether any trial is left


@dataclass(frozen=True)
class Cell:
    """The trials of several layouts, which are trained together.

    Attributes
    ----------
    trials : the texts and IDs, the same in all layouts
    layouts : where P stands
    length : k, vectors of a prompt
    """

    trials: Trials
    layouts: tuple[str | int, ...]
    length: int

    @property
    def parts(self) -> list[tuple[str | int, Trials]]:
        """Each layout with its trials: in ``solo`` each text of a group is a trial of its own."""
        return [(layout, alone(self.trials) if layout == "solo" else self.trials) for layout in self.layouts]

    @property
    def layout_of(self) -> list[str | int]:
        """The layout of each prompt."""
        return [layout for layout, trials in self.parts for _ in trials.texts]

    @property
    def trial_of(self) -> list[int]:
        """The trial of each prompt, by its place among the groups."""
        group = self.trials.texts.shape[1]
        of = {True: np.arange(len(self.trials.texts)).repeat(group), False: np.arange(len(self.trials.texts))}
        return [int(trial) for layout in self.layouts for trial in of[layout == "solo"]]

    def inputs(self, prompts: Tensor) -> Inputs:
        """All rows, with prompts (n_prompts, k, d_model)."""
        counts = [len(trials.texts) for _, trials in self.parts]
        each = zip(self.parts, prompts.split(counts), strict=True)
        return joined([assemble(part, *_tensors(trials), layout) for (layout, trials), part in each])

    def without(self, begin: int) -> Inputs:
        """The same rows without P, ``begin`` in its place in ``solo``."""
        return joined([without_prompts(*_tensors(trials), layout, begin) for layout, trials in self.parts])


def alone(trials: Trials) -> Trials:
    """Each text of a group as a trial of its own."""
    groups, size = trials.texts.shape[:2]
    flat = (each.reshape(groups * size, 1, -1) for each in (trials.texts, trials.ids))
    return Trials(*flat, trials.kinds.repeat(size))


def _tensors(trials: Trials) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(trials.ids), torch.from_numpy(trials.texts)


class PromptLearner:
    """Prompts and their optimizer, on a frozen model: a ``fit.Learner``.

    A step evaluates a trial's prompt as it stands and then moves it. The best iterate is the one of the lowest loss,
    kept before its step. A trial that has converged leaves the batch and is not moved any more. Rows do not see each
    other, the loss is the mean over a trial's tokens and summed over trials, and nothing is clipped: each trains as if
    alone.

    Parameters
    ----------
    model : frozen
    cell : what is trained
    settings : ``init``, ``beta2`` and ``weight_decay`` of AdamW, ``score_first_token``, ``stop_perplexity``,
        ``evaluate_every`` (steps between checks of convergence), ``batch_rows`` (of a pass), ``rank``
    rates : the learning rate of each layout, by its name as in ``cell.layouts``
    seed : of the run
    purpose : of the texts, as in ``Pool.trials``
    """

    kept: tuple[str, ...] = (
        "best",
        "loss",
        "best_loss",
        "right",
        "best_step",
        "left",
        "now",
    )  # tensors of a checkpoint

    def __init__(
        self, model: FrozenModel, cell: Cell, settings: Mapping, rates: Mapping, seed: int, purpose: str = TRIALS
    ):
        self.model, self.cell, self.settings = model, cell, settings
        layouts, trials = cell.layout_of, cell.trial_of
        copies = [(layouts[n] == "solo", trials[n], layouts[:n].count(layouts[n])) for n in range(len(layouts))]

        def rng(prompt: int, what: str = "first P") -> np.random.Generator:
            """Layouts begin alike: the stream is of the trial, and in ``solo`` of the text."""
            is_solo, trial, place = copies[prompt]
            kind = "text" if is_solo else "trial"
            return generator(FAMILY, seed, place if is_solo else trial, f"{what} of a {kind} of {purpose}")

        rank = settings.get("rank")
        first = first_prompts(settings["init"], model.embedding, cell.length, rng)
        basis = subspaces(rank, model.d_model, lambda prompt: rng(prompt, "subspace")) if rank else None
        self.embeddings = PromptEmbeddings(len(layouts), cell.length, model.d_model, first, rank, basis).to(
            model.device
        )
        groups = [
            {
                "params": [each for each, of in zip(self.embeddings.trained, layouts, strict=True) if of == layout],
                "lr": rates[layout],
            }
            for layout in cell.layouts
        ]
        betas, decay = (0.9, settings["beta2"]), settings["weight_decay"]
        self.optimizer = torch.optim.AdamW(groups, betas=betas, weight_decay=decay, fused=True)
        with torch.no_grad():
            self.first = self.embeddings().clone()
        self.inputs = cell.inputs(self.first.cpu()).to(model.device)
        if not settings["score_first_token"]:
            begins = self.inputs.scored & (self.inputs.scored.cumsum(dim=1) == 1)
            self.inputs = replace(self.inputs, scored=self.inputs.scored & ~begins)
        self.n_prompts = len(layouts)
        self.best = self.first.clone()
        self.loss = torch.full((self.n_prompts,), float(np.finfo(np.float32).max), device=model.device)
        self.best_loss, self.right = self.loss.clone(), torch.zeros_like(self.loss)
        self.best_step, self.left = torch.zeros_like(self.loss), torch.full_like(self.loss, -1)
        self.now = self.first.clone()

    @property
    def active(self) -> list[int]:
        """The prompts that are still trained."""
        return (self.left < 0).nonzero()[:, 0].tolist()

    def stop(self, steps: int, done: int) -> int:
        """The first step after ``done`` at which training may end; looked at every ``ASK_EVERY`` steps."""
        return min(steps, -(-(done + bool(self.active)) // ASK_EVERY) * ASK_EVERY)

    def step(self, n: int) -> Tensor:
        """Evaluate the prompts after n - 1 steps, move those that are active; the summed loss, nats a token."""
        active = self.active
        if not active:
            return self.loss.sum()
        self.optimizer.zero_grad(set_to_none=True)
        for some in self._batches(active):
            self._train(n, some)
        self.optimizer.step()
        return self.loss.sum()

    def _batches(self, active: Sequence[int]) -> list[list[int]]:
        """Prompts whose rows together are at most ``batch_rows``, or one."""
        sizes = torch.bincount(self.inputs.owner, minlength=self.n_prompts).tolist()
        batches: list[list[int]] = []
        rows = 0
        for prompt in active:
            rows += sizes[prompt]
            if not batches or rows > self.settings["batch_rows"]:
                batches.append([])
                rows = sizes[prompt]
            batches[-1].append(prompt)
        return batches

    def _train(self, n: int, active: list[int]) -> None:
        """Evaluate some prompts, note their best, and let those that have not ended have a gradient."""
        prompts = self.embeddings(active)
        losses, right = self._evaluated(prompts, active)
        wanted = torch.tensor(active, device=self.model.device)
        with torch.no_grad():
            self.loss[wanted], self.right[wanted], self.now[wanted] = losses.detach(), right, prompts.detach()
            better = self._better(wanted)
            self.best[better], self.best_loss[better] = self.now[better], self.loss[better]
            self.best_step[better] = n - 1.0
            ended = self._ended(n, wanted)
            self.left[wanted[ended]] = n - 1.0
        if bool(ended.all()):
            return
        losses[~ended].sum().backward()
        for prompt in wanted[ended].tolist():  # a gradient of zeros would move it on
            self.embeddings.trained[prompt].grad = None

    def _evaluated(self, prompts: Tensor, active: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Of each active prompt the mean loss of its tokens, nats, and the share of them that is right."""
        device = self.model.device
        place = torch.full((self.n_prompts,), -1, device=device)
        place[list(active)] = torch.arange(len(active), device=device)
        owner = place[self.inputs.owner]
        rows = owner >= 0
        inputs = self._wanted(self.inputs.of(rows, prompts, owner[rows]), active)
        logits, tokens = self.model.logits(inputs)
        nll, right = F.cross_entropy(logits, tokens, reduction="none"), logits.argmax(dim=-1) == tokens
        self._note(inputs, nll.detach(), right, active)
        of = inputs.owner.repeat_interleave(inputs.scored.sum(dim=1))
        count, zeros = torch.bincount(of, minlength=len(active)), torch.zeros(len(active), device=device)
        return zeros.index_add(0, of, nll) / count, zeros.index_add(0, of, right.float()) / count

    def _wanted(self, inputs: Inputs, active: Sequence[int]) -> Inputs:
        """Of the rows of active prompts what is trained now: all."""
        return inputs

    def _note(self, inputs: Inputs, nll: Tensor, right: Tensor, active: Sequence[int]) -> None:
        """Whatever else is to be kept of tokens, which stand by rows."""

    def _better(self, wanted: Tensor) -> Tensor:
        """The active prompts whose present iterate is their best."""
        return wanted[self.loss[wanted] < self.best_loss[wanted]]

    def _ended(self, n: int, wanted: Tensor) -> Tensor:
        """Which active prompts have converged: below ``stop_perplexity``, and every token right."""
        if n % self.settings["evaluate_every"]:
            return torch.zeros_like(wanted, dtype=torch.bool)
        return (self.loss[wanted] < np.log(self.settings["stop_perplexity"])) & (self.right[wanted] == 1)

    def state(self) -> dict[str, Tensor]:
        return training_state(self.embeddings, self.optimizer) | {name: getattr(self, name) for name in self.kept}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        restore(self.embeddings, self.optimizer, state)
        for name in self.kept:
            setattr(self, name, state[name].to(self.model.device))


def memorize(
    learner: PromptLearner, steps: int, n_records: int, unfinished: Unfinished, report_seconds: float
) -> dict[str, np.ndarray]:
    """Train until all trials have converged, or the budget is spent.

    Parameters
    ----------
    learner : what is trained
    steps : iterates that are evaluated at most; the first is untrained
    n_records : log-spaced iterates that are recorded, and the last one
    unfinished, report_seconds : as in ``training.fit.fit``

    Returns
    -------
    ``losses`` (iterates, n_prompts) float32, nats a token, from the untrained one on; at the recorded iterates
    ``step`` (n,), ``right`` (n, n_prompts), the share of tokens, ``norm`` (n, n_prompts, k) of each vector and
    ``cosine``, to its first value; ``left`` (n_prompts,), the iterate at which a trial had converged, -1 for never;
    ``best_step`` (n_prompts,).
    """
    n, k = learner.n_prompts, learner.cell.length
    recorded = {*log_spaced_steps(steps - 1, n_records)}
    recorder = Recorder(
        losses=((n,), np.float32),
        step=((), np.int64),
        right=((n,), np.float32),
        norm=((n, k), np.float32),
        cosine=((n, k), np.float32),
    )

    def record(step: int) -> None:
        if not step:
            return
        recorder.append(losses=learner.loss.cpu())
        if step - 1 in recorded or (not learner.active and step % ASK_EVERY == 0):  # the last one too
            recorder.append(
                step=step - 1,
                right=learner.right.cpu(),
                norm=learner.now.norm(dim=2).cpu(),
                cosine=F.cosine_similarity(learner.now, learner.first, dim=2).cpu(),
            )

    fit(learner, record, recorder, steps, unfinished, report_seconds, stop=partial(learner.stop, steps))
    ends = {"left": learner.left.long().cpu().numpy(), "best_step": learner.best_step.long().cpu().numpy()}
    return recorder.arrays() | ends
