import numpy as np
import pytest
from memory_layer_facts import PAIRS, arrays, table

from memorization.memory_layer.data import digit_lookup, hash_hop
from memorization.memory_layer.data.token_arrays import STRINGS, consistency_of, groups

TWO_HOP = {
    "kind": "two_hop",
    "num_chains": 5,
    "known": 0.6,
    "chain_of_thought": False,
    "name_length": 3,
    "n_prefixes": 1,
}
QA = {"kind": "synthetic_qa", "num_pairs": 10, "template": "pairs", "val": 0.2, "test": 0.2}
HASHES = {
    "kind": "hash_hop", "num_samples": 6, "eval_samples": 2, "n_chains": 2, "hops": [1, 2], "hash_length": 4,
    "alphabet": "letters", "hashes": "random", "chain_of_thought": False, "n_queries": 1, "context": False,
    "labels": "final",
}  # fmt: skip


@pytest.mark.parametrize("change", [{}, TWO_HOP, QA, HASHES, HASHES | {"context": True, "labels": "chain"}])
def test_rows_are_those_of_the_table(change):
    rows, found = table(**change), arrays(**change)
    assert found["split"].tolist() == rows["split"].tolist()
    assert found["copies"].tolist() == rows["copies"].tolist()
    for n, (text, start, end) in enumerate(zip(rows["text"], rows["answer_start"], rows["answer_end"], strict=True)):
        tokens = found["tokens"][n, : found["lengths"][n]]
        assert "".join(found["pieces"][tokens]) == text
        places = np.flatnonzero(found["labels"][n])
        assert (places[0], places[-1] + 1) == (start, end)
    assert (found["tokens"] == found["pad"]).sum() == found["tokens"].size - found["lengths"].sum()


def test_groups_are_what_recall_is_counted_by():
    assert groups(table()).tolist() == [1] * 92
    assert groups(table(**TWO_HOP)).tolist() == [1] * 5 + [2] * 5 + [3] * 5 + [1] * 5 + [2] * 5
    qa = table(**QA)
    assert groups(qa).tolist() == qa["bucket"].tolist()
    assert len(set(groups(qa))) > 1
    hashes = table(**HASHES)
    by_kind = {kind: set(groups(hashes)[hashes["kind"] == kind]) for kind in set(hashes["kind"])}
    assert by_kind == {"link": {0}, "question": {1, 2}}
    assert set(groups(table(**HASHES | {"context": True}))) == {1, 2, 3, 4}


def test_characters_are_consistent_and_of_each_hash():
    settings = PAIRS | HASHES
    found = consistency_of(table(**HASHES), settings, hash_hop)
    assert found["consistent"].all()
    assert (found["n_tokens"] == 4).all()
    links = table(**HASHES)["text"].str.findall("[A-Za-z]{4}").explode()
    assert set(found["string"]) == set(links)
    assert set(found["context"]) == {"first", "link", "chain", "quoted"}
    with_context = consistency_of(table(**HASHES | {"context": True}), settings | {"context": True}, hash_hop)
    assert all(len(each) == 4 for each in with_context["string"])


def test_elsewhere_words_of_answers_are_tried_alone_and_before_a_space():
    found = consistency_of(table(), PAIRS, digit_lookup)
    assert set(found["string"]) == set(table()["answer"])
    assert found.groupby("string")["context"].agg(set).map(lambda each: each == {"alone", "before_space"}).all()
    many = consistency_of(table(size=1500), PAIRS, digit_lookup)
    assert many["string"].nunique() == STRINGS
