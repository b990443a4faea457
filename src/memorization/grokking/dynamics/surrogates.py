"""Surrogate fingerprints without the dynamics in question, to compare their spectra with those of the data.

A delay embedding of a smooth series, or even of a random one, has eigenvalues near the unit circle. A modulus means
something only in comparison with those of surrogates.
"""

import numpy as np

from memorization.grokking.dynamics.fingerprint import numeric

KINDS = ("phase_randomised", "white_noise")


def phase_randomised(snapshots: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same trends, power spectra and linear correlations between channels, with random phases.

    One random phase for each frequency is added to all channels (Prichard and Theiler 1994). Linear, stationary
    properties of the series remain; the times and the order of events are lost. A Fourier series is periodic, so a
    series that ends elsewhere than it begins has a jump there, which random phases would spread over the whole
    surrogate (Theiler et al. 1992; Schreiber and Schmitz 2000, chao-dyn/9909037, section 4.6). Therefore the straight
    line from the first snapshot to the last is subtracted before and added back after. Means and net changes remain.

    Parameters
    ----------
    snapshots : (T, q), real

    Returns
    -------
    (T, q) float64.

    Raises
    ------
    ValueError
        If the snapshots are not real numbers.
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
    """Independent normal snapshots with the means and the covariance of the channels: (T, q) real -> (T, q).

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
    """A surrogate of a kind in ``KINDS``."""
    return {"phase_randomised": phase_randomised, "white_noise": white_noise}[kind](snapshots, rng)
