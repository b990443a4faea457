"""What a run did: accuracies along it, when it memorized and generalized, and the records of its equations."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from memorization.grokking.task.equations import REACHED, Batches, first_crossing
from memorization.records import records, runs

ARM = "transformer"
LATE = 0.1  # share of a run that stands for its end


def history(trajectory: Mapping[str, np.ndarray], p: int, condition: str, seed: int) -> pd.DataFrame:
    """A row an evaluated step.

    Returns
    -------
    DataFrame: ``condition``, ``seed``, ``step``, ``accuracy_train``, ``accuracy_val`` in [0, 1], ``loss_train``,
    ``loss_val`` in nats per equation, each over all equations of its split; ``chance``, 1/p.
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
    crossing with less of the validation equations right (NaN without a crossing, or where the run ends with it): what
    was reached may be lost again, for a few steps; ``chance``, 1/p.
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
    """How often each equation was in a batch up to each step, and the last such step (0: never): (K, count) each."""
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
    """``records`` of a run: an item is an equation and its one token the answer, an exposure one place in a batch.

    Equations of the training split have the phase ``train``, the others ``held_out``. A guess among the p
    answers is right once in p and costs log₂ p bits, which is what is called an equation's prior. It is what an unseen
    one costs a model that has found no rule. Once it has, unseen equations cost next to nothing too: a record
    far below its prior says "memorized" only before the run generalizes, or beside the held-out records of its step.
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
    """``runs`` of one run: all its parameters are trained, in float32."""
    parameters = int(trajectory["parameters"])
    return runs(
        family="grokking",
        arm=ARM,
        condition=condition,
        seed=seed,
        parameters=parameters,
        trainable=parameters,
        state_bits=32 * parameters,
        steps=int(trajectory["step"].max()),
    )
