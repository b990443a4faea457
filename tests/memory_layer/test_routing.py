import math
from collections import Counter
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from memory_layer_facts import CONDITION, KINDS, PAIRS, arrays, facts, table

from memorization.memory_layer.model import build, memories
from memorization.memory_layer.routing import consistency, retrievals, spread, tally
from memorization.memory_layer.routing.consistency import LIKENESSES, consistency_table, pairs_of, shuffled
from memorization.memory_layer.routing.places import NONE, places, pool_of, sequences
from memorization.memory_layer.routing.run import collect, route_tables
from memorization.memory_layer.routing.tally import Tally
from memorization.memory_layer.routing.token_types import TYPES, token_type

FACTS, RUN = facts(), {"condition": "some", "seed": 3}
HASHES = PAIRS | {
    "kind": "hash_hop", "num_samples": 6, "eval_samples": 2, "n_chains": 2, "hops": [2], "hash_length": 3,
    "alphabet": "letters", "hashes": "random", "chain_of_thought": True, "n_queries": 2, "context": True,
    "labels": "chain",
}  # fmt: skip
PROBLEMS = {
    "kind": "word_problems", "tokenizer": "characters", "path": None, "count": 12, "val": 0.1, "max_length": 300
}  # fmt: skip
SETTINGS = {"n_texts": 40, "n_places": 400, "n_pairs": 30, "n_slots": 20, "n_clusters": 2, "n_permutations": 9}


def model_of(of=FACTS, **change):
    torch.manual_seed(0)
    return build(CONDITION | change, of.vocabulary, of.length)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("7", "digit"), ("1024", "digit"), (" 12", "digit"), ("x", "letter"), ("É", "letter"), (" the", "word_piece"),
        ("##ing", "word_piece"), ("x1", "word_piece"), ("'s", "word_piece"), ("=", "operator"), ("-", "operator"),
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
    found = places(
        of,
        rows,
    ).to_dict("records")
    texts, words, beginnings, seen = of["pieces"], {}, {}, {}
    for row in rows:
        tokens, labels = of["tokens"][row, : of["lengths"][row]].tolist(), of["labels"][row]
        text = "".join(texts[tokens])
        for n, token in enumerate(tokens):
            one = found.pop(0)
            assert (one["row"], one["position"], one["token"]) == (row, n, token)
            assert TYPES[one["type"]] == token_type(texts[token])
            assert one["previous"] == (tokens[n - 1] if n else NONE)
            answers = n + 1 < len(tokens) and labels[n + 1]
            assert one["next"] == (tokens[n + 1] if answers else NONE)
            assert one["answer_position"] == (labels[: n + 1].sum() if answers else NONE)
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


@pytest.mark.parametrize("kind", ["memory", "flat", "batch_norm", "rope", "peers", "shared_pool"])
def test_retrievals_are_what_each_memory_retrieves_of_a_text_alone(kind, monkeypatch):
    monkeypatch.setattr(retrievals, "PLACES", 3 * FACTS.length)
    model, rows = model_of(**KINDS[kind]).eval(), np.array([3, 70, 8, 9])
    read = {}
    for n, memory in memories(model).items():
        memory.register_forward_pre_hook(lambda module, inputs, n=n: read.__setitem__(n, inputs[0]))
    parts = list(retrievals.retrievals(model, FACTS, rows))
    assert len(parts) == 2
    found = {n: [np.concatenate([part[n][k] for part in parts]) for k in range(3)] for n in parts[0]}
    assert found.keys() == memories(model).keys()
    done = 0
    for row in rows:
        length = int(FACTS.lengths[row])
        with torch.no_grad():
            model(FACTS.tokens[[row], :length])
        for n, memory in memories(model).items():
            scores, slots = memory.retrieve(read[n][0])
            assert found[n][2][done : done + length].tolist() == slots.tolist()
            np.testing.assert_allclose(found[n][0][done : done + length], scores.detach(), rtol=1e-4, atol=1e-6)
            weights = scores.softmax(-1).detach()
            np.testing.assert_allclose(found[n][1][done : done + length], weights, rtol=1e-4)
        done += length
    assert done == len(found[n][0])


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


def test_what_is_collected_does_not_depend_on_the_parts(monkeypatch):
    """Weights in other batches differ by rounding; the slots of the pool's places do not."""
    model, rows = model_of(memory_layers=[0, 1]), np.arange(11)
    of = places(FACTS.arrays, rows)
    pool = pool_of(of, 60, rng())
    tables, moments, kept = collect(model, FACTS, rows, of, pool)
    monkeypatch.setattr(retrievals, "PLACES", 2 * FACTS.length)
    in_parts, moments_in_parts, kept_in_parts = collect(model, FACTS, rows, of, pool)
    for layer in (0, 1):
        assert kept[layer][1].shape == (60, 2, 3)
        np.testing.assert_array_equal(kept_in_parts[layer][1], kept[layer][1])
        np.testing.assert_allclose(kept_in_parts[layer][0], kept[layer][0], rtol=1e-5)
        np.testing.assert_array_equal(moments_in_parts[layer]["count"], moments[layer]["count"])
        for by, of_layers in tables.items():
            pd.testing.assert_frame_equal(in_parts[by][layer], of_layers[layer], rtol=1e-5)


def cells(*rows):
    return pd.DataFrame(rows, columns=["label", "head", "slot", "count", "weight"])


def test_the_spread_of_a_label():
    """Digits: 8 slots alike in head 0, one slot in head 1; letters: shares of a half, a quarter, a quarter."""
    rows = [(0, 0, slot, 1, 0.5) for slot in range(8)] + [(0, 1, 5, 8, 4.0)]
    rows += [(1, 0, 9, 2, 1.0), (1, 0, 3, 9, 0.5), (1, 0, 4, 1, 0.5)]
    sizes = {"type": {0: 40, 1: 2}}
    found = spread.routing_table({"type": {2: cells(*rows)}}, sizes, (10, 2), RUN)
    assert found[["condition", "seed", "layer", "by"]].drop_duplicates().values.tolist() == [["some", 3, 2, "type"]]
    assert found[["label", "head", "n", "slots"]].values.tolist() == [
        ["digit", 0, 40, 8], ["digit", 1, 40, 1], ["letter", 0, 2, 3]
    ]  # fmt: skip
    np.testing.assert_allclose(found["entropy_bits"], [3, 0, 1.5], atol=1e-12)
    np.testing.assert_allclose(found["ceiling_bits"], [math.log2(10), math.log2(10), 2])  # of 10 slots, 10, 4
    np.testing.assert_allclose(found["top_weight"], [1 / 8, 1, 1 / 2])
    assert found["top_slots"].tolist() == ["0 1 2 3 4", "5", "9 3 4"]


def test_what_two_types_share():
    rows = [(0, 0, 1, 1, 3.0), (0, 0, 2, 1, 1.0), (1, 0, 2, 5, 1.0), (1, 0, 3, 1, 1.0), (2, 0, 9, 1, 0.0)]
    found = spread.overlap_table({1: cells(*rows)}, RUN).set_index(["type", "other"])
    assert found.loc[("digit", "letter"), "jaccard"] == pytest.approx(1 / 3)
    assert found.loc[("digit", "letter"), "overlap"] == pytest.approx(1 / 4)
    assert found.loc[("digit", "word_piece"), ["jaccard", "overlap"]].tolist() == [0, 0]
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
    found = spread.information_table(of, {4: (weights, slots)}, 49, draw, RUN).set_index(["label", "head"])
    decides = found.loc[("type", 0)]
    assert decides["bits"] == pytest.approx(decides["label_bits"])
    assert decides["p"] == decides["smallest_p"] == 1 / 50
    assert decides["null_high"] < decides["bits"]
    others = found.drop(index=("type", 0))
    assert (others["p"] > 0.02).all()
    assert ((others["bits"] - others["null_bits"]).abs() < 0.1).all()
    assert found.loc[("answer_position", 0), "n"] == n // 2


def test_jaccard_is_that_of_sets():
    draw = rng()
    a, b = (np.array([[draw.permutation(9)[:4] for _ in range(2)] for _ in range(20)]) for _ in range(2))
    for n, head in np.ndindex(20, 2):
        one, other = set(a[n, head]), set(b[n, head])
        assert consistency.jaccard(a, b)[n, head] == len(one & other) / len(one | other)


@pytest.mark.parametrize("name", LIKENESSES)
def test_pairs_are_alike_and_could_be_otherwise(name):
    data, kind = (HASHES, "letter") if name in ("token", "previous", "word") else (PAIRS | {"size": 300}, "digit")
    of = places(arrays(**data), np.arange(6 if data is HASHES else 300))
    of = of.iloc[pool_of(of, 10_000, rng())].reset_index(drop=True)
    likeness, among = LIKENESSES[name], of["type"].to_numpy() == TYPES.index(kind)
    pairs = pairs_of(of, likeness, among, 200, rng())
    assert len(pairs.first) > 20
    assert len(set(pairs.first)) == len(pairs.first)
    assert among[pairs.first].all()
    first, second = of.iloc[pairs.first], of.iloc[pairs.second]
    assert (pairs.first != pairs.second).all()
    assert (first["seen"].to_numpy() != second["seen"].to_numpy()).all()
    for column in (*likeness.same, *likeness.among):
        assert (first[column].to_numpy() == second[column].to_numpy()).all()
        assert (first[column] != NONE).all()
    keys = of[list(likeness.among)].apply(tuple, axis=1)
    for place in pairs.first[:10]:
        stratum = of[(keys == keys[place]) & (of[list(likeness.same)] != NONE).all(axis=1)]
        assert (stratum[list(likeness.same)] != of.loc[place, list(likeness.same)]).any(axis=None)
    moved = shuffled(pairs.strata, rng())
    assert sorted(moved) == list(range(len(of)))
    assert (pairs.strata[moved] == pairs.strata).all()
    assert (moved != np.arange(len(of))).any()


def test_pairs_stay_among_what_they_are_compared_with():
    """Texts that begin alike, in digits and in letters at one position: a digit is never set beside a letter."""
    of = pd.DataFrame({"position": 2, "beginning": [1, 1, 1, 1, 2, 2], "type": [0, 0, 1, 1, 0, 1]})
    for seed in range(20):
        pairs = pairs_of(of, LIKENESSES["beginning"], np.ones(6, bool), 9, rng(seed))
        assert dict(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == {0: 1, 1: 0, 2: 3, 3: 2}


def test_all_second_places_are_drawn_equally_often():
    of = pd.DataFrame({"token": [1, 1, 1, 1, 2], "type": 0})
    drawn = Counter()
    for seed in range(300):
        pairs = pairs_of(of, LIKENESSES["token"], np.ones(5, bool), 9, rng(seed))
        assert sorted(pairs.first) == [0, 1, 2, 3]
        drawn.update(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert drawn.keys() == {(a, b) for a in range(4) for b in range(4) if a != b}
    assert min(drawn.values()) > 60


def test_slots_that_the_token_decides_are_consistent_and_random_ones_are_not():
    of = places(arrays(), np.arange(60))
    of = of.iloc[pool_of(of, 500, rng())].reset_index(drop=True)
    decided = of["token"].to_numpy()[:, None] * 3 + np.arange(3)
    random = np.array([rng(n).permutation(40)[:3] for n in range(len(of))])
    found = consistency_table(of, {0: np.stack([decided, random], axis=1)}, 100, 49, rng(), RUN)
    every = found[found["token_type"] == "all"].set_index(["likeness", "head"])
    assert every.loc[("token", 0), "jaccard"] == 1
    assert every.loc[("token", 0), "null_high"] < 0.3
    assert every.loc[("token", 0), "p"] == every.loc[("token", 0), "smallest_p"] == 1 / 50
    assert every.loc[("previous", 0), ["jaccard", "null_jaccard", "p"]].tolist() == [1, 1, 1]  # all have the token
    of_random = every.xs(1, level="head")
    assert (of_random["p"] > 0.02).all()
    assert of_random["null_jaccard"].between(0.02, 0.06).all()
    assert {"digit", "all"} <= set(found["token_type"]) <= {"all", *TYPES}


def tables_of(seed=0, change=CONDITION, data=PAIRS):
    of = arrays(**data)
    model = model_of(facts(**data), **change)
    return route_tables(
        CONDITION | change, table(**data), of, model.state_dict(), SETTINGS, rng(seed), "some", 3, "cpu"
    )


def test_tables_of_a_run_agree_with_each_other():
    found = tables_of(change={"memory_layers": [0, 1]})
    routing, keys = found["routing"], found["key_statistics"]
    assert routing.loc[routing["by"] == "type", "n"].sum() == 40 * 14 * 2 * 2
    assert set(routing.loc[routing["by"] == "answer_position", "label"]) == {str(n) for n in range(6)}
    positions = routing[(routing["by"] == "position") & (routing["layer"] == 0) & (routing["head"] == 1)]
    of_head = keys[(keys["layer"] == 0) & (keys["head"] == 1)]
    assert positions["slots"].sum() == of_head["n_positions"].sum()
    assert keys["count"].sum() == 40 * 14 * 2 * 2 * 3
    assert keys["weight"].sum() == pytest.approx(40 * 14 * 2 * 2)
    assert set(found["repeating_digits"]["split"]) == {"train", "new", "novel"}
    for one in found.values():
        assert (one["condition"] == "some").all()
        assert (one["seed"] == 3).all()
        assert len(one)


def test_the_same_stream_gives_the_same_tables():
    for one, other in zip(tables_of().values(), tables_of().values(), strict=True):
        pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize("data", [HASHES, PROBLEMS], ids=["hashes", "problems"])
def test_other_texts_have_all_tables_but_that_of_digits(data):
    found = tables_of(data=data)
    assert {name for name, each in found.items() if each.empty} == {"repeating_digits"}
    assert "word" in set(found["consistency"]["likeness"])


def test_without_a_memory_tables_are_empty_and_of_the_same_form():
    full, empty = tables_of(), tables_of(change={"arm": "none"})
    for name, one in empty.items():
        assert one.empty
        assert one.columns.tolist() == full[name].columns.tolist()
        kinds = {column: str(kind) for column, kind in full[name].dtypes.items() if column not in RUN}
        assert {column: str(kind) for column, kind in one.dtypes.items() if column not in RUN} == kinds


def test_every_pair_of_types_is_compared_once():
    overlap = tables_of()["routing_overlap"]
    assert {tuple(pair) for pair in overlap[["type", "other"]].values} == set(
        combinations(["digit", "punctuation", "space"], 2)
    )
