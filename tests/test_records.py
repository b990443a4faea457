import pytest

from memorization.records import RECORD, RUN, records, runs

ROW = dict.fromkeys(RECORD, 1) | {"phase": "train", "family": "toy", "exact": True}


def test_records_have_the_columns_that_all_families_share():
    table = records(**ROW | {"item": ["a", "b"]})
    assert list(table) == list(RECORD)
    assert len(table) == 2
    assert len(runs(**dict.fromkeys(RUN, 1))) == 1


@pytest.mark.parametrize("change", [{"phases": 1}, {"phase": "testing"}])
def test_other_columns_and_phases_are_refused(change):
    with pytest.raises(ValueError, match="allowed"):
        records(**ROW | change | {"item": ["a"]})


def test_a_missing_column_is_refused():
    with pytest.raises(ValueError, match="allowed are exactly family"):
        runs(family="toy")
