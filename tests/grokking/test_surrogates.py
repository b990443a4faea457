import numpy as np
import pytest

from memorization.grokking.dynamics.surrogates import KINDS, phase_randomised, surrogate, white_noise


def walk(steps, channels=3):
    return np.cumsum(np.random.default_rng(0).standard_normal((steps, channels)), axis=0) @ [
        [1, 0.5, 0],
        [0, 1, 0],
        [1, 1, 1],
    ]


@pytest.mark.parametrize("steps", [200, 201])
def test_random_phases_keep_trends_power_cross_spectra_and_means(steps):
    snapshots = walk(steps)
    made = phase_randomised(snapshots, np.random.default_rng(1))
    line = snapshots[0] + np.arange(steps)[:, None] / (steps - 1) * (snapshots[-1] - snapshots[0])
    before, after = (np.fft.rfft(series - line, axis=0) for series in (snapshots, made))
    np.testing.assert_allclose(np.abs(after), np.abs(before), atol=1e-9)
    cross = [spectrum[:, 0] * spectrum[:, 2].conj() for spectrum in (before, after)]
    np.testing.assert_allclose(*cross, atol=1e-6)
    np.testing.assert_allclose(made.mean(axis=0), snapshots.mean(axis=0), atol=1e-10)
    assert np.abs(made - snapshots).mean() > 0.1 * snapshots.std()


def test_ends_that_differ_make_no_jump():
    """A ramp is told by its line alone; a cycle upon it is as smooth after as before."""
    t = np.arange(400.0)[:, None]
    np.testing.assert_allclose(phase_randomised(t, np.random.default_rng(0)), t, atol=1e-9)
    snapshots = t / 100 + 0.1 * np.sin(2 * np.pi * t / 399)
    for seed in range(5):
        made = phase_randomised(snapshots, np.random.default_rng(seed))
        assert np.abs(np.diff(made, axis=0)).max() < 1.1 * np.abs(np.diff(snapshots, axis=0)).max()
        assert np.abs(made[-1] - made[0] - 4).max() < 0.05


def test_white_noise_keeps_means_and_covariance_and_no_order():
    snapshots = walk(4000)
    made = white_noise(snapshots, np.random.default_rng(1))
    np.testing.assert_allclose(np.cov(made.T), np.cov(snapshots.T), rtol=0.15, atol=0.05 * np.cov(snapshots.T).max())
    np.testing.assert_allclose(made.mean(axis=0), snapshots.mean(axis=0), atol=0.1 * snapshots.std())
    centred = made - made.mean(axis=0)
    assert abs((centred[1:] * centred[:-1]).mean() / (centred**2).mean()) < 0.05


def test_a_constant_channel_stays_constant():
    snapshots = np.stack([np.full(100, 2.0), np.arange(100.0)], axis=1)
    for kind in KINDS:
        np.testing.assert_allclose(surrogate(kind, snapshots, np.random.default_rng(0))[:, 0], 2, atol=1e-12)


def test_surrogates_are_the_same_each_time():
    for kind in KINDS:
        one, two = (surrogate(kind, walk(50), np.random.default_rng(3)) for _ in range(2))
        np.testing.assert_array_equal(one, two)
        assert not np.array_equal(one, surrogate(kind, walk(50), np.random.default_rng(4)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [complex, np.complex64, object, str])
def test_snapshots_that_are_no_real_numbers_are_refused(kind, dtype):
    with pytest.raises(ValueError, match=r"snapshots: of dtype .*; allowed are real numbers"):
        surrogate(kind, walk(20).astype(dtype), np.random.default_rng(0))
