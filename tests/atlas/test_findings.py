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


def test_conditions_of_several_families_are_compared_in_pairs_of_a_seed():
    table = findings_table(records(), CONDITIONS).set_index(["finding", "condition"])
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
