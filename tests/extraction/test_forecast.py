import numpy as np
import pandas as pd
import pytest

from memorization.extraction.analysis.forecast import forecast_table, precision_recall

# By condition and step, of items a to e: exact and, of e, never trained on.
EXACT = {
    ("s", 10): "0000-", ("s", 100): "1100-",
    ("m", 1): "0000-", ("m", 10): "1001-", ("m", 100): "1110-",
}  # fmt: skip


def records(seeds=(0,)):
    rows = [
        {"condition": condition, "seed": seed, "step": step, "item": item, "exact": bit == "1"}
        | {"exposures": 0 if bit == "-" else step}
        for seed in seeds
        for (condition, step), bits in EXACT.items()
        for item, bit in zip("abcde", bits, strict=True)
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_precision_and_recall_of_sets():
    predicted, memorized = np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 1, 0, 1], bool)
    assert precision_recall(predicted, memorized) == (2 / 3, 2 / 3)
    assert np.isnan(precision_recall(np.zeros(3, bool), np.ones(3, bool))[0])
    assert np.isnan(precision_recall(np.ones(3, bool), np.zeros(3, bool))[1])


def test_a_small_model_at_its_end_and_the_model_itself_before_its_end_foretell():
    table = forecast_table(records(), [["s", "m"]])
    assert table[["predictor", "step"]].values.tolist() == [["s", 100], ["m", 1], ["m", 10]]
    small, first, later = (row for _, row in table.iterrows())
    assert (small["precision"], small["recall"]) == (1, pytest.approx(2 / 3))
    assert np.isnan(first["precision"])
    assert first["recall"] == 0
    assert (later["precision"], later["recall"]) == (0.5, pytest.approx(1 / 3))
    assert later["share_of_training"] == 0.1
    assert set(table["scheme"]) == {"planted"}


def test_items_that_were_never_trained_on_do_not_count():
    row = forecast_table(records(), [["s", "m"]]).iloc[0]
    assert (row["n_items"], row["n_predicted"], row["n_memorized"]) == (4, 2, 3)
    assert row["base_rate"] == 0.75


def test_seeds_are_apart_and_one_that_a_size_lacks_is_left_out():
    both = records(seeds=(0, 1))
    assert forecast_table(both, [["s", "m"]])["seed"].tolist() == [0, 0, 0, 1, 1, 1]
    lacking = both[~((both["condition"] == "s") & (both["seed"] == 1))]
    assert set(forecast_table(lacking, [["s", "m"]])["seed"]) == {0}


def test_a_model_in_two_pairs_foretells_itself_once_and_no_pair_gives_no_row():
    smaller = records()[lambda rows: rows["condition"] == "s"].assign(condition="xs")
    table = forecast_table(pd.concat([records(), smaller]), [["s", "m"], ["xs", "m"]])
    assert table["predictor"].tolist() == ["s", "m", "m", "xs"]
    assert list(forecast_table(records(), [])) == list(table)
