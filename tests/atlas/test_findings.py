import numpy as np
import pandas as pd
import pytest

from memorization.atlas.findings import LN2, findings_table

CONDITIONS = [["one", "small"], ["two", "small"]]


def records():
    """The second knows a sequence after half of the exposures, but for the rarest, which it never knows."""
    rows = []
    for number, (family, condition) in enumerate(CONDITIONS):
        for seed in (0, 1):
            for rank in (0, 1, 50):
                for step in (10, 20, 40, 95, 100):
                    known = step * (number + 1) >= 40 and not (number and rank == 50)
                    bits = 2.0 if known else 8.0
                    rows.append((family, condition, seed, step, f"set0/rank{rank}", step + seed, 8, float(known), bits))
    columns = ["family", "condition", "seed", "step", "item", "exposures", "n_tokens", "recall", "nll_bits"]
    return pd.DataFrame(rows, columns=columns)


def held():
    """E50 and what runs hold: two seeds of two conditions."""
    runs = pd.DataFrame({"family": "one", "condition": ["b", "b", "a", "a"], "seed": [0, 1, 0, 1]})
    sides = ["within", "within", "at most", "within"]
    exposure = runs.assign(e50=[4.0, 6.0, 1.0, 3.0], e50_is=sides, lapse=[0.1, 0.3, 0.0, 0.0])
    holds = {"bits": [1, 1, np.nan, np.nan], "bits_per_parameter": [2.0, 4.0, 9.0, 9.0], "bits_per_state_bit": 0.5}
    return exposure, runs.assign(**holds, old_recall=[np.nan, np.nan, 0.2, 0.4], new_recall=[1.0, 1.0, 0.6, 0.8])


def test_midpoints_bits_and_old_items_are_findings():
    table = findings_table(records(), *held(), CONDITIONS).set_index(["finding", "condition"])
    assert table.loc[("log₂ E50", "one: b"), "value"] == pytest.approx(np.log2([4, 6]).mean())
    assert ("log₂ E50", "one: a") not in table.index  # a bound is no value, and the other seed alone is no mean
    assert table.loc[("lapse", "one: b"), "value"] == pytest.approx(0.2)
    assert table.loc[("bits per parameter", "one: b"), "value"] == 3
    assert ("bits per parameter", "one: a") not in table.index  # nothing is counted of it
    assert table.loc[("recall of old items above chance", "one: a"), "value"] == pytest.approx(0.3)
    assert ("recall of old items above chance", "one: b") not in table.index


def test_conditions_of_several_families_are_compared_in_pairs_of_a_seed():
    table = findings_table(records(), *held(), CONDITIONS).set_index(["finding", "condition"])
    recall = table.loc["suffix accuracy, at the end"]
    np.testing.assert_allclose(recall["value"], [1, 2 / 3])
    loss = table.loc["suffix loss, at the end"]
    np.testing.assert_allclose(loss["value"], [2 / 8 * LN2, (2 + 2 + 8) / 24 * LN2])
    name = "exposures until 0.9 of the suffix, median of ranks 0-9"
    assert table.loc[(name, "one: small"), "seeds"] == "0:40 1:41"
    assert table.loc[(name, "two: small"), "seeds"] == "0:20 1:21"
    difference = table.loc[(f"{name}, difference", "two: small - one: small")]
    assert (difference["value"], difference["n"]) == (-20, 2)
    rare = table.loc[("exposures until 0.9 of the suffix, median of ranks 10-99", "two: small")]
    assert np.isnan(rare["value"])
    assert rare["n"] == 0
    missing = table.loc[
        ("exposures until 0.9 of the suffix, median of ranks 10-99, difference", "two: small - one: small")
    ]
    assert (missing["n"], missing["value"]) == (0, pytest.approx(np.nan, nan_ok=True))
