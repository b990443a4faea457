import numpy as np
import pandas as pd
import pytest

from memorization.atlas.exposures import Curve, exposure_table, fit, recall_curve

CURVE = Curve(0.1, 1.5, 12.0)
CONDITIONS = [["two", "seen"], ["one", "seen"]]


def records(exposures=None, chance=0.5, seeds=(0, 1), n_tokens=40, **columns):
    """Items of a family whose recall is drawn from a curve, and others that were never seen."""
    exposures = np.repeat(2.0 ** np.arange(9), 30) if exposures is None else np.asarray(exposures, float)
    parts = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        recall = rng.binomial(n_tokens, recall_curve(exposures, chance, CURVE)) / n_tokens
        seen = {"exposures": exposures, "recall": recall, "phase": "train"}
        unseen = {"exposures": np.zeros(5), "recall": np.full(5, 0.4), "phase": "held_out"}
        for step in (90, 95, 100):
            part = pd.concat([pd.DataFrame(seen), pd.DataFrame(unseen)], ignore_index=True)
            parts.append(part.assign(seed=seed, step=step, item=part.index.astype(str)))
    about = {"family": "one", "arm": "toy", "condition": "seen", "chance": chance, "nll_bits": 1.0} | columns
    return pd.concat(parts, ignore_index=True).assign(**about)


@pytest.mark.parametrize("chance", [0.5, 0.001])
@pytest.mark.parametrize("curve", [Curve(0.0, 1.0, 20.0), Curve(0.2, 3.0, 4.0), Curve(0.05, 0.7, 60.0)])
def test_a_curve_is_found_again(curve, chance):
    exposures = np.arange(1, 400)
    found = fit(exposures, recall_curve(exposures, chance, curve), chance)
    np.testing.assert_allclose(found, curve, rtol=0.02, atol=0.003)


def test_recall_is_midway_at_e50_and_at_its_ends_chance_and_all_but_the_lapse():
    curve = Curve(0.2, 2.0, 8.0)
    ends = recall_curve(np.array([1e-9, 8, 1e9]), 0.1, curve)
    np.testing.assert_allclose(ends, [0.1, (0.1 + 0.8) / 2, 0.8], atol=1e-6)


def test_items_seen_equally_often_weigh_as_many_items():
    exposures, recall = np.repeat([1, 4, 16, 64], [50, 1, 1, 50]), np.repeat([0.5, 0.6, 0.8, 0.9], [50, 1, 1, 50])
    order = np.random.default_rng(0).permutation(len(recall))
    found = fit(exposures, recall, 0.5)
    np.testing.assert_allclose(fit(exposures[order], recall[order], 0.5), found, rtol=1e-3)
    misfit = np.abs(recall_curve(np.array([1, 64]), 0.5, found) - [0.5, 0.9])
    assert misfit.max() < 0.02


def test_e50_of_each_run_has_an_interval_over_items_that_holds_it():
    table = exposure_table(records(), CONDITIONS)
    assert table["seed"].tolist() == [0, 1]
    assert set(table["e50_is"]) == {"within"}
    assert (table["low"] < table["e50"]).all()
    assert (table["e50"] < table["high"]).all()
    assert ((table["low"] < 12) & (table["high"] > 12)).all()
    assert (table["high"] / table["low"] < 1.6).all()
    assert table["unseen"].tolist() == [0.4, 0.4]
    assert table[["n_items", "least", "most"]].to_numpy().tolist() == [[270, 1, 256]] * 2
    pd.testing.assert_frame_equal(table, exposure_table(records(), CONDITIONS))  # its draws are keyed by names


@pytest.mark.parametrize(
    ("exposures", "side", "e50"),
    [(np.repeat([200.0, 800.0, 3200.0], 20), "at most", 200), (np.repeat([0.01, 0.1, 0.4], 20) * 2, "at least", 0.8)],
)
def test_a_midpoint_beyond_what_was_seen_is_a_bound(exposures, side, e50):
    row = exposure_table(records(exposures=exposures, seeds=[0]), CONDITIONS).iloc[0]
    assert (row["e50_is"], row["e50"]) == (side, pytest.approx(e50))
    assert row["low"] >= row["least"]
    assert row["high"] <= row["most"]


def test_without_a_range_of_exposures_there_is_no_curve():
    row = exposure_table(records(exposures=np.repeat([10.0, 39.0], 20), seeds=[0]), CONDITIONS).iloc[0]
    assert row["e50_is"] == "no curve"
    assert np.isnan([row[name] for name in ("e50", "low", "high", "slope", "lapse")]).all()


def test_rows_have_the_order_of_the_conditions_and_others_are_left_out():
    tables = [records(), records(family="two"), records(family="two", condition="other")]
    table = exposure_table(pd.concat(tables, ignore_index=True), CONDITIONS)
    assert table["family"].tolist() == ["two", "two", "one", "one"]
    assert set(table["condition"]) == {"seen"}


def test_recall_at_the_end_is_the_median_of_the_last_tenth():
    table = records(seeds=[0])
    spiked = table.assign(recall=np.where(table["step"] == 100, 0.5, table["recall"]))
    of_both = exposure_table(table, CONDITIONS)["e50"].item(), exposure_table(spiked, CONDITIONS)["e50"].item()
    assert of_both[0] == pytest.approx(of_both[1])
