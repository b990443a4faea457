"""The fingerprint of a training: quantiles of the readings of a fixed probe, step by step."""

from collections.abc import Mapping

import numpy as np

CENTRINGS = ("per_snapshot_mean", "relative_to_t0", "temporal_mean", "none")


def numeric(values: np.ndarray, name: str, complex_too: bool = False) -> np.ndarray:
    """The values, unchanged, if they are numbers.

    Raises
    ------
    ValueError
        If they are not real (or complex) numbers. The message calls them ``name``.
    """
    values = np.asarray(values)
    if values.dtype.kind not in ("biufc" if complex_too else "biuf"):
        allowed = "real or complex" if complex_too else "real"
        raise ValueError(f"{name}: of dtype {values.dtype}; allowed are {allowed} numbers")
    return values


def levels(n_quantiles: int) -> np.ndarray:
    """The quantiles of an embedding: evenly spaced from .05 to .95, (n_quantiles,)."""
    return np.linspace(0.05, 0.95, n_quantiles)


def embed(trajectory: Mapping[str, np.ndarray], embedding: Mapping) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The quantile embedding of what a run recorded.

    Parameters
    ----------
    trajectory : of a training, with ``fingerprint_step`` (T,) and the readings of both splits (T, probe_size)
    embedding : ``probe_split``, ``n_quantiles``

    Returns
    -------
    steps (T,), quantiles (q,), snapshots (T, q).
    """
    quantiles = levels(embedding["n_quantiles"])
    snapshots = quantile_embedding(trajectory[embedding["probe_split"]], quantiles)
    return trajectory["fingerprint_step"], quantiles, snapshots


def quantile_embedding(log_probs: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Empirical quantiles of each snapshot over the equations of the probe, linearly interpolated.

    The quantiles do not depend on which equation has which reading: runs are compared by the distribution of readings.

    Parameters
    ----------
    log_probs : (T, n), a row for each snapshot
    quantiles : (q,) in [0, 1]

    Returns
    -------
    (T, q) float64, in the unit of ``log_probs``.

    Raises
    ------
    ValueError
        If there is no snapshot, the probe is empty, or a reading is not a finite real number.
    """
    log_probs = np.asarray(numeric(log_probs, "log_probs"), np.float64)
    if log_probs.ndim != 2 or 0 in log_probs.shape:
        raise ValueError(
            f"log_probs: shape {log_probs.shape}; it needs (T, n) with a snapshot and an equation at least"
        )
    if not np.isfinite(log_probs).all():
        raise ValueError("log_probs: some are not finite")
    return np.ascontiguousarray(np.quantile(log_probs, quantiles, axis=1).T)


def center(snapshots: np.ndarray, mode: str) -> np.ndarray:
    """Subtract what should not count as dynamics.

    Parameters
    ----------
    snapshots : (T, q)
    mode : ``per_snapshot_mean`` subtracts from each snapshot its mean (rows sum to 0), ``relative_to_t0`` the first of
        the given snapshots (the first row is 0; it is step 0 only if they begin there), ``temporal_mean`` the mean
        over snapshots (columns sum to 0), ``none`` nothing

    Returns
    -------
    (T, q) float64, or complex128 for complex snapshots; a new array.

    Raises
    ------
    ValueError
        If the mode is unknown, or the snapshots are not numbers.
    """
    snapshots = numeric(snapshots, "snapshots", complex_too=True)
    snapshots = np.array(snapshots, np.complex128 if np.iscomplexobj(snapshots) else np.float64)
    if mode == "per_snapshot_mean":
        return snapshots - snapshots.mean(axis=1, keepdims=True)
    if mode == "relative_to_t0":
        return snapshots - snapshots[:1]
    if mode == "temporal_mean":
        return snapshots - snapshots.mean(axis=0)
    if mode != "none":
        raise ValueError(f"center_mode: {mode!r} is unknown; allowed: {', '.join(CENTRINGS)}")
    return snapshots
