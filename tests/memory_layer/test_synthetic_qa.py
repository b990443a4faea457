import numpy as np
import pytest

from memorization.configuration import ConfigurationError
from memorization.memory_layer.data import number_pairs, synthetic_qa
from memorization.provenance import generator

SETTINGS = {"num_pairs": 403, "template": "pairs", "val": 0.1, "test": 0.05}


def made(seed=0, **change):
    return synthetic_qa.make(SETTINGS | change, generator("test", seed, "pairs"))


def test_each_bucket_has_as_many_pairs_that_stand_as_often_in_a_pass_as_it_says():
    table = made()
    trained = table[table["split"] == "train"]
    assert trained["copies"].tolist() == trained["bucket"].tolist()
    assert (table.loc[table["split"] != "train", "copies"] == 0).all()
    counts = table.groupby("bucket").size()
    assert counts.index.tolist() == [1, 2, 4, 8, 16, 32, 64, 128]
    assert sorted(counts) == [50] * 5 + [51] * 3


@pytest.mark.parametrize(("count", "val", "test"), [(403, [5] * 8, [2] * 5 + [3] * 3), (24, [1] * 8, [1] * 8)])
def test_every_bucket_has_some_in_each_split(count, val, test):
    sizes = made(num_pairs=count).groupby(["split", "bucket"]).size()
    assert sizes["val"].tolist() == val
    assert sorted(sizes["test"]) == test
    assert set(made(num_pairs=count, val=0, test=0)["split"]) == {"train"}


def test_pairs_are_of_six_digits_and_no_key_stands_twice():
    table = made()
    assert table["text"].str.fullmatch("[1-9][0-9]{5}:[1-9][0-9]{5} ").all()
    assert table["key"].is_unique
    assert (table["text"] == table["key"] + ":" + table["answer"] + " ").all()
    assert table["item"].tolist() == table["key"].tolist()


def test_a_question_is_directly_followed_by_its_answer():
    table = made(template="question")
    assert table["text"].str.fullmatch(r"[A-Za-z0-9 ,]*\?[1-9][0-9]{5} ").all()
    asked = {text.replace(key, "{}").split("?")[0] for text, key in zip(table["text"], table["key"], strict=True)}
    assert len(asked) == len(synthetic_qa.QUESTIONS["question"])


@pytest.mark.parametrize("template", synthetic_qa.QUESTIONS)
def test_the_answer_is_where_the_columns_say_and_all_characters_are_known(template):
    table = made(template=template)
    for row in table.itertuples():
        assert row.text[row.answer_start : row.answer_end] == row.answer
    characters = synthetic_qa.characters(SETTINGS | {"template": template})
    assert characters == "".join(sorted(set("".join(table["text"]))))


def test_a_guess_is_right_as_often_as_chance_says():
    answers = made(num_pairs=40_000)["answer"].to_numpy().astype("U6")
    guessed = np.roll(answers, 1)  # other answers, as good as any
    right = answers.view("U1") == guessed.view("U1")
    assert right.mean() == pytest.approx(number_pairs.CHANCE, abs=0.003)
    assert made()["prior_bits"].unique() == pytest.approx([np.log2(900_000)])


def test_another_seed_has_other_pairs_and_the_same_has_the_same():
    assert made().equals(made())
    assert set(made()["key"]) != set(made(seed=1)["key"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_pairs": 900_001}, "data.num_pairs: 900001 pairs, but there are 900000 six-digit numbers; allowed: 1 to"),
        ({"num_pairs": 0}, "data.num_pairs: 0 pairs, but"),
        ({"template": "riddle"}, "data.template: 'riddle' is not allowed; allowed: pairs, question"),
        ({"num_pairs": 16}, "data: val 0.1 and test 0.05 of 16 pairs leave nothing to train in 8 buckets"),
        ({"num_pairs": 25, "val": 0.45, "test": 0.45}, "data: val 0.45 and test 0.45 of 25 pairs leave nothing"),
        ({"val": 0.5, "test": 0.5}, "data: val 0.5 and test 0.5 of 403 pairs leave nothing"),
    ],
)
def test_a_mistake_is_one_line(change, message):
    with pytest.raises(ConfigurationError) as error:
        synthetic_qa.check(SETTINGS | change, "data")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_what_can_be_made_is_not_refused():
    for change in ({}, {"num_pairs": 900_000}, {"num_pairs": 24}, {"num_pairs": 8, "val": 0, "test": 0}):
        synthetic_qa.check(SETTINGS | change, "data")
