from hashlib import sha256

import numpy as np
import pandas as pd
import pytest

from memorization.configuration import ConfigurationError
from memorization.memory_layer.data import names, two_hop
from memorization.provenance import generator

SETTINGS = {"num_chains": 50, "known": 0.7, "chain_of_thought": False, "name_length": 3, "n_prefixes": 0}


def made(seed=0, **change):
    return two_hop.make(SETTINGS | change, generator("test", seed, "chains"))


@pytest.mark.parametrize("chain_of_thought", [False, True])
def test_a_composed_answer_follows_from_facts_that_are_trained(chain_of_thought):
    table = made(chain_of_thought=chain_of_thought)
    trained = set(table.loc[table["split"] == "train", "text"])
    composed = table[table["kind"] == "composed"]
    assert composed.groupby("split").size().to_dict() == {"train": 35, "novel": 15}
    facts = dict(text.rstrip().split(":") for text in trained if ":" in text)
    assert len(facts) == 100
    for text in composed["text"]:
        first, answer = text.split(">")
        bridge = facts[first]
        assert answer == (f"{bridge} {facts[bridge]} " if chain_of_thought else f"{facts[bridge]} ")
    novel = set(composed.loc[composed["split"] == "novel", "text"])
    assert not novel & trained
    assert composed.loc[composed["split"] == "novel", "copies"].eq(0).all()
    assert table.loc[table["split"] == "train", "copies"].eq(1).all()


@pytest.mark.parametrize("chain_of_thought", [False, True])
def test_the_answer_is_where_the_columns_say(chain_of_thought):
    table = made(chain_of_thought=chain_of_thought)
    for row in table.itertuples():
        assert row.text[: row.answer_start] == row.item
        assert row.text[row.answer_start : row.answer_end] == row.answer
        assert row.text[row.answer_end :] == " "
    assert two_hop.characters(SETTINGS) == "".join(sorted(set("".join(made(num_chains=200)["text"]))))


def test_all_names_are_different():
    facts = made().query("kind != 'composed'")["text"]
    firsts = {text.split(":")[0] for text in facts}
    assert len(firsts | {text.split(":")[1].rstrip() for text in facts}) == 150


def test_what_an_answer_costs_is_that_of_its_letters():
    direct, through = (made(chain_of_thought=each).query("kind == 'composed'").iloc[0] for each in (False, True))
    assert direct["prior_bits"] == pytest.approx(3 * np.log2(26))
    assert through["prior_bits"] == pytest.approx(6 * np.log2(26))
    assert direct["chance"] == pytest.approx(1 / 26)
    assert through["chance"] == pytest.approx((6 / 26 + 1) / 7)  # the space between two names is always right


def spoilt(table, how):
    first = table.index[table["split"] == "novel"][0]
    chain = table["chain"][first]
    if how == "trained":
        return table.assign(copies=1)
    kind = {"no first hop": "first_hop", "no second hop": "second_hop"}.get(how)
    if kind:
        return table[(table["kind"] != kind) | (table["chain"] != chain)]
    if how == "trained behind another name":
        row = table.loc[[first]].assign(item="QQQ " + table["item"][first], split="train", copies=1)
        return pd.concat([table, row], ignore_index=True)
    table.loc[first, "answer"] = "ZZZ" + table["answer"][first][3:]  # another bridge, or another end
    return table


@pytest.mark.parametrize("chain_of_thought", [False, True])
@pytest.mark.parametrize(
    "how", ["no first hop", "no second hop", "another answer", "trained", "trained behind another name"]
)
def test_a_novel_chain_that_is_not_what_it_says_is_refused(how, chain_of_thought):
    table = made(chain_of_thought=chain_of_thought)
    two_hop.verify(table)
    with pytest.raises(
        ValueError, match="^two_hop: '[A-Z]{3}>': " + ("novel, but" if "trained" in how else "not both")
    ):
        two_hop.verify(spoilt(table, how))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"name_length": 1, "n_prefixes": 0},
            "data: names: 150 different ones are needed, but 1 characters of 26 allow 13; allowed: fewer",
        ),
        ({"known": 1.0}, "data.known: 1.0 of 50 chains; allowed: a share that leaves some known and some novel"),
        ({"known": 0.001}, "data.known: 0.001 of 50 chains"),
    ],
)
def test_a_mistake_is_one_line(change, message):
    two_hop.check(SETTINGS, "data")
    with pytest.raises(ConfigurationError) as error:
        two_hop.check(SETTINGS | change, "data")
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("draw", [names.unique_strings, names.unique_digests])
def test_strings_are_distinct_and_use_all_symbols(draw):
    drawn = draw(338, 2, two_hop.LETTERS, generator("test", 0, "strings"))  # half of those that there are
    assert len(set(drawn.tolist())) == 338
    assert set("".join(drawn)) == set(two_hop.LETTERS)
    assert {len(each) for each in drawn.tolist()} == {2}
    with pytest.raises(ValueError, match="339 different ones are needed"):
        draw(339, 2, two_hop.LETTERS, generator("test", 0, "strings"))


def test_a_hexadecimal_digest_ends_as_that_of_sha256():
    rng = generator("test", 0, "digests")
    number = int(generator("test", 0, "digests").integers(2**62))
    drawn = names.unique_digests(2, 12, "0123456789abcdef", rng).tolist()
    assert drawn == [sha256(str(number + n).encode()).hexdigest()[-12:] for n in range(2)]
    with pytest.raises(ValueError, match=r"^digests: 41 characters; allowed: 1 to 40$"):
        names.unique_digests(2, 41, "0123456789abcdef", rng)
