import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from memory_layer_facts import HASHES, PROBLEMS, arrays

from memorization.memory_layer.routing import spread, tally
from memorization.memory_layer.routing.places import NONE, counted, places, pool_of, sequences
from memorization.memory_layer.routing.tally import Tally
from memorization.memory_layer.routing.token_types import TYPES, token_type


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("7", "digit"), ("1024", "digit"), (" 12", "digit"), ("x", "letter"), ("É", "letter"), (" the", "word"),
        ("##ing", "word"), ("x1", "word"), ("'s", "word"), ("=", "operator"), ("-", "operator"),
        (" +", "operator"), (":", "punctuation"), ("<<", "punctuation"), ("####", "punctuation"), ("\n", "space"),
        ("  ", "space"), ("$", "other"), ("", "other"), ("²", "other"),
    ],
)  # fmt: skip
def test_token_types(text, kind):
    assert token_type(text) == kind


@pytest.mark.parametrize("change", [{}, HASHES, PROBLEMS], ids=["pairs", "hashes", "problems"])
def test_places_are_those_of_a_plain_loop(change):
    of = arrays(**change)
    rows = np.array([1, 4, 5])
    found = places(of, rows).to_dict("records")
    texts, words, beginnings, seen = of["pieces"], {}, {}, {}
    for row in rows:
        tokens, labels = of["tokens"][row, : of["lengths"][row]].tolist(), of["labels"][row]
        text = "".join(texts[tokens])
        for n, token in enumerate(tokens):
            one = found.pop(0)
            assert (one["row"], one["text_position"], one["token"]) == (row, n, token)
            assert TYPES[one["type"]] == token_type(texts[token])
            assert one["previous"] == (tokens[n - 1] if n else NONE)
            answers = n + 1 < len(tokens) and labels[n + 1]
            assert one["next"] == (tokens[n + 1] if answers else NONE)
            assert one["answer_position"] == (labels[: n + 1].sum() if answers else NONE)
            assert one["answer_behind"] == labels[n + 1 :].any()
            start = n
            while start and text[start - 1].isalnum():
                start -= 1
            word = text[start : n + 1] if text[n].isalnum() and start < n else None
            beginning = text[:2] if n > 1 else None
            for name, what, numbers in (("word", word, words), ("beginning", beginning, beginnings)):
                assert (one[name] == NONE) == (what is None)
                assert what is None or numbers.setdefault(what, one[name]) == one[name]
            assert seen.setdefault(text[: n + 1], one["seen"]) == one["seen"]
    assert not found
    for numbers in (words, beginnings, seen):
        assert len(set(numbers.values())) == len(numbers)


@pytest.mark.parametrize("change", [{}, HASHES, PROBLEMS], ids=["pairs", "hashes", "problems"])
def test_only_places_that_can_change_an_answer_count(change):
    of = arrays(**change)
    found = places(of, np.arange(5))
    last, before = (found.iloc[counted(found, is_last)] for is_last in (True, False))
    for row in range(5):
        answers = np.flatnonzero(of["labels"][row])
        assert last["text_position"][last["row"] == row].tolist() == (answers - 1).tolist()
        assert before["text_position"][before["row"] == row].tolist() == list(range(answers[-1]))
    assert len(last) < len(before) < len(found)


def test_sequences_that_do_not_go_on_are_single_tokens():
    tokens = np.array([[1, 2, 3], [2, 2, 3], [0, 2, 3]])
    found = sequences(tokens, np.array([[0, 1, 1], [0, 0, 1], [0, 1, 0]], bool))
    assert found[1, 1] == found[1, 0]  # 2 alone
    assert found[2, 2] not in (found[0, 2], found[1, 2])  # 3 alone, not 123 or 23
    assert len(np.unique(found)) == 8  # 1, 12, 123, 2, 23, 0, 02, 3


def test_a_pool_has_each_beginning_once():
    of = places(arrays(), np.arange(60))
    pool = pool_of(of, 10_000, rng())
    assert len(pool) == of["seen"].nunique() < len(of)
    assert of["seen"].iloc[pool].is_unique
    few = pool_of(of, 50, rng())
    assert len(few) == 50
    assert (np.diff(few) > 0).all()
    assert few.tolist() == pool_of(of, 50, rng()).tolist() != pool_of(of, 50, rng(1)).tolist()


@pytest.mark.parametrize("held", [1, 2**21])
def test_tallies_are_sums_of_a_plain_loop(held, monkeypatch):
    monkeypatch.setattr(tally, "HELD", held)
    draw, of, counts, weights = rng(), Tally(2, 7), Counter(), Counter()
    for n in (1, 30, 5, 0, 20):
        labels, slots, w = draw.integers(-1, 3, n), draw.integers(0, 7, (n, 2, 3)), draw.random((n, 2, 3))
        of.add(labels, w, slots)
        for place, head, k in np.ndindex(slots.shape):
            if labels[place] != NONE:
                key = labels[place], head, slots[place, head, k]
                counts[key] += 1
                weights[key] += w[place, head, k]
    found = of.table()
    assert list(zip(found["label"], found["head"], found["slot"], strict=True)) == sorted(counts)
    assert found["count"].tolist() == [counts[key] for key in sorted(counts)]
    np.testing.assert_allclose(found["weight"], [weights[key] for key in sorted(counts)])
    assert Tally(2, 7).table().empty


def cells(*rows):
    return pd.DataFrame(rows, columns=["label", "head", "slot", "count", "weight"])


def test_the_spread_of_a_label():
    """Digits: 8 slots alike in head 0, one slot in head 1; letters: shares of a half, a quarter, a quarter."""
    rows = [(0, 0, slot, 1, 0.5) for slot in range(8)] + [(0, 1, 5, 8, 4.0)]
    rows += [(1, 0, 9, 2, 1.0), (1, 0, 3, 9, 0.5), (1, 0, 4, 1, 0.5)]
    sizes = {"type": {0: 40, 1: 2}}
    found = spread.routing_table({"type": cells(*rows)}, sizes, n_slots=10, top_k=2)
    assert set(found["by"]) == {"type"}
    assert found[["label", "head", "n", "slots"]].values.tolist() == [
        ["digit", 0, 40, 8], ["digit", 1, 40, 1], ["letter", 0, 2, 3]
    ]  # fmt: skip
    np.testing.assert_allclose(found["entropy_bits"], [3, 0, 1.5], atol=1e-12)
    np.testing.assert_allclose(found["ceiling_bits"], [math.log2(10), math.log2(10), 2])  # of 10 slots, 10, 4
    np.testing.assert_allclose(found["top_weight"], [1 / 8, 1, 1 / 2])
    assert found["top_slots"].tolist() == ["0 1 2 3 4", "5", "9 3 4"]


def test_what_two_types_share():
    rows = [(0, 0, 1, 1, 3.0), (0, 0, 2, 1, 1.0), (1, 0, 2, 5, 1.0), (1, 0, 3, 1, 1.0), (2, 0, 9, 1, 0.0)]
    found = spread.overlap_table(cells(*rows)).set_index(["type", "other"])
    assert found.loc[("digit", "letter"), "jaccard"] == pytest.approx(1 / 3)
    assert found.loc[("digit", "letter"), "overlap"] == pytest.approx(1 / 4)
    assert found.loc[("digit", "word"), ["jaccard", "overlap"]].tolist() == [0, 0]
    assert len(found) == 3


@pytest.mark.parametrize("dense", [0, 2**18])
def test_information_is_that_of_the_joint_shares(dense, monkeypatch):
    monkeypatch.setattr(spread, "DENSE", dense)
    draw = rng()
    labels, weights, slots = draw.integers(0, 3, 50), draw.dirichlet([1, 1], 50), draw.integers(0, 6, (50, 2))
    joint = np.zeros((3, 6))
    for n, k in np.ndindex(slots.shape):
        joint[labels[n], slots[n, k]] += weights[n, k] / 50
    product = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    plain = sum(p * math.log2(p / q) for p, q in zip(joint.ravel(), product.ravel(), strict=True) if p)
    assert spread.mutual_information(labels, weights, slots) == pytest.approx(plain)
    alike = np.repeat(labels[:, None], 2, axis=1)
    bits = spread.entropy(np.bincount(labels))
    assert spread.mutual_information(labels, weights, alike) == pytest.approx(bits)
    assert spread.mutual_information(labels, weights, 0 * slots) == pytest.approx(0, abs=1e-12)


def test_a_label_that_decides_the_slot_is_told_from_one_that_does_not():
    n = 200
    draw = rng()
    of = pd.DataFrame({name: draw.integers(0, 4, n) for name in spread.INFORMING})
    of.loc[::2, "answer_position"] = NONE
    slots = np.stack([of["type"].to_numpy()[:, None] * 2 + [0, 1], draw.integers(0, 8, (n, 2))], axis=1)
    weights = np.full(slots.shape, 0.5)
    found = spread.information_table(of, weights, slots, 49, draw).set_index(["label", "head"])
    decides = found.loc[("type", 0)]
    assert decides["bits"] == pytest.approx(decides["label_bits"])
    assert decides["p"] == decides["smallest_p"] == 1 / 50
    assert decides["null_high"] < decides["bits"]
    others = found.drop(index=("type", 0))
    assert (others["p"] > 0.02).all()
    assert ((others["bits"] - others["null_bits"]).abs() < 0.1).all()
    assert found.loc[("answer_position", 0), "n"] == n // 2
