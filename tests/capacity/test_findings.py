import numpy as np
import pandas as pd
import pytest

from memorization.capacity.findings import at_end, findings_table

STEPS = (0, 10, 90, 95, 100)
CONDITIONS = {"few": (1000, 200.0), "many": (1000, 9000.0), "more": (1000, 20_000.0), "larger": (3000, 20_000.0)}
HELD = {"few": 199.0, "many": 2000.0, "more": 2200.0, "larger": 7000.0}


def bits_rows():
    """Seeds differ by 10 bits; the last step is in a spike."""
    rows = []
    for name, (parameters, to_hold) in CONDITIONS.items():
        for seed in (0, 1):
            held = HELD[name] + 10 * seed
            for step, bits in zip(STEPS, (-5.0, held / 2, held - 20, held, held + 20), strict=True):
                row = {"condition": name, "seed": seed, "step": step, "count": 9, "parameters": parameters}
                row |= {"bits": bits, "to_hold": to_hold, "bits_per_parameter": bits / parameters}
                rows.append(row | {"bits_per_state_bit": bits / parameters / 32, "recall": 0.5, "exact": 0.25})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def table():
    comparisons = [{"name": "optimizers", "conditions": ["many", "more"]}]
    found = findings_table(bits_rows(), ["few", "many", "more"], ["many", "larger"], comparisons)
    return found.set_index(["finding", "condition"])


def test_the_end_is_the_median_of_the_last_tenth_and_the_gain_is_over_it():
    rows = bits_rows()
    end = at_end(rows[rows["condition"] == "many"])
    assert end["bits"].tolist() == [2000, 2010]
    np.testing.assert_allclose(end["gain"], [1 - 1980 / 2020, 1 - 1990 / 2030])


def test_levels_are_of_each_condition(table):
    assert table.loc[("bits, at the end", "few"), "value"] == 204
    assert table.loc[("share of all that there is to hold, at the end", "few"), "value"] == pytest.approx(1.02)
    assert table.loc[("bits per parameter that there are to hold", "larger"), "value"] == pytest.approx(20 / 3)


def test_the_plateau_is_of_the_sets_that_hold_more_than_any_model(table):
    value = table.loc[("plateau, bits per parameter", "many more"), "value"]
    assert value == pytest.approx(2.105)
    assert table.loc[("plateau, bits per parameter, less 3.6", "many more"), "value"] == pytest.approx(value - 3.6)
    spread = table.loc[("plateau, largest over smallest mean of seeds", "many more"), "value"]
    assert spread == pytest.approx(2205 / 2005)


def test_larger_models_and_other_conditions_are_compared_in_pairs(table):
    row = table.loc[("bits that come with a parameter more", "many larger")]
    assert row["value"] == pytest.approx(2.5)
    assert row["high"] - row["low"] < 1e-9
    row = table.loc[("bits per parameter, at the end, difference", "more - many")]
    assert row["value"] == pytest.approx(0.2)


def test_where_nothing_is_beyond_a_model_there_is_no_plateau():
    rows = bits_rows()
    found = findings_table(rows[rows["condition"] == "few"], ["few"], ["few"], [])
    assert not found["finding"].str.contains("plateau|parameter more").any()
