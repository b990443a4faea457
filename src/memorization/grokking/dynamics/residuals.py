"""How well linear dynamics describe a short stretch of training. Where they fail, training changes its course."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from memorization.grokking.dynamics.dmd import dmd, hankel, pairs
from memorization.grokking.dynamics.fingerprint import center, numeric


def reconstruction_residual(snapshots: np.ndarray, n_delays: int, rank: int) -> float:
    """The share of a stretch that Hankel-DMD leaves unexplained.

    Windows are approximated by a sum of modes that each grow or turn by their own eigenvalue, Σ bⱼ φⱼ λⱼᵗ, with the
    amplitudes b of the least squared error over all windows (Jovanović, Schmid and Nichols 2014).

    Parameters
    ----------
    snapshots : (T, q), real or complex
    n_delays, rank : of the decomposition, by ``projected``

    Returns
    -------
    The Frobenius norm of the error over that of the windows, from 0 (linear dynamics of that rank) to 1. It is 0 for a
    constant stretch, and 1 for a stretch that is 0 up to its last snapshot.

    Raises
    ------
    ValueError
        If the snapshots are not finite numbers, or too few for the decomposition (``dmd.dmd_eigenvalues``).
    """
    snapshots = numeric(snapshots, "snapshots", complex_too=True)
    if (snapshots == snapshots[0]).all():
        return 0.0
    if not snapshots[:-1].any():
        return 1.0
    before, after = pairs(snapshots, n_delays)
    windows = np.concatenate([before, after[:, -1:]], axis=1)
    modes = dmd(before, after, rank)
    # Vandermonde, (m, windows). For a mode that grows, from the last window backwards: then no power is above 1, and
    # least squares does not take small columns for round-off beside a fast one.
    bases, powers = modes.eigenvalues.copy(), np.tile(np.arange(windows.shape[1]), (len(modes.eigenvalues), 1))
    grows = np.abs(bases) > 1
    bases[grows], powers[grows] = 1 / bases[grows], powers[grows, ::-1]
    course = bases[:, None] ** powers
    # First orthonormal directions of the modes, so that solving for b loses no digits.
    basis, coordinates = np.linalg.qr(modes.vectors)
    inside = basis.conj().T @ windows
    design = (coordinates[:, None, :] * course.T[None]).reshape(-1, len(course))
    amplitudes = np.linalg.lstsq(design, inside.reshape(-1), rcond=None)[0]
    left = inside - (coordinates * amplitudes) @ course
    outside = np.linalg.norm(windows) ** 2 - np.linalg.norm(inside) ** 2
    return float(np.sqrt(np.linalg.norm(left) ** 2 + max(outside, 0.0)) / np.linalg.norm(windows))


def sliding_residuals(
    steps: np.ndarray, snapshots: np.ndarray, length: int, stride: int, n_delays: int, rank: int
) -> pd.DataFrame:
    """``reconstruction_residual`` of stretches that slide along a run.

    Parameters
    ----------
    steps : (T,), of the snapshots
    snapshots : (T, q), centered
    length, stride : of the stretches, in snapshots

    Returns
    -------
    DataFrame: ``step``, the last of the stretch, so that the value uses nothing later; ``first_step``;
    ``residual``, a share of the stretch's norm; ``unexplained``, the same as a root mean square in the unit of the
    snapshots. A stretch near 0 has a large share for that reason only, so read the two together.

    Raises
    ------
    ValueError
        If the run is shorter than a stretch.
    """
    if length > len(snapshots):
        raise ValueError(
            f"residual.length: {length}; a run of {len(snapshots)} snapshots allows {len(snapshots)} at most"
        )
    rows = []
    for first in range(0, len(snapshots) - length + 1, stride):
        part = snapshots[first : first + length]
        residual = reconstruction_residual(part, n_delays, rank)
        size = np.sqrt((np.abs(hankel(part, n_delays)) ** 2).mean())
        rows.append((steps[first + length - 1], steps[first], residual, residual * size))
    return pd.DataFrame(rows, columns=["step", "first_step", "residual", "unexplained"])


def run_residuals(
    steps: np.ndarray, snapshots: np.ndarray, condition: str, seed: int, settings: Mapping
) -> pd.DataFrame:
    """``sliding_residuals`` of a run, with its ``condition`` and ``seed``.

    Parameters
    ----------
    settings : ``center_mode`` of the whole run (``relative_to_t0`` subtracts its first snapshot), ``length``,
        ``stride``, ``n_delays``, ``k_mode``
    """
    centred = center(snapshots, settings["center_mode"])
    sizes = (settings[key] for key in ("length", "stride", "n_delays", "k_mode"))
    table = sliding_residuals(steps, centred, *sizes)
    table.insert(0, "condition", condition)
    table.insert(1, "seed", seed)
    return table
