"""Evaluation of a run: its accuracies, when it memorized and generalized, the records of its equations."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from memorization.grokking.task.equations import REACHED, Batches, first_crossing
from memorization.records import records, runs

ARM = "transformer"
LATE = 0.1  # share of a run that stands for its end


def history(trajectory: Mapping[str, np.ndarray], p: int, condition: str, seed: int) -> pd.DataFrame:
    """Accuracies and losses, a row for each evaluated step.

    Returns
    -------
    DataFrame: ``condition``, ``seed``, ``step``, ``accuracy_train``, ``accuracy_val`` in [0, 1], ``loss_train``,
    ``loss_val`` in nats per equation, each over all equations of the split; ``chance``, 1/p.
    """
    columns = ["step", "accuracy_train", "accuracy_val", "loss_train", "loss_val"]
    table = pd.DataFrame({"condition": condition, "seed": seed} | {name: trajectory[name] for name in columns})
    return table.assign(chance=1 / p)


def transitions(
    trajectory: Mapping[str, np.ndarray], p: int, condition: str, seed: int, weight_decay: float
) -> pd.DataFrame:
    """When a run memorized and generalized, in one row.

    Returns
    -------
    DataFrame: ``condition``, ``seed``, ``weight_decay``; ``memorized_step`` and ``generalized_step``, the first
    evaluated steps with 99% of the training and of the validation equations right (NaN: never), and
    ``delay_ratio``, the second over the first; ``last_step`` of the run; ``end_accuracy_val``, the median over the
    evaluations of its last tenth; ``late_below_99`` and ``late_below_half``, the shares of the evaluations after the
    crossing with less than 99% and less than half of the validation equations right (NaN without a crossing, or if the
    run ends with it), since accuracy may fall again for a few steps; ``chance``, 1/p.
    """
    steps, accuracy = trajectory["step"], trajectory["accuracy_val"]
    memorized, generalized = (first_crossing(steps, trajectory[f"accuracy_{split}"]) for split in ("train", "val"))
    both = memorized is not None and generalized is not None
    after = accuracy[steps > (np.inf if generalized is None else generalized)]
    row = {
        "condition": condition,
        "seed": seed,
        "weight_decay": float(weight_decay),
        "memorized_step": np.nan if memorized is None else float(memorized),
        "generalized_step": np.nan if generalized is None else float(generalized),
        "delay_ratio": generalized / memorized if both else np.nan,
        "last_step": int(steps[-1]),
        "end_accuracy_val": np.median(accuracy[steps > steps[-1] * (1 - LATE)]),
        "late_below_99": _share(after < REACHED),
        "late_below_half": _share(after < 0.5),
        "chance": 1 / p,
    }
    return pd.DataFrame([row])


def _share(these: np.ndarray) -> float:
    return these.mean() if len(these) else np.nan


def exposures(batches: Batches, steps: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The exposures of each equation up to each step, and the last step with one (0: never): (K, count) each."""
    seen, last, rows = np.zeros(count, np.int64), np.zeros(count, np.int64), []
    for n in range(1, int(steps[-1]) + 1):
        rows_of_batch = batches.rows(n)
        seen[rows_of_batch] += 1
        last[rows_of_batch] = n
        if n in steps:
            rows.append((seen.copy(), last.copy()))
    at_start = [(np.zeros(count, np.int64),) * 2] if 0 in steps else []
    both = np.array(at_start + rows)
    return both[:, 0], both[:, 1]


def grokking_records(
    trajectory: Mapping[str, np.ndarray],
    data: Mapping[str, np.ndarray],
    batches: Batches,
    condition: str,
    seed: int,
) -> pd.DataFrame:
    """``records`` of a run: an item is an equation, its one token is the answer, an exposure is one place in a batch.

    Equations of the training split have the phase ``train``, the others ``held_out``. The prior is the cost of a guess
    among the p answers, log₂ p bits: an unseen equation costs as much as long as the model has found no rule. Later
    unseen equations cost almost nothing too. So a record far below its prior means "memorized" only before the run
    generalizes, or in comparison with the held-out records of the same step.
    """
    steps, p, equations = trajectory["checkpoint_step"], int(data["p"]), data["equations"]
    count = len(equations)
    seen, last = exposures(batches, steps, count)
    names = np.array([f"{a}_{b}" for a, b, _ in equations])
    return records(
        family="grokking",
        arm=ARM,
        condition=condition,
        seed=seed,
        step=np.repeat(steps, count),
        phase=np.tile(np.where(data["train"], "train", "held_out"), len(steps)),
        item=np.tile(names, len(steps)),
        exposures=seen.ravel(),
        last_exposure_step=last.ravel(),
        n_tokens=1,
        recall=trajectory["right"].ravel().astype(float),
        chance=1 / p,
        exact=trajectory["right"].ravel(),
        nll_bits=trajectory["nll"].ravel().astype(np.float64) / np.log(2),
        prior_bits=np.log2(p),
    )


def grokking_runs(trajectory: Mapping[str, np.ndarray], condition: str, seed: int) -> pd.DataFrame:
    """``runs`` of one run: all parameters are trained, in float32."""
    parameters = int(trajectory["parameters"])
    return runs(
        family="grokking",
        arm=ARM,
        condition=condition,
        seed=seed,
        parameters=parameters,
        trainable=parameters,
        steps=int(trajectory["step"].max()),
    )
