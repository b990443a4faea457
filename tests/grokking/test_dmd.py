import numpy as np
import pytest
from pydmd import HankelDMD
from scipy.stats import wasserstein_distance_nd

from memorization.grokking.dynamics.dmd import (
    METHODS,
    RCOND,
    dmd,
    dmd_eigenvalues,
    hankel,
    leading_singular_vectors,
    pairs,
    spectral_distance,
)

PAIRS = np.array([0.999 * np.exp(0.05j), 0.9995 * np.exp(0.2j), 0.998 * np.exp(0.6j)])
KNOWN = np.concatenate([PAIRS, PAIRS.conj(), [0.9999, 0.999, 0.995, 0.98]])
KNOWN_COMPLEX = np.array([0.9999, 0.999, 0.9995, 0.998, 0.999, 0.99]) * np.exp([0.05j, -0.2j, 0.6j, 1.5j, -3j, 0])


def known_system(noise=0.0, steps=3000, channels=19, seed=0):
    """Ten known eigenvalues, seen in 19 channels: (T, 19)."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((channels, 10)) + 0j
    mixing[:, :3] += 1j * rng.standard_normal((channels, 3))
    mixing[:, 3:6] = mixing[:, :3].conj()
    return (mixing @ KNOWN[:, None] ** np.arange(steps)).real.T + noise * rng.standard_normal((steps, channels))


def complex_system(noise=0.0, steps=3000, channels=19, seed=0):
    """Six known eigenvalues, no two of them conjugates, seen in 19 channels: (T, 19) complex."""
    rng = np.random.default_rng(seed)
    mixing, others = rng.standard_normal((channels, 6, 2)), rng.standard_normal((steps, channels, 2))
    states = KNOWN_COMPLEX[:, None] ** np.arange(steps)
    return (mixing @ [1, 1j] @ states).T + noise * others @ [1, 1j]


def error(eigenvalues, known=KNOWN):
    assert len(eigenvalues) == len(known)
    return spectral_distance(eigenvalues, known) * len(known)  # at least the largest error of a matched one


def small_noisy(steps=200, channels=4, seed=1, system=known_system):
    return system(0.05, steps, channels, seed)


real_and_complex = pytest.mark.parametrize("system", [known_system, complex_system])


def test_hankel_windows_are_rows():
    snapshots = np.arange(12.0).reshape(6, 2)
    windows = hankel(snapshots, 3)
    assert windows.shape == (4, 6)
    for row, window in enumerate(windows):
        np.testing.assert_array_equal(window, np.concatenate([snapshots[row + n] for n in range(3)]))
    assert hankel(np.zeros((3001, 19)), 32).shape == (2970, 608)


def test_runs_are_pooled_and_never_paired_with_each_other():
    one, two = np.arange(5.0)[:, None], 100 + np.arange(4.0)[:, None]
    before, after = pairs([one, two], 2)
    assert before.shape == (2, 5)
    np.testing.assert_array_equal(before[0], [0, 1, 2, 100, 101])
    np.testing.assert_array_equal(after[0], [1, 2, 3, 101, 102])
    assert pairs(np.random.default_rng(0).random((3001, 19)), 32)[0].shape == (608, 2969)


@pytest.mark.parametrize("method", METHODS)
def test_a_known_system_is_found(method):
    assert error(dmd_eigenvalues(known_system(), 32, 10, method)) <= 1e-10
    assert error(dmd_eigenvalues(known_system(noise=1e-3), 32, 10, method)) <= 5e-3


@pytest.mark.parametrize("shape", [(400, 19, 8), (60, 19, 8), (60, 1, 10)])  # steps, channels, delays
@pytest.mark.parametrize("method", METHODS)
def test_a_known_complex_system_is_found(method, shape):
    steps, channels, n_delays = shape
    snapshots = complex_system(steps=steps, channels=channels)
    assert error(dmd_eigenvalues(snapshots, n_delays, 6, method), KNOWN_COMPLEX) <= 1e-9
    conjugate = dmd_eigenvalues(snapshots.conj(), n_delays, 6, method)
    assert error(conjugate, KNOWN_COMPLEX.conj()) <= 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_real_snapshots_called_complex_have_the_same_spectrum(method):
    snapshots = small_noisy()
    one, two = (dmd(*pairs(each, 8), 7, method) for each in (snapshots, snapshots + 0j))
    np.testing.assert_allclose(spectral_distance(one.eigenvalues, two.eigenvalues), 0, atol=1e-10)
    np.testing.assert_allclose(np.sort(one.residuals), np.sort(two.residuals), atol=1e-10)
    np.testing.assert_allclose(np.sort(one.amplitudes), np.sort(two.amplitudes), atol=1e-10)


def test_pooled_runs_of_one_system_have_its_spectrum():
    runs = [known_system(seed=seed, steps=400) for seed in (0, 0)]
    runs[1] = 2 * runs[1]
    assert error(dmd_eigenvalues(runs, 32, 10)) <= 1e-9


@pytest.mark.parametrize("noise", [0.0, 1e-3])
@pytest.mark.filterwarnings("ignore:Input data condition number")
def test_pydmd_agrees(noise):
    snapshots = known_system(noise, steps=1000)
    theirs = HankelDMD(svd_rank=10, d=32).fit(snapshots.T).eigs
    ours = dmd_eigenvalues(snapshots, 32, 10)
    assert len(theirs) == len(ours)
    assert spectral_distance(theirs, ours) * 10 <= 1e-8


@pytest.mark.filterwarnings("ignore:Input data condition number")
def test_pydmd_agrees_below_the_true_rank():
    snapshots = known_system(0.02, steps=800, channels=6)
    theirs = HankelDMD(svd_rank=5, d=12).fit(snapshots.T).eigs
    assert spectral_distance(theirs, dmd_eigenvalues(snapshots, 12, 5)) * 5 <= 1e-8


@pytest.mark.parametrize("method", METHODS)
def test_spectra_are_conjugate_symmetric_and_sorted(method):
    values = dmd_eigenvalues(small_noisy(), 8, 7, method)
    assert (np.diff(np.abs(values)) <= 1e-15).all()
    for value in values:
        assert value.conj() in values
    up = np.flatnonzero(values.imag > 0)
    assert len(up) > 0
    np.testing.assert_array_equal(values[up + 1], values[up].conj())


def plain_operators(before, after, rank):
    """The maps of rank k by their definitions, dense: (n, n)."""
    left, sizes, right = np.linalg.svd(before, full_matrices=False)
    lead = left[:, :rank]
    inverse = right[:rank].conj().T / sizes[:rank] @ lead.conj().T
    projected = lead @ lead.conj().T @ after @ inverse
    full = after @ np.linalg.pinv(before, rcond=RCOND)
    best = np.linalg.svd(full @ before)[0][:, :rank]
    return {"projected": projected, "reduced_rank": best @ best.conj().T @ full}


@real_and_complex
@pytest.mark.parametrize("method", ["projected", "reduced_rank"])
def test_eigenvalues_are_those_of_the_map_by_its_definition(method, system):
    before, after = pairs(small_noisy(system=system), 8)
    plain = np.linalg.eigvals(plain_operators(before, after, 5)[method])
    plain = plain[np.argsort(-np.abs(plain))][:5]
    assert spectral_distance(plain, dmd(before, after, 5, method).eigenvalues) * 5 < 1e-10


def test_reduced_rank_has_the_least_error_of_any_map_of_its_rank():
    before, after = pairs(small_noisy(), 8)
    operators = plain_operators(before, after, 4)
    errors = {name: np.linalg.norm(after - operator @ before) for name, operator in operators.items()}
    assert errors["reduced_rank"] < errors["projected"] * (1 - 1e-6)
    full = after @ np.linalg.pinv(before)
    rng = np.random.default_rng(0)
    left, sizes, right = np.linalg.svd(full)
    others = [left[:, :4] * sizes[:4] @ right[:4]]
    for _ in range(20):
        moved = operators["reduced_rank"] + 1e-3 * rng.standard_normal(full.shape)
        left, sizes, right = np.linalg.svd(moved)
        others.append(left[:, :4] * sizes[:4] @ right[:4])
    for other in others:
        assert np.linalg.norm(after - other @ before) > errors["reduced_rank"]
    # Eckart and Young give the least error in closed form: what Z⁺Z leaves, and the singular values that are cut.
    fitted = full @ before
    cut = np.linalg.svd(fitted, compute_uv=False)[4:]
    least = np.sqrt(np.linalg.norm(after - fitted) ** 2 + (cut**2).sum())
    assert errors["reduced_rank"] == pytest.approx(least, rel=1e-9)


def test_below_the_true_rank_the_methods_differ_and_refined_residuals_are_never_larger():
    before, after = pairs(small_noisy(), 8)
    modes = {method: dmd(before, after, 5, method) for method in METHODS}
    for one, other in [("projected", "reduced_rank"), ("projected", "refined"), ("reduced_rank", "refined")]:
        assert spectral_distance(modes[one].eigenvalues, modes[other].eigenvalues) > 1e-6
    for one in modes["projected"].eigenvalues:  # each has a refined one of no larger residual near it
        place = np.abs(modes["refined"].eigenvalues - one).argmin()
        own = modes["projected"].residuals[np.flatnonzero(modes["projected"].eigenvalues == one)[0]]
        assert modes["refined"].residuals[place] <= own * (1 + 1e-12)
    assert (modes["refined"].residuals < modes["projected"].residuals.max()).all()


@real_and_complex
@pytest.mark.parametrize("seed", range(6))
def test_a_refined_vector_has_the_least_residual_at_its_ritz_value(seed, system):
    """Against every direction of the space: (image - λ basis) by a plain singular value decomposition."""
    before, after = pairs(small_noisy(seed=seed, system=system), 6)
    left, sizes, right = np.linalg.svd(before, full_matrices=False)
    basis, image = left[:, :5], after @ right[:5].conj().T / sizes[:5]
    ritz = dmd(before, after, 5, "projected")
    refined = dmd(before, after, 5, "refined")
    least = [np.linalg.svd(image - value * basis, compute_uv=False)[-1] for value in ritz.eigenvalues]
    assert (np.array(least) <= ritz.residuals * (1 + 1e-9)).all()
    assert (np.sort(refined.residuals) <= np.sort(least) * (1 + 1e-9)).all()


@real_and_complex
def test_modes_are_eigenvectors_of_unit_length_and_amplitudes_sum_to_one(system):
    before, after = pairs(system(steps=600), 16)
    for method in METHODS:
        modes = dmd(before, after, 10, method)
        np.testing.assert_allclose(np.linalg.norm(modes.vectors, axis=0), 1, atol=1e-10)
        full = after @ np.linalg.pinv(before, rcond=RCOND)
        plain = np.linalg.norm(full @ modes.vectors - modes.vectors * modes.eigenvalues, axis=0)
        np.testing.assert_allclose(modes.residuals, plain, atol=1e-6)
        assert modes.amplitudes.sum() == pytest.approx(1)
        courses = np.linalg.pinv(modes.vectors) @ before
        sizes = np.sqrt((np.abs(courses) ** 2).mean(axis=1))
        np.testing.assert_allclose(modes.amplitudes, sizes / sizes.sum(), atol=1e-6)


@pytest.mark.parametrize("imaginary", [0, 1j])
def test_leading_singular_vectors_are_those_of_a_full_decomposition(imaginary):
    rng = np.random.default_rng(0)
    parts = ((rng.standard_normal((size, 60)), rng.standard_normal((size, 60))) for size in (60, 300))
    left, right = (np.linalg.qr(real + imaginary * other if imaginary else real)[0] for real, other in parts)
    matrix = left * np.geomspace(1, 1e-12, 60) @ right.conj().T
    expected = np.linalg.svd(matrix)
    for given, flipped in ((matrix, False), (matrix.conj().T, True)):
        u, sizes, v = leading_singular_vectors(given, 20)
        # Both are off by rounding, of the order of 60 machine epsilons; CPUs differ in it.
        np.testing.assert_allclose(sizes, expected.S[:20], rtol=0, atol=60 * np.finfo(float).eps)
        u, v = (v, u) if flipped else (u, v)
        np.testing.assert_allclose(np.abs((u.conj() * expected.U[:, :20]).sum(axis=0)), 1, atol=1e-7)
        np.testing.assert_allclose(np.linalg.norm(given @ (u if flipped else v), axis=0), sizes, atol=1e-14)


@pytest.mark.parametrize("imaginary", [0, 1j])
def test_singular_vectors_beside_others_of_nearly_their_size_are_found(imaginary):
    """Which two sweeps from elsewhere would not reach."""
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((60, 80)) + imaginary * rng.standard_normal((60, 80))
    _, sizes, _ = leading_singular_vectors(matrix, 20)
    np.testing.assert_allclose(sizes, np.linalg.svd(matrix, compute_uv=False)[:20], rtol=1e-13)


@pytest.mark.parametrize("method", METHODS)
def test_data_of_fewer_directions_have_fewer_modes(method):
    t = np.arange(200)
    snapshots = np.outer(0.99**t, [1.0, 2.0, -1.0])
    values = dmd_eigenvalues(snapshots, 4, 6, method)
    assert len(values) == 1
    assert values[0] == pytest.approx(0.99, abs=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_what_goes_to_zero_at_once_and_stays_has_the_eigenvalue_zero(method):
    values = dmd_eigenvalues(np.eye(50)[:, :1], 1, 1, method)
    np.testing.assert_array_equal(values, [0])


@pytest.mark.parametrize(
    ("snapshots", "n_delays", "rank", "message"),
    [
        (np.ones((50, 3)), 4, 2, "snapshots: they are constant"),
        (known_system(steps=50), 50, 2, "n_delays: 50; a run of 50 snapshots allows 1 to 49"),
        (known_system(steps=50), 0, 2, "n_delays: 0; a run of 50 snapshots allows 1 to 49"),
        (known_system(steps=50), 10, 41, r"rank: 41; data of shape \(190, 40\) allow 1 to 40"),
        (known_system(steps=50), 10, 0, "rank: 0; data of shape"),
        (np.full((50, 3), np.nan), 4, 2, "snapshots: some are not finite"),
        (np.eye(50)[:, -1:], 4, 2, "snapshots: all but the last are 0"),
        (np.full((50, 3), 1j), 4, 2, "snapshots: they are constant"),
        (np.full((50, 3), 1j * np.nan), 4, 2, "snapshots: some are not finite"),
        (
            known_system(steps=50).astype(object),
            4,
            2,
            "snapshots: of dtype object; allowed are real or complex numbers",
        ),
        (known_system(steps=50).astype(str), 4, 2, "snapshots: of dtype <U32; allowed are real or complex numbers"),
        ([np.eye(9), np.eye(9).astype("M8[s]")], 4, 2, "snapshots: of dtype datetime64"),
    ],
)
def test_what_cannot_be_decomposed_is_refused(snapshots, n_delays, rank, message):
    with pytest.raises(ValueError, match=message):
        dmd_eigenvalues(snapshots, n_delays, rank)
    with pytest.raises(ValueError, match="method: 'exact' is unknown; allowed: projected, reduced_rank, refined"):
        dmd_eigenvalues(known_system(steps=50), 4, 2, "exact")


@pytest.mark.parametrize("dtype", [object, str])
def test_windows_that_are_no_numbers_are_refused(dtype):
    before, after = pairs(small_noisy(), 4)
    with pytest.raises(ValueError, match="before: of dtype"):
        dmd(before.astype(dtype), after, 3)
    with pytest.raises(ValueError, match="after: of dtype"):
        dmd(before, after.astype(dtype), 3)


def test_spectra_are_the_same_each_time():
    snapshots = small_noisy()
    for method in METHODS:
        one, two = (dmd(*pairs(snapshots, 8), 5, method) for _ in range(2))
        np.testing.assert_array_equal(one.eigenvalues, two.eigenvalues)
        np.testing.assert_array_equal(one.amplitudes, two.amplitudes)


def test_the_distance_is_wasserstein_s():
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(8) + 1j * rng.standard_normal(8) for _ in range(2))
    flat = [np.stack([values.real, values.imag], axis=1) for values in (a, b)]
    assert spectral_distance(a, b) == pytest.approx(wasserstein_distance_nd(*flat), abs=1e-9)
    assert spectral_distance(a, a[::-1]) == 0
    assert spectral_distance(a, b[:5]) == pytest.approx(wasserstein_distance_nd(flat[0], flat[1][:5]), abs=1e-9)
    even = np.full(8, 3.0)
    assert spectral_distance(a, b, even, even) == pytest.approx(spectral_distance(a, b), abs=1e-9)
    assert spectral_distance(np.array([0, 1 + 0j]), np.array([0, 1 + 0j]), np.array([1, 0]), np.array([0, 1])) == (
        pytest.approx(1)
    )
    with pytest.raises(ValueError, match="a spectrum is empty"):
        spectral_distance(a, b[:0])
    with pytest.raises(ValueError, match="weights: both spectra have them, or none"):
        spectral_distance(a, b, even)
