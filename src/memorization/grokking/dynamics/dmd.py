"""Dynamic mode decomposition of delay-embedded snapshots, in three ways, and the distance between spectra.

Z and Z' hold successive windows of ``n_delays`` snapshots, real or complex, in their columns, a window of Z' one
snapshot after that of Z; * is the conjugate transpose. The methods differ in the linear map of rank k that they take
from Z to Z':

``projected``     λ = eig(Uₖ* Z' Vₖ Sₖ⁻¹), the map seen in the k leading directions of Z (Schmid 2010; as Redman
                  et al. compute it);
``reduced_rank``  the least-squares map of rank k, A = Pₖ Z' Z⁺, Pₖ the projector on the k leading left singular
                  vectors of Z' Z⁺ Z (Izenman 1975; Héas and Herzet, arXiv 1610.02962);
``refined``       in the space of ``projected``, for each of its eigenvalues the vector of the least residual, and
                  that vector's Rayleigh quotient (Drmač, Mezić and Mohr, arXiv 1708.02685, section 3).
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
OVERSAMPLING, SWEEPS = 10, 2  # of the leading singular vectors


@dataclass
class Modes:
    """A spectrum and what belongs to it, in the order of |λ| falling; of a conjugate pair, Im λ > 0 comes first.

    Eigenvalues of real snapshots are real or come in conjugate pairs, those of complex ones need not.

    Attributes
    ----------
    eigenvalues : (m,) complex, m ≤ rank
    vectors : (n_delays · q, m) complex, of unit length
    residuals : (m,), ‖Z' Z⁺ x - λ x‖ of the unit vectors x
    amplitudes : (m,), the root mean square over windows of a mode's coordinate; they sum to 1
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
        If ``n_delays`` is below 1 or above T, or the snapshots are no numbers.
    """
    snapshots = numeric(snapshots, "snapshots", complex_too=True)
    snapshots = snapshots.astype(np.complex128 if np.iscomplexobj(snapshots) else np.float64, copy=False)
    if not 1 <= n_delays <= len(snapshots):
        raise ValueError(f"n_delays: {n_delays}; a run of {len(snapshots)} snapshots allows 1 to {len(snapshots)}")
    windows = np.lib.stride_tricks.sliding_window_view(snapshots, n_delays, axis=0)  # (T - d + 1, q, d)
    return windows.transpose(0, 2, 1).reshape(len(windows), -1)


def pairs(runs: np.ndarray | Sequence[np.ndarray], n_delays: int) -> tuple[np.ndarray, np.ndarray]:
    """Z and Z', (n_delays · q, N) each: pairs of successive windows of one run (T, q) or of several, one after another.

    Windows of different runs are never paired.

    Raises
    ------
    ValueError
        If a run is not longer than ``n_delays``, or the snapshots hold no change at all, or are no finite numbers.
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
    """Eigenvalues of Hankel-DMD, by |λ| falling.

    Parameters
    ----------
    snapshots : (T, q), or several runs' whose pairs are pooled
    n_delays : snapshots in a window
    rank : k, at most min(n_delays · q, pairs)
    method : ``projected``, ``reduced_rank`` or ``refined``

    Returns
    -------
    (≤ rank,) complex: fewer where the data span fewer directions.

    Raises
    ------
    ValueError
        If the rank is above what the data have, ``n_delays`` is longer than the run, the method is unknown, or
        the snapshots are constant, or 0 but for the last.
    """
    return dmd(*pairs(snapshots, n_delays), rank, method).eigenvalues


def dmd(before: np.ndarray, after: np.ndarray, rank: int, method: str = "projected") -> Modes:
    """The modes of the map from ``before`` to ``after``, (n, N) each; see ``dmd_eigenvalues``.

    Where ``before`` is 0 throughout there is no map: a ValueError, as where one of them holds no numbers.
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
    course = np.linalg.lstsq(coordinates, basis.conj().T @ before, rcond=None)[0]  # of each mode over the windows
    amplitudes = np.sqrt((np.abs(course) ** 2).mean(axis=1))
    return Modes(values, basis @ coordinates, residuals, amplitudes / amplitudes.sum())


def leading_singular_vectors(matrix: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The leading singular triplets of an (n, N) matrix, as many as ``rank`` but for those that are round-off.

    The Gram matrix's eigenvectors are fast to come by, but squaring the singular values loses half of their
    digits. Two sweeps of block iteration on the matrix itself win them back (Golub and Van Loan 2013, section 8.6).

    Returns
    -------
    left (n, r), sizes (r,) falling, right (N, r); r ≤ rank.
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
    a, b : eigenvalues; for as many in either, all of one weight, it is the mean distance of the best matching,
        and the same value as ``scipy.stats.wasserstein_distance_nd`` at a fraction of its time
    weights_a, weights_b : what each eigenvalue counts, such as the amplitude of its mode; equal by default

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
    """The leading directions of ``before``, (n, r) orthonormal, and what the data's map makes of them, (n, r)."""
    left, sizes, right = leading_singular_vectors(before, rank)
    return left, after @ (right / sizes)


def _reduced_rank(before: np.ndarray, after: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """The same in the leading directions of what is predicted, by a full singular value decomposition."""
    left, sizes, right = svd(before, full_matrices=False)
    kept = sizes > RCOND * sizes[0]
    left, sizes, right = left[:, kept], sizes[kept], right[kept]
    predicted = after @ right.conj().T  # Z' Z⁺ Z, seen in the right singular vectors of Z
    basis, strength, _ = svd(predicted, full_matrices=False)
    r = max(1, int((strength[:rank] > RCOND * strength[0]).sum()))  # one, of eigenvalue 0, where all is followed by 0
    basis = basis[:, :r]
    return basis, predicted @ (left.conj().T @ basis / sizes[:, None])


def _refined(basis: np.ndarray, image: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each λ the unit w of the least ‖(image - λ basis) w‖, and its Rayleigh quotient w* basis* image w."""
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
