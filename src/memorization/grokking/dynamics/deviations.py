"""How far a training drifts from the same training with slightly different initial weights."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from memorization.grokking.dynamics.fingerprint import levels, numeric, quantile_embedding
from memorization.grokking.task.equations import first_crossing


def deviations(
    perturbed: Mapping[str, np.ndarray],
    reference: Mapping[str, np.ndarray],
    probe_split: str,
    n_quantiles: int,
    growth_window: int,
) -> pd.DataFrame:
    """The distance of a perturbed run from its reference, at each step at which both recorded readings or weights.

    Parameters
    ----------
    perturbed, reference : trajectories; the first with ``weight_step`` and ``weight_distance``
    probe_split : whose readings are compared
    n_quantiles : of the embedding
    growth_window : steps over which the growth is measured

    Returns
    -------
    DataFrame: ``step``; ``weight_distance``, relative; ``rms_change`` of the readings of the probe's
    equations; ``fingerprint_distance``, the same for their quantiles; ``growth_rate``, the finite-time rate
    ln(rms_change(t) / rms_change(t - window)) / window per step, at multiples of the window once there is a change.
    What was not recorded at a step is NaN.
    """
    steps, mine, other = np.intersect1d(
        perturbed["fingerprint_step"], reference["fingerprint_step"], return_indices=True
    )
    sides = ((perturbed, mine), (reference, other))
    one, two = (numeric(run[probe_split][rows], probe_split).astype(np.float64) for run, rows in sides)
    change = _rms(one - two)
    wanted = levels(n_quantiles)
    quantiles = _rms(quantile_embedding(one, wanted) - quantile_embedding(two, wanted))
    kept = pd.DataFrame({"step": perturbed["weight_step"], "weight_distance": perturbed["weight_distance"]})
    table = pd.DataFrame({"step": steps, "rms_change": change, "fingerprint_distance": quantiles})
    table = kept.merge(table, on="step", how="outer")
    by_step = table.set_index("step")["rms_change"]
    ends = steps[(steps % growth_window == 0) & np.isin(steps - growth_window, steps)]
    before, after = by_step[ends - growth_window].to_numpy(), by_step[ends].to_numpy()
    moved = (before > 0) & (after > 0)
    rates = np.log(after[moved] / before[moved]) / growth_window
    return table.assign(growth_rate=table["step"].map(pd.Series(rates, ends[moved], dtype=float)))


def perturbation_table(
    perturbed: Mapping[str, np.ndarray],
    reference: Mapping[str, np.ndarray],
    embedding: Mapping,
    growth_window: int,
    condition: str,
    seed: int,
    perturbation: Mapping,
) -> pd.DataFrame:
    """``deviations`` of a run, with columns that name it.

    Parameters
    ----------
    embedding : ``probe_split`` and ``n_quantiles``
    perturbation : ``name``, ``kind``, ``epsilon``

    Returns
    -------
    DataFrame: ``condition``, ``seed``, ``perturbation``, ``kind``, ``epsilon``, the columns of ``deviations``, and
    ``generalized_step`` and ``reference_generalized_step``, the first evaluated steps of the two runs with 99% of the
    validation equations right (NaN: never).
    """
    table = deviations(perturbed, reference, embedding["probe_split"], embedding["n_quantiles"], growth_window)
    crossings = {}
    for name, run in (("generalized_step", perturbed), ("reference_generalized_step", reference)):
        step = first_crossing(run["step"], run["accuracy_val"])
        crossings[name] = np.nan if step is None else float(step)
    about = {
        "condition": condition,
        "seed": seed,
        "perturbation": perturbation["name"],
        "kind": perturbation["kind"],
        "epsilon": float(perturbation["epsilon"]),
    }
    for place, (name, value) in enumerate(about.items()):
        table.insert(place, name, value)
    return table.assign(**crossings)


def _rms(rows: np.ndarray) -> np.ndarray:
    return np.sqrt((rows**2).mean(axis=1))
