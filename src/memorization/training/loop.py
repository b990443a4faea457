"""The loop of every training: steps, progress in the log, checkpoints to go on from."""

import math
import time
from collections.abc import Callable, Mapping

import numpy as np
from torch import Tensor

from memorization.training.checkpoints import Unfinished


class TrainingError(RuntimeError):
    """A training that cannot go on; its message names the step."""


def run(
    step: Callable[[int], Tensor],
    first: int,
    last: int,
    unfinished: Unfinished,
    state: Callable[[int], Mapping[str, Tensor]],
    report_seconds: float,
) -> None:
    """Run ``step(n)`` for n = first + 1 … last, printing progress and keeping ``state(n)`` from time to time.

    Parameters
    ----------
    step : makes one optimizer step and returns its loss, a scalar
    first : steps that are done already
    unfinished : where the checkpoints go
    state : the tensors to go on from after step n
    report_seconds : seconds between two lines of progress

    Raises
    ------
    TrainingError
        If a loss or a tensor of the state is not finite, as seen at each checkpoint and the end (the loss
        at each report too); no checkpoint is made of such a state, the last good one stays.
    """
    started = reported = time.monotonic()
    for n in range(first + 1, last + 1):
        loss = step(n)
        now = time.monotonic()
        report, keep = now - reported >= report_seconds or n == last, unfinished.due() and n < last
        if report or keep:
            value = float(loss)
            if not math.isfinite(value):
                raise TrainingError(f"step {n}: the loss is {value}")
        if report:
            rate = (n - first) / max(now - started, 1e-9)
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


def log_spaced_steps(last: int, count: int) -> list[int]:
    """At most ``count`` steps from 1 to ``last``, evenly spaced in their logarithm, and step 0 before them."""
    spaced = np.unique(np.geomspace(1, last, count).round().astype(int)) if last else []
    return [0, *map(int, spaced)]
