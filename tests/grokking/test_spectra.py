import numpy as np
import pandas as pd
import pytest

from memorization import permutation
from memorization.grokking.dynamics.dmd import dmd_eigenvalues, spectral_distance
from memorization.grokking.dynamics.fingerprint import center
from memorization.grokking.dynamics.spectra import (
    FINGERPRINT,
    distance_matrix,
    distance_tests,
    run_distances,
    spectrum,
    swap_test,
    swap_tests,
)
from memorization.grokking.dynamics.surrogates import KINDS

SETTINGS = {
    "method": "projected", "center_mode": "relative_to_t0", "n_delays": 6, "k_mode": 4, "window": [10, 200],
    "surrogates": 3,
}  # fmt: skip
STEPS = 2 * np.arange(150)
CONDITIONS = ["slow", "fast"]


def snapshots(condition, seed):
    rng = np.random.default_rng(seed)
    radius, angle = {"slow": (0.99, 0.3), "fast": (0.94, 0.8)}[condition]
    t, radius = np.arange(150), radius + 1e-3 * seed
    courses = np.stack([radius**t, radius**t * np.cos(angle * t), radius**t * np.sin(angle * t), 0.9**t], axis=1)
    return courses @ rng.standard_normal((4, 5)) + 1e-7 * rng.standard_normal((150, 5))


@pytest.fixture(scope="module")
def spectra():
    tables = [spectrum(STEPS, snapshots(name, seed), name, seed, SETTINGS) for name in CONDITIONS for seed in range(3)]
    return pd.concat(tables, ignore_index=True)


def test_a_spectrum_is_of_the_window_and_stands_beside_its_surrogates(spectra):
    own = spectra[(spectra["condition"] == "slow") & (spectra["seed"] == 1)]
    assert own.groupby(["data", "draw"]).size().to_dict() == {
        (data, draw): 4 for data in KINDS for draw in range(3)
    } | {(FINGERPRINT, 0): 4}
    inside = center(snapshots("slow", 1)[5:101], "relative_to_t0")  # steps 10 to 200
    expected = dmd_eigenvalues(inside, 6, 4)
    fingerprint = own[own["data"] == FINGERPRINT]
    np.testing.assert_array_equal(fingerprint["real"] + 1j * fingerprint["imag"], expected)
    np.testing.assert_array_equal(fingerprint["modulus"], np.abs(expected))
    assert fingerprint["mode"].tolist() == [0, 1, 2, 3]
    for _, draw in own.groupby(["data", "draw"]):
        assert draw["amplitude"].sum() == pytest.approx(1)
    draws = [part["real"].tolist() for _, part in own.groupby(["data", "draw"])]
    assert len({tuple(draw) for draw in draws}) == 7


def test_a_run_that_stopped_before_the_window_s_end_is_named():
    with pytest.raises(
        ValueError, match=r"grokking.dmd.window: it ends at step 200, but slow, seed 1 stopped at step 98"
    ):
        spectrum(STEPS[:50], snapshots("slow", 1)[:50], "slow", 1, SETTINGS)


def test_every_pair_of_runs_has_a_distance_of_each_draw(spectra):
    table = run_distances(spectra)
    assert len(table) == 15 * 7
    row = table[
        (table["data"] == FINGERPRINT) & (table["condition_a"] == "fast") & (table["condition_b"] == "slow")
    ].iloc[0]
    values, weights = {}, {}
    for side in "ab":
        own = spectra[
            (spectra["data"] == FINGERPRINT)
            & (spectra["condition"] == row[f"condition_{side}"])
            & (spectra["seed"] == row[f"seed_{side}"])
        ]
        values[side], weights[side] = (own["real"] + 1j * own["imag"]).to_numpy(), own["amplitude"].to_numpy()
    assert row["plain"] == spectral_distance(values["a"], values["b"])
    assert row["weighted"] == pytest.approx(spectral_distance(values["a"], values["b"], weights["a"], weights["b"]))


def test_tests_are_of_the_fingerprint_and_of_each_draw(spectra):
    tests = distance_tests(run_distances(spectra), CONDITIONS)
    assert len(tests) == 7 * 2
    assert set(tests["conditions"]) == {"slow fast"}
    assert (tests["smallest_p"] == 0.1).all()
    own = tests[(tests["data"] == FINGERPRINT) & (tests["measure"] == "plain")].iloc[0]
    assert own["p"] == pytest.approx(0.1)
    assert own["p_within_seeds"] == own["smallest_p_within_seeds"] == 1 / 4
    assert (tests["arrangements_within_seeds"] == 4).all()
    assert own["ratio"] > 1


def test_three_conditions_are_tested_together_and_by_twos(spectra):
    third = spectra.assign(condition=spectra["condition"].map({"slow": "slow", "fast": "other"}))
    tests = distance_tests(
        run_distances(pd.concat([spectra, third[third["condition"] == "other"]])), [*CONDITIONS, "other"]
    )
    own = tests[tests["data"] == FINGERPRINT]
    assert own["conditions"].unique().tolist() == ["slow fast other", "slow fast", "slow other", "fast other"]
    same = own[(own["conditions"] == "fast other") & (own["measure"] == "plain")].iloc[0]
    assert same["p"] == 1  # the same runs under two names: nothing is further apart


def test_one_seed_gives_no_test_but_distances(spectra):
    one = spectra[spectra["seed"] == 0]
    distances = run_distances(one)
    assert len(distances) == 7
    assert distance_tests(distances, CONDITIONS).empty


def test_the_matrix_has_the_runs_in_the_order_of_the_conditions(spectra):
    table = run_distances(spectra)
    own = table[table["data"] == FINGERPRINT]
    matrix, labels, seeds = distance_matrix(own, CONDITIONS, "plain")
    assert labels == ["slow"] * 3 + ["fast"] * 3
    assert seeds == [0, 1, 2] * 2
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_array_equal(np.diag(matrix), 0)
    other, labels, _ = distance_matrix(own, ["fast", "slow"], "plain")
    np.testing.assert_array_equal(other[:3, 3:], matrix[3:, :3])
    assert labels[0] == "fast"


def test_swaps_are_of_runs_of_one_seed(spectra):
    table = swap_tests(spectra, CONDITIONS)
    assert table["seed"].tolist() == [0, 1, 2]
    assert (table["difference"] > 0.02).all()
    assert ((table["p"] >= table["smallest_p"]) & (table["p"] <= 1)).all()


def test_swaps_keep_conjugate_pairs_together():
    a = np.array([0.99 * np.exp(0.3j), 0.99 * np.exp(-0.3j), 0.9 + 0j, 0.5 + 0j])
    b = np.array([0.97 * np.exp(0.3j), 0.97 * np.exp(-0.3j), 0.8 + 0j, 0.6 + 0j])
    test = swap_test(a, b, np.random.default_rng(0))
    assert test["units"] == 3
    assert test["difference"] == pytest.approx((2 * 0.02 + 0.1 - 0.1) / 4)
    assert test["smallest_p"] == 2 / 8
    differences = np.array([0.04, 0.1, -0.1]) / 4
    signs = np.array([[x, y, z] for x in (1, -1) for y in (1, -1) for z in (1, -1)])
    assert test["p"] == pytest.approx((np.abs(signs @ differences) >= 0.01 - 1e-12).mean())


def test_a_pair_that_is_matched_to_two_real_eigenvalues_is_swapped_with_both():
    a = np.array([0.9 + 0.01j, 0.9 - 0.01j])
    b = np.array([0.92 + 0j, 0.88 + 0j])
    assert swap_test(a, b, np.random.default_rng(0))["units"] == 1


def test_the_smallest_p_of_drawn_swaps_is_that_of_one_draw(monkeypatch):
    """The swap of nothing is among them, its opposite, the swap of everything, need not be."""
    monkeypatch.setattr(permutation, "EXACT", 5)
    monkeypatch.setattr(permutation, "DRAWS", 7)
    a, b = np.linspace(0.9, 0.99, 30), np.linspace(0.9, 0.99, 30) - 1e-3
    test = swap_test(a, b, np.random.default_rng(0))
    assert test["p"] == test["smallest_p"] == 1 / 8


def test_equal_spectra_do_not_differ():
    a = np.array([0.9, 0.8, 0.7 + 0.1j, 0.7 - 0.1j], complex)
    assert swap_test(a, a[::-1], np.random.default_rng(0))["p"] == 1
