"""Training on sequences drawn with given frequencies, recording the loss of every sequence as it goes.

What is trained is a ``Learner``; what is counted and recorded is the same for all of them.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from memorization.data.sequences import Batches, first_sets
from memorization.training.checkpoints import Unfinished
from memorization.training.loop import log_spaced_steps, run


class Learner(Protocol):
    """A model with its optimizer, as a family defines it."""

    def step(self, sequences: np.ndarray, ranks: np.ndarray) -> Tensor:
        """Train on the sequences of (count, length) that were drawn, by their ``ranks``; the loss before, in nats."""

    def loss(self, sequences: np.ndarray) -> np.ndarray:
        """Loss at each bit given those before it: (count, length) of 0 and 1 -> (count, length) float32 nats."""

    def state(self) -> dict[str, Tensor]:
        """All that ``restore`` needs to go on from here."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up ``state``; names of others in it are left alone."""


def train(
    learner: Learner,
    sets: np.ndarray,
    batches: Batches,
    last: int,
    evaluation: dict,
    unfinished: Unfinished,
    report_seconds: float,
    begin: Mapping[str, Tensor] | None = None,
    keep_last: bool = False,
) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    """Train on the last of ``sets`` and record the losses of all of them at log-spaced steps.

    Parameters
    ----------
    learner : what is trained
    sets : (sets, count, length) of 0 and 1: those of before, and the one that is trained on
    batches : what is drawn at each step, from the first step of all on
    last : the optimizer step to train to
    evaluation : ``checkpoints`` steps are recorded, log-spaced from where this training begins, of the ``head`` most
        frequent sequences and every ``train_stride``-th of each set; the first and the last of all sequences
        where ``begin`` is given, else the last
    unfinished, report_seconds : its checkpoint, its progress
    begin : the state that the training on the set before ended with, at a switch; None from the beginning
    keep_last : whether the last step has a checkpoint too, for another process to go on from

    Returns
    -------
    state : the learner's, ``presentations`` and ``last_presentation`` (sets, count) and ``step``
    trajectory : arrays of one entry a recorded (step, sequence): ``step``, ``set``, ``rank``, ``presentations``
        (how often it was in a batch so far), ``last_presentation`` (the last such step, 0 for never), ``nll``
        (…, length) float32 in nats per bit; a sequence that a switch kept is of the last set alone.
        Of one entry a recorded step: ``weighted_step``, ``weighted_loss``, the p-weighted mean over the last set.
    """
    training = Training(learner, sets, batches, begin)
    first = 0 if begin is None else int(begin["step"])
    if first >= last:
        raise ValueError(f"a training to step {last} cannot begin from step {first}")
    whole = {last} if begin is None else {first, last}
    record_at = {first + step for step in log_spaced_steps(last - first, evaluation["checkpoints"])} | whole
    every = np.arange(sets.shape[1])
    some = every[(every < evaluation["head"]) | (every % evaluation["train_stride"] == 0)]

    def record(n: int) -> None:
        if n in record_at:
            training.record(n, every if n in whole else some)

    def step(n: int) -> Tensor:
        loss = training.step(n)
        record(n)
        return loss

    kept = unfinished.load()
    if kept is None:
        done = first
        record(first)
    else:
        done = int(kept["step"])
        training.restore(kept)
        print(f"going on after step {done}, from {unfinished.path}", flush=True)
    run(step, done, last, unfinished, lambda n: training.state(n), report_seconds)
    if keep_last:
        unfinished.save(training.state(last))
    return training.final_state(last), training.recorded


def sizes(model: nn.Module) -> dict[str, np.ndarray]:
    """How many ``parameters`` a model has, and how many of them are ``trainable``."""
    numbers = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return {
        "parameters": np.array(sum(number for number, _ in numbers)),
        "trainable": np.array(sum(number for number, trainable in numbers if trainable)),
    }


class Training:
    """A learner, how often each sequence was presented to it, and what was recorded of it."""

    def __init__(self, learner: Learner, sets: np.ndarray, batches: Batches, begin: Mapping[str, Tensor] | None = None):
        self.learner, self.sets, self.batches = learner, sets, batches
        self.presentations, self.last_presentation = np.zeros((2, *sets.shape[:2]), np.int64)
        first = first_sets(sets)
        self.retired = [np.flatnonzero(first[-1] != first[i]) for i in range(len(sets) - 1)]
        if begin is not None:
            self._take_up(begin, first)
        self.recorded = {name: np.zeros(0, np.int64) for name in ("step", "set", "rank")}
        self.recorded |= {name: np.zeros(0, np.int64) for name in ("presentations", "last_presentation")}
        self.recorded |= {"nll": np.zeros((0, sets.shape[2]), np.float32)}
        self.recorded |= {"weighted_step": np.zeros(0, np.int64), "weighted_loss": np.zeros(0)}

    def step(self, n: int) -> Tensor:
        """Optimizer step n; the loss before it, in nats per bit."""
        ranks = self.batches.ranks(n)
        loss = self.learner.step(self.sets[-1], ranks)
        np.add.at(self.presentations[-1], ranks, 1)
        self.last_presentation[-1, ranks] = n
        return loss

    def record(self, n: int, ranks: np.ndarray) -> None:
        """Record the losses after step n of the sequences of these ranks in each set, and the p-weighted loss."""
        for i in range(len(self.sets) - 1):
            gone = np.intersect1d(ranks, self.retired[i])
            self._record(n, i, gone, self.learner.loss(self.sets[i, gone]))
        nll = self.learner.loss(self.sets[-1])
        self._record(n, len(self.sets) - 1, ranks, nll[ranks])
        weighted = self.batches.probabilities @ nll.mean(axis=1, dtype=np.float64)
        self._append({"weighted_step": [n], "weighted_loss": [weighted]})

    def final_state(self, n: int) -> dict[str, Tensor]:
        counts = {"presentations": self.presentations, "last_presentation": self.last_presentation}
        return self.learner.state() | {k: torch.from_numpy(v) for k, v in counts.items()} | {"step": torch.tensor(n)}

    def state(self, n: int) -> dict[str, Tensor]:
        recorded = {f"recorded.{name}": torch.from_numpy(rows) for name, rows in self.recorded.items()}
        return self.final_state(n) | recorded

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.learner.restore(state)
        self.presentations, self.last_presentation = (
            state[name].numpy() for name in ("presentations", "last_presentation")
        )
        self.recorded = {name: state[f"recorded.{name}"].numpy() for name in self.recorded}

    def _take_up(self, begin: Mapping[str, Tensor], first: np.ndarray) -> None:
        """The state before a switch: counts go on for the sequences that it keeps."""
        self.learner.restore(begin)
        before = len(begin["presentations"])
        kept = first[-1] != len(self.sets) - 1
        for name in ("presentations", "last_presentation"):
            counts = getattr(self, name)
            counts[:before] = begin[name].numpy()
            counts[before:, kept] = counts[before - 1, kept]

    def _record(self, n: int, number: int, rank: np.ndarray, nll: np.ndarray) -> None:
        counts = {
            "presentations": self.presentations[number, rank],
            "last_presentation": self.last_presentation[number, rank],
        }
        self._append({"step": np.full(len(rank), n), "set": np.full(len(rank), number), "rank": rank} | counts)
        self._append({"nll": nll})

    def _append(self, rows: dict) -> None:
        self.recorded |= {name: np.concatenate([self.recorded[name], new]) for name, new in rows.items()}
