import numpy as np
import pytest

from memorization.grokking.dynamics.dmd import dmd, hankel, pairs
from memorization.grokking.dynamics.residuals import reconstruction_residual, run_residuals, sliding_residuals

T = np.arange(120)
LINEAR = np.stack([0.99**T * np.cos(0.2 * T), 0.99**T * np.sin(0.2 * T), 0.97**T], axis=1)
COMPLEX = np.stack([0.99**T * np.exp(0.2j * T), 0.97**T * np.exp(-1.1j * T), 1j * 0.98**T], axis=1)
real_and_complex = pytest.mark.parametrize("series", [LINEAR, COMPLEX])


@real_and_complex
def test_linear_dynamics_are_told_in_full(series):
    assert reconstruction_residual(series, 4, 3) < 1e-8


def test_a_constant_stretch_is_told_in_full():
    assert reconstruction_residual(np.ones((50, 3)), 4, 2) == 0


def test_nothing_leads_from_zero_to_what_is_not():
    snapshots = np.zeros((30, 5))
    snapshots[-1] = 1
    assert reconstruction_residual(snapshots, 4, 3) == 1


def test_a_mode_that_grows_fast_does_not_hide_the_others():
    t = np.arange(100)
    snapshots = np.stack([1.5 ** (t - 99.0), np.cos(0.3 * t), np.sin(0.3 * t)], axis=1)
    assert reconstruction_residual(snapshots, 4, 3) < 1e-8
    assert reconstruction_residual(1e4 ** (t[:, None] - 75.0), 4, 1) < 1e-8  # its plain powers end beyond floats


@real_and_complex
def test_what_is_left_is_what_a_plain_least_squares_fit_of_all_windows_leaves(series):
    rng = np.random.default_rng(0)
    snapshots = series + 0.1 * rng.standard_normal(LINEAR.shape)
    before, after = pairs(snapshots, 4)
    windows = np.concatenate([before, after[:, -1:]], axis=1)
    modes = dmd(before, after, 3)
    design = np.stack(
        [
            np.outer(vector, value ** np.arange(windows.shape[1])).ravel()
            for vector, value in zip(modes.vectors.T, modes.eigenvalues, strict=True)
        ],
        axis=1,
    )
    amplitudes = np.linalg.lstsq(design, windows.ravel().astype(complex), rcond=None)[0]
    expected = np.linalg.norm(design @ amplitudes - windows.ravel()) / np.linalg.norm(windows)
    assert 0.05 < expected < 1
    assert reconstruction_residual(snapshots, 4, 3) == pytest.approx(expected, rel=1e-8)


def test_the_size_of_complex_snapshots_is_that_of_both_parts():
    rng = np.random.default_rng(0)
    snapshots = COMPLEX + rng.standard_normal((120, 3, 2)) @ [0.1, 0.1j]
    table, turned = (sliding_residuals(T, each, 40, 20, 4, 2) for each in (snapshots, 1j * snapshots))
    windows = hankel(snapshots[20:60], 4)
    size = np.sqrt((windows.real**2 + windows.imag**2).mean())
    assert table["unexplained"].iloc[1] == pytest.approx(table["residual"].iloc[1] * size)
    assert (table["residual"] > 0.01).all()
    np.testing.assert_allclose(turned, table, atol=1e-9)


@pytest.mark.parametrize("dtype", [object, str])
def test_snapshots_that_are_no_numbers_are_refused(dtype):
    with pytest.raises(ValueError, match=r"snapshots: of dtype .*; allowed are real or complex numbers"):
        reconstruction_residual(LINEAR.astype(dtype), 4, 3)


def test_a_change_of_dynamics_stands_out_where_it_is():
    other = np.stack([np.cos(0.9 * T), np.sin(0.9 * T), 0.9**T], axis=1)
    snapshots = np.concatenate([LINEAR, other + LINEAR[-1]])
    table = sliding_residuals(2 * np.arange(240), snapshots, 40, 5, 4, 4)
    assert table["step"].tolist() == [2 * (first + 39) for first in range(0, 201, 5)]
    assert (table["step"] - table["first_step"] == 78).all()
    across = (table["first_step"] < 2 * 120) & (table["step"] >= 2 * 120)
    assert table.loc[~across & (table["step"] < 240), "residual"].max() < 1e-6
    assert table.loc[across, "residual"].max() > 0.1


def test_a_run_that_is_shorter_than_a_stretch_is_refused():
    with pytest.raises(ValueError, match=r"residual\.length: 121; a run of 120 snapshots allows 120 at most"):
        sliding_residuals(T, LINEAR, 121, 5, 4, 3)


def test_a_run_s_residuals_say_whose_they_are():
    settings = {"center_mode": "relative_to_t0", "length": 40, "stride": 20, "n_delays": 4, "k_mode": 2}
    table = run_residuals(T, LINEAR, "wd_1", 2, settings)
    assert table["condition"].unique().tolist() == ["wd_1"]
    assert table["seed"].unique().tolist() == [2]
    assert list(table) == ["condition", "seed", "step", "first_step", "residual", "unexplained"]
    centred = LINEAR - LINEAR[0]
    share = reconstruction_residual(centred[20:60], 4, 2)
    assert table["residual"].iloc[1] == pytest.approx(share)
    windows = np.stack([centred[n : n + 4].ravel() for n in range(20, 57)])
    assert table["unexplained"].iloc[1] == pytest.approx(share * np.sqrt((windows**2).mean()))
