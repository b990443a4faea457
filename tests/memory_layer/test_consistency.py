from collections import Counter

import numpy as np
import pandas as pd
import pytest
from memory_layer_facts import PAIRS, arrays

from memorization.memory_layer.routing.consistency import LIKENESSES, consistency_table, jaccard, pairs_of, shuffled
from memorization.memory_layer.routing.places import NONE, places, pool_of
from memorization.memory_layer.routing.token_types import TYPES

HASHES = PAIRS | {
    "kind": "hash_hop", "num_samples": 6, "eval_samples": 2, "n_chains": 2, "hops": [2], "hash_length": 3,
    "alphabet": "letters", "hashes": "random", "chain_of_thought": True, "n_queries": 2, "context": True,
    "labels": "chain",
}  # fmt: skip


def rng(seed=0):
    return np.random.default_rng(seed)


def test_jaccard_is_that_of_sets():
    draw = rng()
    a, b = (np.array([[draw.permutation(9)[:4] for _ in range(2)] for _ in range(20)]) for _ in range(2))
    for n, head in np.ndindex(20, 2):
        one, other = set(a[n, head]), set(b[n, head])
        assert jaccard(a, b)[n, head] == len(one & other) / len(one | other)


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
    of = pd.DataFrame({"text_position": 2, "beginning": [1, 1, 1, 1, 2, 2], "type": [0, 0, 1, 1, 0, 1]})
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
    found = consistency_table(of, np.stack([decided, random], axis=1), 100, 49, rng())
    every = found[found["token_type"] == "all"].set_index(["likeness", "head"])
    assert every.loc[("token", 0), "jaccard"] == 1
    assert every.loc[("token", 0), "null_high"] < 0.3
    assert every.loc[("token", 0), "p"] == every.loc[("token", 0), "smallest_p"] == 1 / 50
    assert every.loc[("previous", 0), ["jaccard", "null_jaccard", "p"]].tolist() == [1, 1, 1]  # all have the token
    of_random = every.xs(1, level="head")
    assert (of_random["p"] > 0.02).all()
    assert of_random["null_jaccard"].between(0.02, 0.06).all()
    assert {"digit", "all"} <= set(found["token_type"]) <= {"all", *TYPES}


def test_the_null_compares_the_same_pairs_at_shuffled_places():
    """Two places of each token, one slot at both: of n places in a stratum one of n - 1 matches after a shuffle."""
    numbers = np.arange(400)
    of = pd.DataFrame({"token": numbers // 2, "type": numbers // 4 % len(TYPES), "row": numbers})
    of = of.assign(text_position=0, previous=NONE, next=NONE, answer_position=NONE, word=NONE, beginning=NONE)
    found = consistency_table(of, of["token"].to_numpy()[:, None, None], 400, 99, rng())
    one = found.set_index(["likeness", "token_type"]).loc[("token", "digit")]
    n = (of["type"] == TYPES.index("digit")).sum()
    assert (one["jaccard"], one["n"]) == (1, n)
    assert one["null_jaccard"] == pytest.approx(1 / (n - 1), abs=0.01)
    assert one["null_low"] <= one["null_jaccard"] <= one["null_high"] < 0.2
    assert one["p"] == one["smallest_p"] == 0.01
