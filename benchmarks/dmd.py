"""Eigenvalues of Hankel-DMD at the size of a grokking run, against PyDMD's, at equal accuracy."""

import warnings
from collections.abc import Callable

import numpy as np
from pydmd import HankelDMD

from memorization.grokking.dynamics.dmd import dmd_eigenvalues, spectral_distance

STEPS, CHANNELS, DELAYS, RANK = 3001, 19, 32, 10


def snapshots() -> np.ndarray:
    """Ten smooth modes in 19 channels and a little noise: (3001, 19)."""
    rng = np.random.default_rng(0)
    angles, t = np.array([0.002, 0.01, 0.05, 0.2, 0.6]), np.arange(STEPS)[:, None]
    courses = 0.9995**t * np.concatenate([np.cos(angles * t), np.sin(angles * t)], axis=1)
    return courses @ rng.standard_normal((10, CHANNELS)) + 1e-3 * rng.standard_normal((STEPS, CHANNELS))


def make() -> tuple[Callable[[], None], Callable[[], None]]:
    data = snapshots()

    def theirs() -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the condition number of a Hankel matrix
            return HankelDMD(svd_rank=RANK, d=DELAYS).fit(data.T).eigs

    def ours() -> np.ndarray:
        return dmd_eigenvalues(data, DELAYS, RANK)

    if spectral_distance(ours(), theirs()) * RANK > 1e-8:
        raise RuntimeError("the two sides give different eigenvalues")
    return ours, theirs


ROWS = [(f"grokking, DMD eigenvalues, T={STEPS}, {CHANNELS} channels, d={DELAYS}", "PyDMD's HankelDMD", 4.0, make)]
