import numpy as np
import pytest

from memorization.statistics import bootstrap_interval, spearman, t_interval


def test_interval_of_three_values():
    mean, low, high = t_interval(np.array([1.0, 2.0, 3.0]))
    assert mean == 2
    assert high - mean == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)  # Student's t at 2 degrees of freedom
    assert mean - low == pytest.approx(high - mean)


def test_interval_covers_the_mean_as_often_as_it_says():
    samples = np.random.default_rng(0).normal(size=(4000, 3))
    covered = np.mean([low <= 0 <= high for _, low, high in map(t_interval, samples)])
    assert covered == pytest.approx(0.95, abs=0.015)


def test_one_seed_has_no_interval():
    assert t_interval(np.array([0.5, np.nan]))[0] == 0.5
    assert np.isnan(t_interval(np.array([0.5]))[1:]).all()


SEEDS = [shift + np.random.default_rng(shift).standard_normal(20 + shift) for shift in (0, 10, 40)]


@pytest.mark.parametrize("statistic", [np.mean, np.median])
def test_items_are_resampled_within_each_seed_as_a_plain_loop_does(statistic):
    value, *interval = bootstrap_interval(SEEDS, np.random.default_rng(0), statistic)
    rng, drawn = np.random.default_rng(1), []
    for _ in range(4000):
        drawn.append(np.mean([statistic(rng.choice(items, len(items))) for items in SEEDS]))
    assert value == pytest.approx(np.mean([statistic(items) for items in SEEDS]))
    np.testing.assert_allclose(interval, np.quantile(drawn, [0.025, 0.975]), atol=0.1 * np.ptp(interval))


def test_the_bootstrap_covers_the_mean_of_the_given_seeds_as_often_as_it_says():
    """Their means are far apart: whoever resampled seeds or pooled their items would cover it always."""
    rng = np.random.default_rng(0)
    intervals = [
        bootstrap_interval([shift + rng.standard_normal(30) for shift in (0, 10, 20)], rng, n_resamples=499)[1:]
        for _ in range(600)
    ]
    assert np.mean([low <= 10 <= high for low, high in intervals]) == pytest.approx(0.95, abs=0.025)


def test_the_bootstrap_is_the_same_each_time_and_much_the_same_in_batches(monkeypatch):
    one, two = (bootstrap_interval(SEEDS, np.random.default_rng(0)) for _ in range(2))
    assert one == two
    monkeypatch.setattr("memorization.statistics.BATCH", 50_000)
    np.testing.assert_allclose(bootstrap_interval(SEEDS, np.random.default_rng(0)), one, atol=0.02)


@pytest.mark.parametrize(
    ("seeds", "value", "has_interval"),
    [
        ([[1.0, 3.0, np.nan], [], [np.nan], [5.0, 5.0]], 3.5, True),
        ([[2.0, 2.0], [4.0, 4.0]], 3, True),
        ([[1.0, 3.0], [4.0]], 3, False),
        ([[np.nan]], np.nan, False),
        ([], np.nan, False),
    ],
)
def test_seeds_of_few_items(seeds, value, has_interval):
    made, *interval = bootstrap_interval(seeds, np.random.default_rng(0))
    np.testing.assert_equal(made, value)
    assert np.isfinite(interval).all() == has_interval


def test_a_rank_correlation_of_ties_is_bonett_s_example():
    """The example of ci.spear in statpsych, D. Bonett's package for R: 15 pairs, two of x alike."""
    y = [21, 4, 9, 12, 35, 18, 10, 22, 24, 1, 6, 8, 13, 16, 19]
    x = [67, 28, 30, 28, 52, 40, 25, 37, 44, 10, 14, 20, 28, 40, 51]
    np.testing.assert_allclose(spearman(x, y), [0.8699639, 0.5840951, 0.9638297], atol=5e-8)
    rho, low, high = spearman([*x, np.nan, 3], -np.array([*y, 2, np.nan]))
    np.testing.assert_allclose([rho, low, high], [-0.8699639, -0.9638297, -0.5840951], atol=5e-8)


@pytest.mark.parametrize("pearson", [0.0, 0.8])
def test_the_interval_of_a_rank_correlation_covers_it_as_often_as_it_says(pearson):
    rng, covered = np.random.default_rng(0), []
    for x, noise in rng.standard_normal((1500, 2, 50)):
        _, low, high = spearman(x, pearson * x + np.sqrt(1 - pearson**2) * noise)
        covered.append(low <= 6 / np.pi * np.arcsin(pearson / 2) <= high)  # of normal pairs (Pearson 1907)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)  # 0.92 by the error of Pearson's


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("x", "y", "rho"),
    [
        ([], [], np.nan),
        ([1], [2], np.nan),
        ([1, 1, 1, 1, 1], [1, 2, 3, 4, 5], np.nan),
        ([1, 2, np.nan, 3], [5, 5, 6, 5], np.nan),
        ([1, 2, 3], [1, 3, 2], 0.5),
        ([1, 2, 3, np.nan], [1, 3, 2, 4], 0.5),
        ([1, 2, 3, 4, 5], [1, 4, 9, 16, 25], 1),
        ([1, 2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 3, 2, 1], -1),
    ],
)
def test_what_has_no_interval_says_so(x, y, rho):
    made, *interval = spearman(x, y)
    np.testing.assert_allclose(made, rho, atol=1e-12)
    assert np.isnan(interval).all()
