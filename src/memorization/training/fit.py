"""The one frame of every training: it resumes, steps, records, reports, keeps checkpoints, and stops.

A family says what is trained, a ``Learner``, and what is recorded of it when.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from memorization.training.checkpoints import Unfinished

RECORDED = "recorded."  # begins the names of a recorder's tensors in a checkpoint


class TrainingError(RuntimeError):
    """A training that cannot go on; its message names the step."""


class Learner(Protocol):
    """What is trained: a model, its optimizer, and whatever else a training goes on from."""

    def step(self, n: int) -> Tensor:
        """Optimizer step n, counted from 1; the loss before it, a scalar."""

    def state(self) -> dict[str, Tensor]:
        """All that ``restore`` needs to go on from here."""

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up ``state``; names of others in it are left alone."""


class Recorder:
    """Arrays that grow by rows, in time and memory that grow with what they hold.

    Parameters
    ----------
    columns : by name, the shape of a row and its type
    """

    def __init__(self, **columns: tuple[tuple[int, ...], type]):
        self._parts = {name: [np.zeros((0, *shape), dtype)] for name, (shape, dtype) in columns.items()}

    def append(self, **row) -> None:
        """Add a row to each of the arrays that are named."""
        self.extend(**{name: [value] for name, value in row.items()})

    def extend(self, **rows) -> None:
        """Add rows to each of the arrays that are named."""
        for name, values in rows.items():
            parts = self._parts[name]
            parts.append(np.array(values, parts[0].dtype))

    def __getitem__(self, name: str) -> np.ndarray:
        """An array as it stands."""
        parts = self._parts[name]
        if len(parts) > 1:
            parts[:] = [np.concatenate(parts)]
        return parts[0]

    def last(self, name: str):
        """The last row of an array; None of an empty one."""
        part = self._parts[name][-1]
        return part[-1] if len(part) else None

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: self[name] for name in self._parts}

    def state(self) -> dict[str, Tensor]:
        return {RECORDED + name: torch.from_numpy(array) for name, array in self.arrays().items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self._parts = {name: [state[RECORDED + name].numpy()] for name in self._parts}


def fit(
    learner: Learner,
    record: Callable[[int], None],
    recorder: Recorder,
    steps: int,
    unfinished: Unfinished,
    report_seconds: float,
    first: int = 0,
    stop: Callable[[int], int] | None = None,
    keep_last: bool = False,
) -> int:
    """Train from step ``first`` to ``steps``, or go on from where an attempt before was when it was killed.

    Parameters
    ----------
    learner : what is trained
    record : called after step ``first`` and after each step after it, with the step; it puts into ``recorder`` what is
        due then
    recorder : what was recorded; part of each checkpoint
    steps : the last step, at most
    unfinished : where the checkpoints go
    report_seconds : seconds between two lines of progress
    first : the step after which ``learner`` stands, that of a checkpoint of another training
    stop : the first step after which training may stop, as far as what was recorded up to a step tells; asked whenever
        that step is reached
    keep_last : whether the last step has a checkpoint too, for another process to go on from

    Returns
    -------
    The last step.

    Raises
    ------
    TrainingError
        If a loss or a tensor of the state is not finite, as seen at each checkpoint and the end (the loss at each
        report too); no checkpoint is made of such a state, the last good one stays.
    """
    if first >= steps:
        raise ValueError(f"a training to step {steps} cannot go on from step {first}")
    done, kept = first, unfinished.load()
    if kept is None:
        record(first)
    else:
        done = int(kept["step"])
        learner.restore(kept)
        recorder.restore(kept)
        print(f"going on after step {done}, from {unfinished.path}", flush=True)

    def state(n: int) -> dict[str, Tensor]:
        return learner.state() | recorder.state() | {"step": torch.tensor(n)}

    def step(n: int) -> Tensor:
        loss = learner.step(n)
        record(n)
        return loss

    last = steps if stop is None else min(steps, stop(done))
    while done < last:
        _run(step, done, last, unfinished, state, report_seconds)
        done, last = last, steps if stop is None else min(steps, stop(last))
    if keep_last:
        unfinished.save(state(done))
    return done


def _run(
    step: Callable[[int], Tensor],
    done: int,
    last: int,
    unfinished: Unfinished,
    state: Callable[[int], Mapping[str, Tensor]],
    report_seconds: float,
) -> None:
    """Run ``step(n)`` for n = done + 1 … last, printing progress and keeping ``state(n)`` from time to time."""
    started = reported = time.monotonic()
    for n in range(done + 1, last + 1):
        loss = step(n)
        now = time.monotonic()
        report, keep = now - reported >= report_seconds or n == last, unfinished.due() and n < last
        if report or keep:
            value = float(loss)
            if not math.isfinite(value):
                raise TrainingError(f"step {n}: the loss is {value}")
        if report:
            rate = (n - done) / max(now - started, 1e-9)
            left = (last - n) / rate
            print(f"step {n}/{last}  loss {value:.4f}  {rate:.1f} steps/s  {left:.0f} s left", flush=True)
            reported = now
        if keep or n == last:
            now_kept = state(n)
            bad = [name for name, tensor in now_kept.items() if not tensor.isfinite().all()]
            if bad:
                raise TrainingError(f"step {n}: not finite: {', '.join(bad)}")
            if keep:
                unfinished.save(now_kept)


def log_spaced_steps(last: int, n_records: int) -> list[int]:
    """At most ``n_records`` steps from 1 to ``last``, evenly spaced in their logarithm, and step 0 before them."""
    spaced = np.unique(np.geomspace(1, last, n_records).round().astype(int)) if last else []
    return [0, *map(int, spaced)]


def model_sizes(model: nn.Module) -> dict[str, np.ndarray]:
    """How many ``parameters`` a model has, and how many of them are ``trainable``."""
    numbers = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return {
        "parameters": np.array(sum(number for number, _ in numbers)),
        "trainable": np.array(sum(number for number, trainable in numbers if trainable)),
    }
