import pytest

from memorization.records import RECORD, RUN, records, runs

ROW = dict.fromkeys(RECORD, 1) | {"phase": "train", "family": "toy", "exact": True}


def test_records_have_the_columns_that_all_families_share():
    table = records(**ROW | {"item": ["a", "b"]})
    assert list(table) == list(RECORD)
    assert len(table) == 2
    assert len(runs(**dict.fromkeys(RUN, 1))) == 1


def test_what_most_runs_have_alike_may_be_left_out():
    about = {"family": "toy", "arm": "toy", "condition": "a", "seed": 0, "steps": 9}
    row = runs(**about, parameters=10, trainable=4).iloc[0]
    assert row[["active", "state_bits", "all_recorded"]].tolist() == [10, 128, True]
    row = runs(**about, parameters=10, trainable=4, active=3, state_bits=200, all_recorded=False).iloc[0]
    assert row[["active", "state_bits", "all_recorded"]].tolist() == [3, 200, False]


@pytest.mark.parametrize("change", [{"phases": 1}, {"phase": "testing"}])
def test_other_columns_and_phases_are_refused(change):
    with pytest.raises(ValueError, match="allowed"):
        records(**ROW | change | {"item": ["a"]})


def test_a_missing_column_is_refused():
    with pytest.raises(ValueError, match="allowed are exactly family"):
        runs(family="toy")
