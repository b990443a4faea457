"""Dynamic mode decomposition of delay-embedded snapshots by three methods, and the distance between spectra.

The columns of Z and Z' are successive windows of ``n_delays`` snapshots, real or complex. A window of Z' begins one
snapshot after that of Z; * is the conjugate transpose. The methods differ in their linear map of rank k from Z to Z':

``projected``     λ = eig(Uₖ* Z' Vₖ Sₖ⁻¹), the map seen in the k leading directions of Z (Schmid 2010; as Redman
                  et al. compute it);
``reduced_rank``  the least-squares map of rank k, A = Pₖ Z' Z⁺, Pₖ the projector on the k leading left singular
                  vectors of Z' Z⁺ Z (Izenman 1975; Héas and Herzet, arXiv 1610.02962);
``refined``       for each eigenvalue of ``projected``, the vector of its space with the smallest residual, and the
                  Rayleigh quotient of that vector (Drmač, Mezić and Mohr, arXiv 1708.02685, section 3).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh, qr, svd
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance_nd

from memorization.grokking.dynamics.fingerprint import numeric

METHODS = ("projected", "reduced_rank", "refined")
RCOND = 1e-10  # singular values of Z below this share of the largest count as 0 in Z⁺
OVERSAMPLING, SWEEPS = 10, 2  # for the leading singular vectors


@dataclass
class Modes:
    """A spectrum and its modes, by falling |λ|; of a conjugate pair, Im λ > 0 comes first.

    Eigenvalues of real snapshots are real or come in conjugate pairs. Those of complex snapshots need not.

    Attributes
    ----------
    eigenvalues : (m,) complex, m ≤ rank
    vectors : (n_delays · q, m) complex, of unit length
    residuals : (m,), ‖Z' Z⁺ x - λ x‖ of the unit vectors x
    amplitudes : (m,), root mean square of a mode's coordinate over the windows; they sum to 1
    """

    eigenvalues: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray
    amplitudes: np.ndarray


def hankel(snapshots: np.ndarray, n_delays: int) -> np.ndarray:
    """Windows of successive snapshots: (T, q) -> (T - n_delays + 1, n_delays · q), the oldest snapshot first.

    Raises
    ------
    ValueError
        If ``n_delays`` is below 1 or above T, or the snapshots are not numbers.
    """
    snapshots = numeric(snapshots, "snapshots", complex_too=True)
    snapshots = snapshots.astype(np.complex128 if np.iscomplexobj(snapshots) else np.float64, copy=False)
    if not 1 <= n_delays <= len(snapshots):
        raise ValueError(f"n_delays: {n_delays}; a run of {len(snapshots)} snapshots allows 1 to {len(snapshots)}")
    windows = np.lib.stride_tricks.sliding_window_view(snapshots, n_delays, axis=0)  # (T - d + 1, q, d)
    return windows.transpose(0, 2, 1).reshape(len(windows), -1)


def pairs(runs: np.ndarray | Sequence[np.ndarray], n_delays: int) -> tuple[np.ndarray, np.ndarray]:
    """Z and Z', (n_delays · q, N) each: pairs of successive windows of one run (T, q) or of several runs.

    Windows of different runs are never paired.

    Raises
    ------
    ValueError
        If a run is not longer than ``n_delays``, or the snapshots do not change, or are not finite numbers.
    """
    runs = [runs] if isinstance(runs, np.ndarray) else runs
    runs = [numeric(run, "snapshots", complex_too=True) for run in runs]
    for run in runs:
        if not 1 <= n_delays < len(run):
            raise ValueError(f"n_delays: {n_delays}; a run of {len(run)} snapshots allows 1 to {len(run) - 1}")
        if not np.isfinite(run).all():
            raise ValueError("snapshots: some are not finite")
    if all((run == run[0]).all() for run in runs):
        raise ValueError("snapshots: they are constant, and have no dynamics")
    windows = [hankel(run, n_delays) for run in runs]
    return np.concatenate([rows[:-1] for rows in windows]).T, np.concatenate([rows[1:] for rows in windows]).T


def dmd_eigenvalues(
    snapshots: np.ndarray | Sequence[np.ndarray], n_delays: int, rank: int, method: str = "projected"
) -> np.ndarray:
    """Eigenvalues of Hankel-DMD, by falling |λ|.

    Parameters
    ----------
    snapshots : (T, q) of one run, or of several runs, whose pairs are pooled
    n_delays : snapshots in a window
    rank : k, at most min(n_delays · q, pairs)
    method : ``projected``, ``reduced_rank`` or ``refined``

    Returns
    -------
    (≤ rank,) complex; fewer if the data span fewer directions.

    Raises
    ------
    ValueError
        If the data do not have that rank, the run is not longer than ``n_delays``, the method is unknown, the snapshots
        are constant, or all but the last are 0.
    """
    return dmd(*pairs(snapshots, n_delays), rank, method).eigenvalues


def dmd(before: np.ndarray, after: np.ndarray, rank: int, method: str = "projected") -> Modes:
    """The modes of the map from ``before`` to ``after``, (n, N) each; see ``dmd_eigenvalues``.

    A ValueError if ``before`` is 0 everywhere, so that there is no map, or if one of them does not hold numbers.
    """
    before, after = numeric(before, "before", complex_too=True), numeric(after, "after", complex_too=True)
    if not before.any():
        raise ValueError("snapshots: all but the last are 0, and have no dynamics")
    if method not in METHODS:
        raise ValueError(f"method: {method!r} is unknown; allowed: {', '.join(METHODS)}")
    if not 1 <= rank <= min(before.shape):
        raise ValueError(f"rank: {rank}; data of shape {before.shape} allow 1 to {min(before.shape)}")
    basis, image = (_reduced_rank if method == "reduced_rank" else _projected)(before, after, rank)
    values, coordinates = np.linalg.eig(basis.conj().T @ image)
    if method == "refined":
        values, coordinates = _refined(basis, image, values)
    order = np.lexsort((-values.imag, -np.abs(values)))
    values, coordinates = values[order].astype(complex), coordinates[:, order].astype(complex)
    coordinates /= np.linalg.norm(coordinates, axis=0)
    residuals = np.linalg.norm(image @ coordinates - basis @ coordinates * values, axis=0)
    course = np.linalg.lstsq(coordinates, basis.conj().T @ before, rcond=None)[0]  # by mode
    amplitudes = np.sqrt((np.abs(course) ** 2).mean(axis=1))
    return Modes(values, basis @ coordinates, residuals, amplitudes / amplitudes.sum())


def leading_singular_vectors(matrix: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The leading singular triplets of an (n, N) matrix, at most ``rank`` of them, without those that are round-off.

    The eigenvectors of the Gram matrix are fast to compute, but squaring the singular values loses half of their
    digits. Two sweeps of block iteration on the matrix itself recover them (Golub and Van Loan 2013, section 8.6).

    Returns
    -------
    left (n, r), singular values (r,) from the largest on, right (N, r); r ≤ rank.
    """
    if matrix.shape[0] > matrix.shape[1]:
        right, sizes, left = leading_singular_vectors(matrix.conj().T, rank)
        return left, sizes, right
    n = len(matrix)
    width = min(rank + OVERSAMPLING, n)
    _, left = eigh(matrix @ matrix.conj().T, subset_by_index=[n - width, n - 1])
    for _ in range(SWEEPS):
        right, _ = qr(matrix.conj().T @ left, mode="economic")
        left, _ = qr(matrix @ right, mode="economic")
    inner, sizes, right = svd(left.conj().T @ matrix, full_matrices=False)
    r = max(1, int((sizes[:rank] > max(matrix.shape) * np.finfo(float).eps * sizes[0]).sum()))
    return left @ inner[:, :r], sizes[:r], right[:r].conj().T


def spectral_distance(
    a: np.ndarray, b: np.ndarray, weights_a: np.ndarray | None = None, weights_b: np.ndarray | None = None
) -> float:
    """Wasserstein-1 distance between two spectra in the complex plane.

    Parameters
    ----------
    a, b : eigenvalues. For equally many without weights it is the mean distance of the best matching: the value
        of ``scipy.stats.wasserstein_distance_nd`` at a fraction of its time
    weights_a, weights_b : of each eigenvalue, such as the amplitude of its mode; equal by default

    Raises
    ------
    ValueError
        If a spectrum is empty, or only one of them has weights.
    """
    if not (len(a) and len(b)):
        raise ValueError("a spectrum is empty")
    if (weights_a is None) != (weights_b is None):
        raise ValueError("weights: both spectra have them, or none")
    if weights_a is None and len(a) == len(b):
        cost = np.abs(np.subtract.outer(a, b))
        return float(cost[linear_sum_assignment(cost)].mean())
    points = [np.stack([np.real(values), np.imag(values)], axis=1) for values in (a, b)]
    return float(wasserstein_distance_nd(*points, weights_a, weights_b))


def _projected(before: np.ndarray, after: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """The leading directions of ``before``, (n, r) orthonormal, and their images under the map of the data, (n, r)."""
    left, sizes, right = leading_singular_vectors(before, rank)
    return left, after @ (right / sizes)


def _reduced_rank(before: np.ndarray, after: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """The same for the leading directions of the prediction, by a full singular value decomposition."""
    left, sizes, right = svd(before, full_matrices=False)
    kept = sizes > RCOND * sizes[0]
    left, sizes, right = left[:, kept], sizes[kept], right[kept]
    predicted = after @ right.conj().T  # Z' Z⁺ Z, seen in the right singular vectors of Z
    basis, strength, _ = svd(predicted, full_matrices=False)
    r = max(1, int((strength[:rank] > RCOND * strength[0]).sum()))  # one, of eigenvalue 0, if only 0 follows
    basis = basis[:, :r]
    return basis, predicted @ (left.conj().T @ basis / sizes[:, None])


def _refined(basis: np.ndarray, image: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each λ the unit vector w with the least ‖(image - λ basis) w‖; its Rayleigh quotient w* basis* image w."""
    k = len(values)
    both = qr(np.concatenate([basis, image], axis=1), mode="r")[0][: 2 * k]
    vectors = np.empty((k, k), complex)
    for i, value in enumerate(values):
        if np.isrealobj(image) and value.imag < 0:  # numpy puts it right after its conjugate
            vectors[:, i] = vectors[:, i - 1].conj()
        else:
            vectors[:, i] = svd(both[:, k:] - (value if value.imag else value.real) * both[:, :k])[2][-1].conj()
    inner = basis.conj().T @ image
    return np.einsum("ij,ik,kj->j", vectors.conj(), inner, vectors), vectors
