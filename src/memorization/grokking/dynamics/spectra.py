"""Spectra of runs and of their surrogates, and distances between them."""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from memorization.grokking.dynamics.dmd import Modes, dmd, pairs, spectral_distance
from memorization.grokking.dynamics.fingerprint import center
from memorization.grokking.dynamics.surrogates import KINDS, surrogate
from memorization.permutation import flipped_sums, label_permutation_test
from memorization.provenance import generator

FINGERPRINT = "fingerprint"  # the name of the data beside the kinds of surrogates
MEASURES = ("plain", "weighted")  # distances between spectra: with equal modes, or each weighted by its amplitude


def spectrum(steps: np.ndarray, snapshots: np.ndarray, condition: str, seed: int, settings: dict) -> pd.DataFrame:
    """The modes of a run and of its surrogates, over a window of steps.

    Parameters
    ----------
    steps : (T,), of the snapshots
    snapshots : (T, q), a quantile embedding
    condition, seed : the run; they also name the random streams of its surrogates
    settings : ``method``, ``center_mode`` of the window (``relative_to_t0`` subtracts its first snapshot),
        ``n_delays``, ``k_mode``, ``window`` in steps, ``surrogates`` of each kind

    Returns
    -------
    DataFrame with a row for each mode: ``condition``, ``seed``, ``data`` (fingerprint, phase_randomised or
    white_noise), ``draw`` of the surrogate, ``mode`` from 0 by falling modulus, ``real``, ``imag``, ``modulus``,
    ``residual``, ``amplitude`` (those of a draw sum to 1).

    Raises
    ------
    ValueError
        If the run stopped before the end of the window. The message names the run.
    """
    first, last = settings["window"]
    if last > steps[-1]:
        raise ValueError(
            f"grokking.dmd.window: it ends at step {last}, but {condition}, seed {seed} stopped at step {steps[-1]}; "
            f"allowed: {steps[-1]} or less"
        )
    snapshots = center(snapshots[(steps >= first) & (steps <= last)], settings["center_mode"])

    def modes(series: np.ndarray) -> Modes:
        return dmd(*pairs(series, settings["n_delays"]), settings["k_mode"], settings["method"])

    parts = [_rows(modes(snapshots), FINGERPRINT, 0)]
    for kind in KINDS:
        for draw in range(settings["surrogates"]):
            rng = generator("grokking", condition, seed, kind, draw)
            parts.append(_rows(modes(surrogate(kind, snapshots, rng)), kind, draw))
    table = pd.concat(parts, ignore_index=True)
    table.insert(0, "condition", condition)
    table.insert(1, "seed", seed)
    return table


def run_distances(spectra: pd.DataFrame) -> pd.DataFrame:
    """Wasserstein distances between the spectra of all runs, for fingerprints and for each draw of surrogates.

    Parameters
    ----------
    spectra : the rows of ``spectrum`` for all runs

    Returns
    -------
    DataFrame with a row for each pair of runs: ``data``, ``draw``, ``condition_a``, ``seed_a``, ``condition_b``,
    ``seed_b``, ``plain``, and ``weighted`` by amplitude.
    """
    rows = []
    for (data, draw), part in spectra.groupby(["data", "draw"], sort=True):
        runs = [
            (key, (run["real"] + 1j * run["imag"]).to_numpy(), run["amplitude"].to_numpy())
            for key, run in part.groupby(["condition", "seed"], sort=True)
        ]
        for (one, a, weights_a), (other, b, weights_b) in combinations(runs, 2):
            weighted = spectral_distance(a, b, weights_a, weights_b)
            rows.append((data, draw, *one, *other, spectral_distance(a, b), weighted))
    columns = ["data", "draw", "condition_a", "seed_a", "condition_b", "seed_b", *MEASURES]
    return pd.DataFrame(rows, columns=columns)


def distance_tests(distances: pd.DataFrame, conditions: list[str]) -> pd.DataFrame:
    """Permutation tests of the runs' conditions: of all conditions together, and of each two.

    Runs with the same seed share initial weights and batches. So labels are permuted over all runs, and also within
    seeds, which assumes less but has fewer arrangements.

    Parameters
    ----------
    distances : ``run_distances``
    conditions : the conditions to compare; fewer than two, or with one seed each, give no test

    Returns
    -------
    DataFrame with a row for each test: ``data``, ``draw``, ``measure`` (plain or weighted), ``conditions`` (joined by
    spaces), and the results of ``permutation.label_permutation_test``; for permutations within seeds
    ``p_within_seeds``, ``smallest_p_within_seeds`` and ``arrangements_within_seeds``, over the seeds that all
    conditions have (NaN: fewer than two).
    """
    groups = [tuple(conditions), *combinations(conditions, 2)] if len(conditions) > 2 else [tuple(conditions)]
    rows = []
    for (data, draw), part in distances.groupby(["data", "draw"], sort=True):
        for group in groups:
            for measure in MEASURES:
                matrix, labels, seeds = distance_matrix(part, list(group), measure)
                if len(set(labels)) < 2 or len(set(labels)) == len(labels):
                    continue
                rng = generator("grokking", "permutation", data, draw, measure, *group)
                test = label_permutation_test(matrix, labels, rng)
                blocked = _within_seeds(matrix, np.array(labels), np.array(seeds), rng)
                test |= {f"{name}_within_seeds": blocked[name] for name in ("p", "smallest_p", "arrangements")}
                about = {"data": data, "draw": draw, "measure": measure, "conditions": " ".join(group)}
                rows.append(about | test)
    columns = ["data", "draw", "measure", "conditions"]
    columns += ["within", "across", "ratio", "statistic", "p", "smallest_p", "arrangements"]
    columns += [f"{name}_within_seeds" for name in ("p", "smallest_p", "arrangements")]
    return pd.DataFrame(rows, columns=columns)


def distance_matrix(
    distances: pd.DataFrame, conditions: list[str], measure: str
) -> tuple[np.ndarray, list[str], list[int]]:
    """Distances (n, n) between the runs of some conditions, in the order of conditions and seeds; both of each run."""
    sides = [distances[["condition_a", "seed_a"]].to_numpy(), distances[["condition_b", "seed_b"]].to_numpy()]
    runs = sorted({tuple(run) for side in sides for run in side}, key=lambda run: (_place(run[0], conditions), run[1]))
    runs = [run for run in runs if run[0] in conditions]
    place = {run: n for n, run in enumerate(runs)}
    matrix = np.zeros((len(runs), len(runs)))
    for a, b, value in zip(*sides, distances[measure], strict=True):
        if tuple(a) in place and tuple(b) in place:
            matrix[place[tuple(a)], place[tuple(b)]] = matrix[place[tuple(b)], place[tuple(a)]] = value
    return matrix, [condition for condition, _ in runs], [seed for _, seed in runs]


def swap_tests(spectra: pd.DataFrame, conditions: list[str]) -> pd.DataFrame:
    """Compare the moduli of two conditions for each seed by swaps of eigenvalues. Descriptive only.

    Returns
    -------
    DataFrame: ``condition_a``, ``condition_b``, ``seed``, and the results of ``swap_test``.
    """
    own = spectra[spectra["data"] == FINGERPRINT]
    values = {key: (run["real"] + 1j * run["imag"]).to_numpy() for key, run in own.groupby(["condition", "seed"])}
    rows = []
    for one, other in combinations(conditions, 2):
        for seed in sorted(seed for condition, seed in values if condition == one and (other, seed) in values):
            rng = generator("grokking", "swap", one, other, int(seed))
            about = {"condition_a": one, "condition_b": other, "seed": seed}
            rows.append(about | swap_test(values[one, seed], values[other, seed], rng))
    return pd.DataFrame(rows, columns=["condition_a", "condition_b", "seed", "difference", "p", "smallest_p", "units"])


def swap_test(a: np.ndarray, b: np.ndarray, rng: np.random.Generator) -> dict:
    """How far one spectrum's moduli are above another's, by swaps of matched eigenvalues. Descriptive only.

    Eigenvalues of one decomposition are not independent, so p is no error rate. Eigenvalues are matched by the least
    total distance. A conjugate pair and the eigenvalues that it is matched to are swapped together.

    Parameters
    ----------
    a, b : eigenvalues

    Returns
    -------
    ``difference``, the mean of |a| - |b| over matched eigenvalues; ``p``, two-sided, the share of swaps with a
    difference at least as large (``permutation.flipped_sums``); ``smallest_p``; ``units``, the number of groups that
    are swapped together.
    """
    rows, columns = linear_sum_assignment(np.abs(np.subtract.outer(a, b)))
    a, b = a[rows], b[columns]
    unit = np.arange(len(a))
    for values in (a, b):
        for i, value in enumerate(values):
            partner = int(np.abs(values - value.conj()).argmin())
            if values[partner] == value.conj():
                unit[unit == unit[partner]] = unit[i]
    differences = np.array([(np.abs(a) - np.abs(b))[unit == each].sum() for each in np.unique(unit)]) / len(a)
    sums, smallest = flipped_sums(differences, rng)
    observed = differences.sum()
    p = (np.abs(sums) >= abs(observed) - 1e-12).mean()
    return {"difference": observed, "p": float(p), "smallest_p": smallest, "units": len(differences)}


def _within_seeds(matrix: np.ndarray, labels: np.ndarray, seeds: np.ndarray, rng: np.random.Generator) -> dict:
    shared = [seed for seed in np.unique(seeds) if set(labels[seeds == seed]) == set(labels)]
    if len(shared) < 2:
        return {"p": np.nan, "smallest_p": np.nan, "arrangements": 0}
    runs = np.flatnonzero(np.isin(seeds, shared))
    return label_permutation_test(matrix[np.ix_(runs, runs)], labels[runs], rng, seeds[runs])


def _rows(modes: Modes, data: str, draw: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "data": data,
            "draw": draw,
            "mode": np.arange(len(modes.eigenvalues)),
            "real": modes.eigenvalues.real,
            "imag": modes.eigenvalues.imag,
            "modulus": np.abs(modes.eigenvalues),
            "residual": modes.residuals,
            "amplitude": modes.amplitudes,
        }
    )


def _place(condition: str, conditions: list[str]) -> int:
    return conditions.index(condition) if condition in conditions else len(conditions)
