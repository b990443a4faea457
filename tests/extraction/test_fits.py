import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from memorization.extraction.analysis import fits
from memorization.extraction.analysis.fits import copies_table, fit_logistic, size_table

RUN = {"architecture": "mamba", "model": "mamba_s", "parameters": 100, "revision": "", "seed": 0}


def test_without_covariates_the_intercept_is_the_log_odds_of_the_share():
    found = fit_logistic(np.empty((1000, 0)), np.arange(1000) < 250)
    assert found == pytest.approx([np.log(1 / 3)], abs=1e-4)


def test_newton_finds_what_a_plain_minimizer_finds():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 2)) * [3, 1]
    y = rng.random(200) < 1 / (1 + np.exp(-(1 + x @ [0.8, -2])))

    def loss(b):
        odds = b[0] + x @ b[1:]
        return -sum(odd if hit else 0 for odd, hit in zip(odds, y, strict=True)) + np.log1p(np.exp(odds)).sum()

    expected = minimize(loss, np.zeros(3), tol=1e-10).x
    np.testing.assert_allclose(fit_logistic(x, y), expected, atol=5e-3)


def test_separable_data_have_a_finite_fit_that_separates():
    x = np.arange(20.0)[:, None]
    intercept, slope = fit_logistic(x, x[:, 0] >= 10)
    assert 1 < slope < 20
    assert -intercept / slope == pytest.approx(9.5, abs=0.3)


def test_outliers_from_which_whole_steps_would_run_away_have_a_fit():
    x = np.array([[119, 38], [-3, -4], [-742, 9], [-4, 5], [4, -216], [-10, -35], [-7, 94]])
    y = np.array([0, 0, 0, 0, 1, 1, 0], bool)
    found = fit_logistic(x, y)
    assert np.isfinite(found).all()
    assert ((found[0] + x @ found[1:] > 0) == y).all()


def test_what_is_not_a_number_is_refused_and_so_is_a_fit_that_is_not_done(monkeypatch):
    with pytest.raises(ValueError, match="allowed: finite numbers"):
        fit_logistic(np.array([[1.0], [np.nan]]), np.array([True, False]))
    monkeypatch.setattr(fits, "STEPS", 1)
    with pytest.raises(ValueError, match="has not converged in 1 steps"):
        fit_logistic(np.array([[1.0], [2.0], [3.0]]), np.array([True, False, False]))


def prompts(intercept=-6.0, by_doubling=1.0, by_prefix=1.0, prefixes=(16, 32, 48), counts=(1, 4, 16, 64), n=400):
    """Windows of each count, of which the share of exact ones is the model's to the rounding."""
    rows = []
    for prefix in prefixes:
        for count in counts:
            share = 1 / (1 + np.exp(-(intercept + by_doubling * np.log2(count) + by_prefix * prefix / 16)))
            rows += [{"prefix_length": prefix, "copies": count, "exact": k < round(share * n)} for k in range(n)]
    return pd.DataFrame(rows).assign(**RUN, scheme="planted", protocol="fixed_start", suffix_length=16)


def test_a_run_s_slopes_and_the_copies_that_half_of_its_windows_need():
    rows = pd.concat([prompts(), prompts().assign(copies=0), prompts().assign(seed=1, exact=False)])
    row, none = (each for _, each in copies_table(rows).iterrows())
    assert row["n"] == 4800  # those of 0 copies do not count
    values = row[["intercept", "slope_copies", "slope_prefix"]].astype(float)
    np.testing.assert_allclose(values, [-6, 1, 1], atol=0.05)
    assert row["copies_for_half"] == pytest.approx(8, rel=0.03)  # -6 + log2 c + 3 = 0
    assert row["spearman"] == 1
    assert none[["intercept", "slope_copies", "copies_for_half", "spearman"]].isna().all()


def test_one_prefix_length_has_no_slope_but_copies_for_half_are_known():
    row = copies_table(prompts(prefixes=(48,))).iloc[0]
    assert np.isnan(row["slope_prefix"])
    assert row["copies_for_half"] == pytest.approx(8, rel=0.03)


def test_where_copies_do_not_help_no_number_of_them_is_enough():
    row = copies_table(prompts(by_doubling=-0.5, intercept=0)).iloc[0]
    assert row["slope_copies"] < 0
    assert np.isnan(row["copies_for_half"])
    assert row["spearman"] == -1


def test_windows_that_were_sampled_otherwise_have_a_fit_of_their_own():
    rows = pd.concat([prompts(), prompts(by_doubling=-0.5, intercept=0).assign(scheme="uniform")])
    table = copies_table(rows).set_index("scheme")
    assert table["n"].to_dict() == {"planted": 4800, "uniform": 4800}
    assert (table["slope_copies"] > 0).to_dict() == {"planted": True, "uniform": False}


def test_rates_grow_with_parameters_where_there_are_three_sizes():
    cell = {"seed": 0, "role": "text", "data_type": "all", "protocol": "fixed_start", "prefix_length": 50}
    cell |= {"suffix_length": 50, "copies": -1, "scheme": "uniform"}
    three = pd.DataFrame({"architecture": "mamba", "parameters": [10**8, 10**9, 10**10], "exact": [0.1, 0.3, 0.5]})
    two = pd.DataFrame({"architecture": "neox", "parameters": [10**8, 10**9], "exact": [0.1, 0.2]})
    other = three.assign(**cell | {"scheme": "by_copies"}, exact=0.9)
    table = size_table(pd.concat([three.assign(**cell), two.assign(**cell), other], ignore_index=True))
    assert table["architecture"].tolist() == ["mamba"]
    assert table.loc[0, "slope"] == pytest.approx(0.2)
    assert table.loc[0, ["n_sizes", "spearman"]].tolist() == [3, 1]
