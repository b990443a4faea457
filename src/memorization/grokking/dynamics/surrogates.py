"""Fingerprints without the dynamics in question, whose spectra stand beside those of the data.

A delay embedding of smooth or even of random series has eigenvalues near the unit circle by itself, so a
modulus says nothing without what these reach.
"""

import numpy as np

from memorization.grokking.dynamics.fingerprint import numeric

KINDS = ("phase_randomised", "white_noise")


def phase_randomised(snapshots: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same trends, power spectra and linear correlations between channels, with random phases.

    One random phase a frequency is added to all channels (Prichard and Theiler 1994): what is linear and
    stationary in the series stays, when and how anything happened is lost. A Fourier series is periodic, so a series
    that does not end where it begins has a jump there, and random phases spread that jump over the whole surrogate
    (Theiler et al. 1992; Schreiber and Schmitz 2000, chao-dyn/9909037, section 4.6). So the straight line from each
    series' first snapshot to its last is taken off before and put back after. Means and net changes stay as well.

    Parameters
    ----------
    snapshots : (T, q), real

    Returns
    -------
    (T, q) float64.

    Raises
    ------
    ValueError
        If the snapshots are no real numbers.
    """
    snapshots = numeric(snapshots, "snapshots")
    n = len(snapshots)
    line = np.linspace(snapshots[0], snapshots[-1], n)
    spectrum = np.fft.rfft(snapshots - line, axis=0)
    phases = np.exp(2j * np.pi * rng.random(len(spectrum)))
    phases[0] = 1
    if n % 2 == 0:  # the highest frequency is real
        phases[-1] = 1 if phases[-1].real >= 0 else -1
    return line + np.fft.irfft(spectrum * phases[:, None], n, axis=0)


def white_noise(snapshots: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Independent snapshots, normal with the means and the covariance of the channels: (T, q) real -> (T, q).

    Raises
    ------
    ValueError
        If the snapshots are no real numbers.
    """
    snapshots = numeric(snapshots, "snapshots")
    mean = snapshots.mean(axis=0)
    spread = np.linalg.svd(snapshots - mean, full_matrices=False)
    factor = spread.S[:, None] * spread.Vh / np.sqrt(len(snapshots))
    return mean + rng.standard_normal((len(snapshots), len(factor))) @ factor


def surrogate(kind: str, snapshots: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A surrogate of a kind, a name in ``KINDS``."""
    return {"phase_randomised": phase_randomised, "white_noise": white_noise}[kind](snapshots, rng)
