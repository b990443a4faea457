import numpy as np
import pandas as pd
import pytest

from memorization.statistics import over_seeds, t_interval


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


def test_groups_of_seeds():
    table = pd.DataFrame({"step": [1, 1, 2, 2], "seed": [0, 1, 0, 1], "loss": [1.0, 3.0, 5.0, 5.0]})
    result = over_seeds(table, ["step"], "loss")
    assert result["step"].tolist() == [1, 2]
    assert result["mean"].tolist() == [2, 5]
    assert result["low"].tolist()[1] == 5
