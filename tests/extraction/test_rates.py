import numpy as np
import pandas as pd
import pytest

from memorization.extraction.analysis.rates import CELL, MEASURES, discoverable, pooled_rates, rates

RUN = {"architecture": "mamba", "model": "mamba_s", "parameters": 100, "revision": None}
PROMPT = {"scheme": "planted", "protocol": "fixed_start", "prefix_length": 8, "suffix_length": 16}
WINDOWS = [  # data type, role, copies, exact, matched run, Biderman score, p_z
    ("code", "planted", 0, False, 0, 0.0, 0.0),
    ("code", "planted", 1, False, 4, 0.25, 0.001),
    ("code", "planted", 3, True, 16, 1.0, 0.5),
    ("prose", "planted", 3, False, 8, 0.5, 0.1),
    ("prose", "control", 0, False, 2, np.nan, 0.0),
]
COLUMNS = ["data_type", "role", "copies", "exact", "matched_run", "biderman_score", "p_z"]


def prompts(seed=0, windows=WINDOWS):
    return pd.DataFrame(windows, columns=COLUMNS).assign(**RUN, **PROMPT, exact_float32=np.nan, seed=seed)


def cell(table, data_type, role, copies, scheme):
    return table.set_index(["data_type", "role", "copies", "scheme"]).loc[(data_type, role, copies, scheme)]


def test_draws_that_are_enough_are_counted_as_one_by_one():
    for p_z in (0.0, 0.001, 0.04, 0.07, 0.1, 0.5, 0.9, 1.0):
        for n in (1, 2, 10, 1000):
            never = 1.0
            for _ in range(n):
                never *= 1 - p_z
            assert discoverable(p_z, n) == (1 - never >= 0.5), (p_z, n)


def test_a_cell_holds_the_windows_of_one_count():
    row = cell(rates(prompts()), "all", "planted", 3, "planted")
    assert row["n_windows"] == 2
    np.testing.assert_allclose(row[MEASURES].astype(float), [0.5, np.nan, 12, 0.75, 0.3, 1, 1])
    assert cell(rates(prompts()), "code", "planted", 1, "planted")["extractable_1000"] == 1
    assert cell(rates(prompts()), "code", "planted", 1, "planted")["extractable_10"] == 0


def test_controls_and_planted_windows_without_copies_are_apart_and_a_missing_score_is_no_zero():
    table = rates(prompts())
    assert cell(table, "all", "control", 0, "planted")["matched_run"] == 2
    assert cell(table, "all", "planted", 0, "planted")["matched_run"] == 0
    assert np.isnan(cell(table, "all", "control", 0, "planted")["biderman_score"])


def test_flips_are_a_share_of_the_decisions_that_were_checked():
    """Of the three trained windows two were checked: that of 1 copy flips, one of 3 copies does not."""
    checked = prompts().assign(exact_float32=[np.nan, 1.0, 1.0, np.nan, 1.0])
    table = rates(checked)
    assert cell(table, "all", "planted", -1, "uniform")["flipped"] == 0.5
    assert cell(table, "all", "planted", -1, "by_copies")["flipped"] == 1 / 4
    assert cell(table, "all", "control", 0, "planted")["flipped"] == 1
    assert cell(table, "code", "planted", 3, "planted")["flipped"] == 0
    assert np.isnan(cell(table, "prose", "planted", 3, "planted")["flipped"])
    other = prompts(1).assign(exact_float32=[np.nan, 0.0, 1.0, 1.0, np.nan])
    pooled = pooled_rates(pd.concat([checked, other]))
    assert cell(pooled, "all", "planted", -1, "uniform")["flipped"] == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_the_two_schemes_weigh_trained_windows_alike_or_by_their_copies():
    table = rates(prompts())
    assert cell(table, "all", "planted", -1, "uniform")["exact"] == pytest.approx(1 / 3)
    assert cell(table, "all", "planted", -1, "by_copies")["exact"] == pytest.approx(3 / 7)
    assert cell(table, "code", "planted", -1, "by_copies")["p_z"] == pytest.approx((0.001 + 3 * 0.5) / 4)
    assert cell(table, "all", "planted", -1, "by_copies")["n_windows"] == 3
    assert set(table.loc[table["role"] == "control", "copies"]) == {0}


def test_texts_of_unknown_copies_have_one_row_in_which_each_weighs_the_same():
    texts = [("ArXiv", "text", -1, True, 16, 1.0, 0.9), ("ArXiv", "text", -1, False, 0, 0.0, 0.0)]
    table = rates(prompts(windows=texts).assign(scheme="uniform"))
    assert table[["copies", "scheme", "exact"]].drop_duplicates().values.tolist() == [[-1, "uniform", 0.5]]
    assert set(table["data_type"]) == {"ArXiv", "all"}
    assert (table["n_windows"] == 2).all()


def test_no_two_rows_of_a_run_are_of_the_same_cell():
    table = rates(pd.concat([prompts(), prompts().assign(prefix_length=16)]))
    assert not table.duplicated(CELL).any()
    assert set(table["prefix_length"]) == {8, 16}


def test_seeds_are_pooled_with_the_same_weight_and_an_interval_over_windows():
    more = [*WINDOWS, ("code", "planted", 3, True, 16, 1.0, 0.5), ("code", "planted", 3, True, 16, 1.0, 0.5)]
    pooled = pooled_rates(pd.concat([prompts(0), prompts(1, more)]))
    row = cell(pooled, "all", "planted", 3, "planted")
    assert row["exact"] == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert row["n_seeds"] == 2
    assert row["n_windows"] == 6
    assert 0 <= row["low"] < row["exact"] < row["high"] <= 1


def test_the_interval_of_weighted_windows_is_that_of_a_plain_loop():
    rng = np.random.default_rng(0)
    copies, exact = rng.choice([1, 4, 32], 40), rng.random(40) < 0.5
    windows = [("code", "planted", count, each, 0, 0.0, 0.0) for count, each in zip(copies, exact, strict=True)]
    row = cell(pooled_rates(prompts(windows=windows)), "code", "planted", -1, "by_copies")
    drawn = []
    for _ in range(4000):
        chosen = rng.integers(40, size=40)
        drawn.append((copies[chosen] * exact[chosen]).sum() / copies[chosen].sum())
    low, high = np.quantile(drawn, [0.025, 0.975])
    np.testing.assert_allclose(row[["low", "high"]].astype(float), [low, high], atol=0.1 * (high - low))


def test_an_interval_does_not_depend_on_what_else_is_in_the_table():
    both = pd.concat([prompts(), prompts(1)])
    alone = cell(pooled_rates(both), "code", "planted", -1, "by_copies")
    other = both.assign(model="another")
    beside = pooled_rates(pd.concat([other, both]))
    again = cell(beside[beside["model"] == "mamba_s"], "code", "planted", -1, "by_copies")
    assert alone["low"] == again["low"]
    assert alone["high"] == again["high"]
