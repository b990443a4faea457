"""Training on sequences drawn with given frequencies, recording the loss of every sequence as it goes.

What is trained is a ``SequenceLearner``; what is counted and recorded is the same for all of them.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from memorization.data.sequences import Batches, first_sets
from memorization.training.checkpoints import Unfinished
from memorization.training.fit import Recorder, fit, log_spaced_steps

LATE = 0.1  # share of a training that stands for its end (``measures.at_end``)


class SequenceLearner(Protocol):
    """A model with its optimizer, as a family defines it."""

    def step(self, n: int, sequences: np.ndarray, ranks: np.ndarray) -> Tensor:
        """Optimizer step n, on the sequences of (count, length) that were drawn, by their ``ranks``; the loss before,
        in nats.
        """

    def loss(self, sequences: np.ndarray) -> np.ndarray:
        """Loss at each bit given those before it: (count, length) of 0 and 1 -> (count, length) float32 nats."""

    def state(self) -> dict[str, Tensor]:
        """All that ``restore`` needs to go on from here."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up ``state``; names of others in it are left alone."""


def train(
    learner: SequenceLearner,
    sets: np.ndarray,
    batches: Batches,
    steps: int,
    evaluation: dict,
    unfinished: Unfinished,
    report_seconds: float,
    before: Mapping[str, Tensor] | None = None,
    keep_last: bool = False,
) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    """Train on the last of ``sets`` and record the losses of all of them at log-spaced steps.

    Parameters
    ----------
    learner : what is trained
    sets : (sets, count, length) of 0 and 1: those of before, and the one that is trained on
    batches : what is drawn at each step, from the first step of all on
    steps : the optimizer step to train to
    evaluation : ``n_records`` steps are recorded, log-spaced from where this training begins, and ``n_late`` evenly
        spaced ones of its last tenth, of the ``head`` most frequent sequences and every ``train_stride``-th of each
        set; the first and the last of all sequences where ``before`` is given, else the last
    unfinished, report_seconds, keep_last : as in ``training.fit.fit``
    before : the state that the training on the set before ended with, at a switch; None from the beginning

    Returns
    -------
    state : the learner's, ``exposures`` and ``last_exposure_step`` (sets, count) and ``step``
    trajectory : arrays of one entry a recorded (step, sequence): ``step``, ``set``, ``rank``, ``exposures``
        (how often it was in a batch so far), ``last_exposure_step`` (the last such step, 0 for never), ``nll``
        (…, length) float32 in nats per bit; a sequence that a switch kept is of the last set alone.
        Of one entry a recorded step: ``weighted_step``, ``weighted_loss``, the p-weighted mean over the last set.
    """
    training = Training(learner, sets, batches, before)
    first = 0 if before is None else int(before["step"])
    of_all = {steps} if before is None else {first, steps}
    record_steps = {first + step for step in log_spaced_steps(steps - first, evaluation["n_records"])} | of_all
    late = (steps - first) * LATE / evaluation["n_late"]  # steps from one to the next
    record_steps |= {steps - round(late * i) for i in range(evaluation["n_late"])}
    every = np.arange(sets.shape[1])
    some = every[(every < evaluation["head"]) | (every % evaluation["train_stride"] == 0)]

    def record(n: int) -> None:
        if n in record_steps:
            training.record(n, every if n in of_all else some)

    fit(training, record, training.recorder, steps, unfinished, report_seconds, first, keep_last=keep_last)
    return training.state() | {"step": torch.tensor(steps)}, training.recorder.arrays()


class Training:
    """A learner, how often each sequence was in its batches, and what was recorded of it: a ``fit.Learner``.

    Parameters
    ----------
    learner, sets, batches, before : as in ``train``
    """

    def __init__(
        self,
        learner: SequenceLearner,
        sets: np.ndarray,
        batches: Batches,
        before: Mapping[str, Tensor] | None = None,
    ):
        self.learner, self.sets, self.batches = learner, sets, batches
        self.exposures, self.last_exposure_step = np.zeros((2, *sets.shape[:2]), np.int64)
        first = first_sets(sets)
        self.retired = [np.flatnonzero(first[-1] != first[i]) for i in range(len(sets) - 1)]
        if before is not None:
            self._take_up(before, first)
        counts = dict.fromkeys(("step", "set", "rank", "exposures", "last_exposure_step"), ((), np.int64))
        weighted = {"weighted_step": ((), np.int64), "weighted_loss": ((), np.float64)}
        self.recorder = Recorder(**counts, nll=((sets.shape[2],), np.float32), **weighted)

    def step(self, n: int) -> Tensor:
        """Optimizer step n; the loss before it, in nats per bit."""
        ranks = self.batches.ranks(n)
        loss = self.learner.step(n, self.sets[-1], ranks)
        np.add.at(self.exposures[-1], ranks, 1)
        self.last_exposure_step[-1, ranks] = n
        return loss

    def record(self, n: int, ranks: np.ndarray) -> None:
        """Record the losses after step n of the sequences of these ranks in each set, and the p-weighted loss."""
        for i in range(len(self.sets) - 1):
            gone = np.intersect1d(ranks, self.retired[i])
            self._record(n, i, gone, self.learner.loss(self.sets[i, gone]))
        nll = self.learner.loss(self.sets[-1])
        self._record(n, len(self.sets) - 1, ranks, nll[ranks])
        weighted = self.batches.probabilities @ nll.mean(axis=1, dtype=np.float64)
        self.recorder.append(weighted_step=n, weighted_loss=weighted)

    def state(self) -> dict[str, Tensor]:
        counts = {"exposures": self.exposures, "last_exposure_step": self.last_exposure_step}
        return self.learner.state() | {name: torch.from_numpy(array) for name, array in counts.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.learner.restore(state)
        self.exposures, self.last_exposure_step = (state[name].numpy() for name in ("exposures", "last_exposure_step"))

    def _take_up(self, before: Mapping[str, Tensor], first: np.ndarray) -> None:
        """The state before a switch: counts go on for the sequences that it keeps."""
        self.learner.restore(before)
        n_before = len(before["exposures"])
        kept = first[-1] != len(self.sets) - 1
        for name in ("exposures", "last_exposure_step"):
            counts = getattr(self, name)
            counts[:n_before] = before[name].numpy()
            counts[n_before:, kept] = counts[n_before - 1, kept]

    def _record(self, n: int, number: int, rank: np.ndarray, nll: np.ndarray) -> None:
        self.recorder.extend(
            step=np.full(len(rank), n),
            set=np.full(len(rank), number),
            rank=rank,
            exposures=self.exposures[number, rank],
            last_exposure_step=self.last_exposure_step[number, rank],
            nll=nll,
        )
