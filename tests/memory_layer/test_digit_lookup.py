import numpy as np
import pytest

from memorization.configuration import ConfigurationError
from memorization.memory_layer.data import digit_lookup, number_pairs
from memorization.provenance import generator

SETTINGS = {"size": 300, "new": 40, "novel": 60, "copies": 1}


def made(seed=0, **change):
    return digit_lookup.make(SETTINGS | change, generator("test", seed, "pairs"))


def test_keys_are_unique_over_all_splits():
    table = made()
    assert table["key"].is_unique
    assert table.groupby("split").size().to_dict() == {"train": 300, "new": 40, "novel": 60}
    assert table["text"].str.fullmatch("[1-9][0-9]{5}:[1-9][0-9]{5} ").all()
    assert (table["text"] == table["key"] + ":" + table["answer"] + " ").all()
    for row in table.itertuples():
        assert row.text[row.answer_start : row.answer_end] == row.answer


def test_novel_pairs_are_never_trained():
    table = made(copies=3)
    assert table.groupby("split")["copies"].unique().map(list).to_dict() == {"train": [3], "new": [3], "novel": [0]}
    assert (table["bucket"] == 3).all()


def test_a_set_of_a_seed_has_the_keys_of_a_larger_one_first():
    smaller, larger = (made(size=size, new=0, novel=0) for size in (100, 300))
    assert smaller["key"].tolist() == larger["key"].tolist()[:100]
    assert smaller["answer"].tolist() == larger["answer"].tolist()[:100]
    assert made(seed=1)["key"].tolist() != made()["key"].tolist()


def test_every_number_can_be_a_key():
    keys, values = number_pairs.sample_pairs(900_000, generator("test", 0, "pairs"))
    np.testing.assert_array_equal(np.sort(keys), np.arange(100_000, 1_000_000))
    assert 100_000 <= values.min() < 100_010
    assert 999_990 < values.max() <= 999_999
    with pytest.raises(ValueError, match="900001 pairs"):
        number_pairs.sample_pairs(900_001, generator("test", 0, "pairs"))


def test_more_pairs_than_numbers_are_refused():
    digit_lookup.check(SETTINGS | {"size": 899_900}, "data")
    with pytest.raises(ConfigurationError) as error:
        digit_lookup.check(SETTINGS | {"size": 899_901}, "data")
    (line,) = str(error.value).splitlines()
    assert line == (
        "data: size, new and novel: 900001 pairs, but there are 900000 six-digit numbers; allowed: 1 to 900000 pairs"
    )


def test_all_characters_are_known():
    assert digit_lookup.characters(SETTINGS) == "".join(sorted(set("".join(made()["text"]))))
