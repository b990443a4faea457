import numpy as np
import pytest

from memorization.grokking.dynamics.fingerprint import CENTRINGS, center, levels, quantile_embedding


def test_levels_are_nineteen_twentieths():
    np.testing.assert_allclose(levels(19), np.arange(1, 20) / 20)


def test_quantiles_are_interpolated_linearly():
    rng = np.random.default_rng(0)
    readings = rng.standard_normal((7, 100)).astype(np.float32)
    embedded = quantile_embedding(readings, levels(19))
    assert embedded.shape == (7, 19)
    assert embedded.dtype == np.float64
    ordered = np.sort(readings.astype(np.float64), axis=1)
    for column, level in enumerate(levels(19)):
        place = level * 99
        low = int(np.floor(place))
        expected = ordered[:, low] + (place - low) * (ordered[:, min(low + 1, 99)] - ordered[:, low])
        np.testing.assert_allclose(embedded[:, column], expected, atol=1e-14)


def test_which_equation_reads_what_does_not_matter():
    readings = np.random.default_rng(0).standard_normal((3, 50))
    np.testing.assert_array_equal(
        quantile_embedding(readings, levels(5)), quantile_embedding(readings[:, ::-1], levels(5))
    )


@pytest.mark.parametrize("readings", [np.zeros((0, 5)), np.zeros((5, 0)), np.zeros(5)])
def test_an_empty_probe_is_refused(readings):
    with pytest.raises(ValueError, match="log_probs: shape"):
        quantile_embedding(readings, levels(19))


def test_readings_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="some are not finite"):
        quantile_embedding(np.array([[0.0, -np.inf]]), levels(3))


NO_NUMBERS = [np.ones((4, 3), object), np.array([["1.5", "2"]] * 4), np.zeros((4, 3), "M8[s]"), np.zeros((4, 3), "V2")]


@pytest.mark.parametrize("values", NO_NUMBERS)
def test_what_is_of_another_kind_than_numbers_is_refused(values):
    with pytest.raises(ValueError, match=r"log_probs: of dtype .*; allowed are real numbers$"):
        quantile_embedding(values, levels(3))
    with pytest.raises(ValueError, match=r"snapshots: of dtype .*; allowed are real or complex numbers$"):
        center(values, "none")


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_readings_have_no_order(dtype):
    with pytest.raises(ValueError, match="log_probs: of dtype complex"):
        quantile_embedding(np.ones((4, 3), dtype), levels(3))


@pytest.mark.parametrize("mode", CENTRINGS)
def test_both_parts_of_complex_snapshots_are_centred(mode):
    real, imaginary = np.random.default_rng(0).standard_normal((2, 9, 4))
    expected = center(real, mode) + 1j * center(imaginary, mode)
    np.testing.assert_allclose(center(real + 1j * imaginary, mode), expected, atol=1e-14)


def test_centring_takes_out_what_it_says_and_no_more():
    snapshots = np.random.default_rng(0).standard_normal((9, 4)) + 5
    centred = {mode: center(snapshots, mode) for mode in CENTRINGS}
    np.testing.assert_allclose(centred["per_snapshot_mean"].sum(axis=1), 0, atol=1e-12)
    np.testing.assert_array_equal(centred["relative_to_t0"][0], 0)
    np.testing.assert_allclose(centred["relative_to_t0"] + snapshots[0], snapshots, atol=1e-12)
    np.testing.assert_allclose(centred["temporal_mean"].sum(axis=0), 0, atol=1e-12)
    np.testing.assert_array_equal(centred["none"], snapshots)
    assert centred["none"] is not snapshots
    for mode in CENTRINGS[:1]:  # differences between channels of a snapshot stay
        np.testing.assert_allclose(np.diff(centred[mode], axis=1), np.diff(snapshots, axis=1), atol=1e-12)
    with pytest.raises(ValueError, match="center_mode: 'mean' is unknown; allowed: per_snapshot_mean"):
        center(snapshots, "mean")
