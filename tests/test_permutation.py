from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from memorization import permutation
from memorization.permutation import (
    arrangement_count,
    arrangements_of,
    block_arrangement_count,
    block_arrangements_of,
    flipped_sums,
    label_permutation_test,
    sign_flip_test,
)

RNG = np.random.default_rng(0)


def distances_of(points):
    return np.abs(np.subtract.outer(points, points))


@pytest.mark.parametrize("labels", ["aaabbb", "aaabbbccc", "aabbb", "aab", "aabbc", "aaaa"])
def test_every_grouping_is_looked_at_once(labels):
    def groups(arrangement):
        return frozenset(
            frozenset(np.flatnonzero(np.asarray(arrangement) == name).tolist()) for name in set(arrangement)
        )

    made = [groups(each.tolist()) for each in arrangements_of(labels)]
    assert len(made) == len(set(made)) == arrangement_count(labels)
    if len(labels) < 9:
        assert set(made) == {groups(each) for each in permutations(labels)}
    else:
        assert len(made) == 280


def test_three_against_three_cannot_go_below_a_tenth():
    test = label_permutation_test(distances_of(np.array([0, 0.1, 0.2, 5, 5.1, 5.2])), list("aaabbb"), RNG)
    assert test["p"] == test["smallest_p"] == pytest.approx(0.1)
    assert test["arrangements"] == 10
    assert test["within"] == pytest.approx(0.4 / 3)
    assert test["across"] == pytest.approx(5)
    assert test["ratio"] == pytest.approx(37.5)
    assert test["statistic"] == pytest.approx(test["across"] - test["within"])


def test_all_runs_at_once_can():
    points = np.array([0, 0.1, 0.2, 5, 5.1, 5.2, 9, 9.1, 9.2])
    assert label_permutation_test(distances_of(points), list("aaabbbccc"), RNG)["p"] == pytest.approx(1 / 280)


PLACES = 10 * np.tile(np.arange(3), 3) + 2j * np.repeat(np.arange(3), 3)  # seeds to the right, labels upwards
FAR_APART_SEEDS = distances_of(PLACES)


def blocks_of(labels):
    return [labels[:n].count(label) for n, label in enumerate(labels)]


@pytest.mark.parametrize(("labels", "count"), [("aabb", 2), ("aaabbb", 4), ("aaabbbccc", 36), ("ab", 1)])
def test_every_grouping_within_blocks_is_looked_at_once(labels, count):
    blocks = np.array(blocks_of(labels))
    made = list(block_arrangements_of(np.array(list(labels)), [np.flatnonzero(blocks == n) for n in set(blocks)]))
    groupings = {frozenset(tuple(np.flatnonzero(each == name)) for name in set(labels)) for each in made}
    assert len(groupings) == len(made) == block_arrangement_count(labels) == count
    for each in made:
        assert all(len(set(blocks[each == name])) == len(set(blocks)) for name in set(labels))


def test_labels_permuted_within_seeds_reach_less_far():
    points, labels = np.array([0, 0.1, 0.2, 5, 5.1, 5.2, 9, 9.1, 9.2]), list("aaabbbccc")
    test = label_permutation_test(distances_of(points), labels, RNG, blocks_of(labels))
    assert test["p"] == test["smallest_p"] == 1 / 36
    assert test["arrangements"] == 36
    # Seeds that are far apart hide the labels from the one permutation and not from the other.
    free, blocked = (
        label_permutation_test(FAR_APART_SEEDS, labels, RNG, blocks) for blocks in (None, blocks_of(labels))
    )
    assert blocked["p"] == 1 / 36
    assert free["p"] > 0.5


def test_many_arrangements_within_blocks_are_drawn(monkeypatch):
    monkeypatch.setattr(permutation, "EXACT", 5)
    monkeypatch.setattr(permutation, "DRAWS", 399)
    labels = list("aaabbbccc")
    test = label_permutation_test(FAR_APART_SEEDS, labels, np.random.default_rng(0), blocks_of(labels))
    assert test["smallest_p"] == 1 / 400
    assert test["arrangements"] == 399
    assert test["p"] == pytest.approx(1 / 36, abs=0.03)


def test_a_block_without_every_label_is_refused():
    with pytest.raises(ValueError, match="blocks: each must have every label once"):
        label_permutation_test(distances_of(np.arange(4.0)), list("aabb"), RNG, [0, 0, 1, 1])


def test_labels_that_say_nothing_have_an_even_p():
    rng, values = np.random.default_rng(1), []
    for _ in range(200):
        values.append(label_permutation_test(distances_of(rng.standard_normal(6)), list("aaabbb"), rng)["p"])
    assert np.mean(np.array(values) <= 0.2) == pytest.approx(0.2, abs=0.1)


def test_many_arrangements_are_drawn(monkeypatch):
    monkeypatch.setattr(permutation, "EXACT", 5)
    monkeypatch.setattr(permutation, "DRAWS", 199)
    points = np.array([0, 0.1, 0.2, 5, 5.1, 5.2, 9, 9.1, 9.2])
    test = label_permutation_test(distances_of(points), list("aaabbbccc"), np.random.default_rng(0))
    assert test["smallest_p"] == 1 / 200
    assert test["arrangements"] == 199
    assert 1 / 200 <= test["p"] <= 5 / 200


@pytest.mark.parametrize("labels", ["aaa", "abc"])
def test_a_test_needs_pairs_within_and_across(labels):
    with pytest.raises(ValueError, match="two runs of one label and two labels"):
        label_permutation_test(distances_of(np.arange(3.0)), list(labels), RNG)


@pytest.mark.parametrize("unit", [1, 1e-14, 1e14])
@pytest.mark.parametrize("n", [2, 5, 14])
def test_all_flips_of_few_pairs_give_scipy_s_p(n, unit):
    differences = unit * (np.random.default_rng(n).standard_normal(n) + 0.3)
    test = sign_flip_test(differences, RNG)
    theirs = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=2**14)
    assert test["p"] == pytest.approx(theirs.pvalue, rel=1e-12)
    assert test["mean"] == pytest.approx(theirs.statistic)
    assert (test["smallest_p"], test["flips"], test["n"]) == (2 / 2**n, 2**n, n)


@pytest.mark.parametrize("n", [5, 30])
def test_differences_of_one_sign_reach_the_smallest_p(n):
    test = sign_flip_test(np.linspace(1, 2, n), np.random.default_rng(0))
    assert test["p"] == test["smallest_p"] == {5: 1 / 16, 30: 1 / 10_000}[n]


@pytest.mark.parametrize(
    ("differences", "p", "smallest_p", "n"),
    [
        ([1.0, 2.0, np.nan, 4.0], 1 / 4, 1 / 4, 3),
        ([1.0, 2.0, 0.0, 4.0], 1 / 4, 1 / 4, 4),  # three have a sign
        ([0.1, 0.2, -0.3], 1, 1 / 4, 3),  # a sum of 0 but for rounding
        ([0.0, 0.0], 1, 1, 2),
        ([2.0], 1, 1, 1),
        ([np.nan], np.nan, np.nan, 0),
        ([], np.nan, np.nan, 0),
    ],
)
def test_pairs_without_a_difference_make_no_p_smaller(differences, p, smallest_p, n):
    test = sign_flip_test(np.array(differences), RNG)
    np.testing.assert_equal([test["p"], test["smallest_p"], test["n"]], [p, smallest_p, n])


def test_drawn_flips_come_near_the_p_of_all(monkeypatch):
    differences = np.random.default_rng(3).standard_normal(12) + 0.8
    every = sign_flip_test(differences, RNG)["p"]
    monkeypatch.setattr(permutation, "EXACT", 5)
    drawn = sign_flip_test(differences, np.random.default_rng(0))
    assert (drawn["flips"], drawn["smallest_p"]) == (10_000, 1 / 10_000)
    assert 0.05 < every < 0.5
    assert drawn["p"] == pytest.approx(every, abs=0.01)


def test_flips_that_are_drawn_in_parts_are_those_that_are_drawn_at_once(monkeypatch):
    differences = np.random.default_rng(0).standard_normal(20)
    at_once, _ = flipped_sums(differences, np.random.default_rng(1))
    monkeypatch.setattr(permutation, "SIGNS", 999)
    np.testing.assert_allclose(flipped_sums(differences, np.random.default_rng(1))[0], at_once, atol=1e-12)


def test_differences_that_say_nothing_have_an_even_p():
    rng = np.random.default_rng(1)
    values = np.array([sign_flip_test(rng.standard_normal(6), rng)["p"] for _ in range(400)])
    assert (values <= 0.25).mean() == pytest.approx(0.25, abs=0.05)
