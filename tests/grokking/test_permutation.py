from itertools import permutations

import numpy as np
import pytest

from memorization.grokking import permutation
from memorization.grokking.permutation import (
    arrangement_count,
    arrangements_of,
    block_arrangement_count,
    block_arrangements_of,
    label_permutation_test,
    swap_test,
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


def test_swaps_keep_conjugate_pairs_together():
    a = np.array([0.99 * np.exp(0.3j), 0.99 * np.exp(-0.3j), 0.9 + 0j, 0.5 + 0j])
    b = np.array([0.97 * np.exp(0.3j), 0.97 * np.exp(-0.3j), 0.8 + 0j, 0.6 + 0j])
    test = swap_test(a, b, RNG)
    assert test["units"] == 3
    assert test["difference"] == pytest.approx((2 * 0.02 + 0.1 - 0.1) / 4)
    assert test["smallest_p"] == 2 / 8
    differences = np.array([0.04, 0.1, -0.1]) / 4
    signs = np.array([[x, y, z] for x in (1, -1) for y in (1, -1) for z in (1, -1)])
    assert test["p"] == pytest.approx((np.abs(signs @ differences) >= 0.01 - 1e-12).mean())


def test_a_pair_that_is_matched_to_two_real_eigenvalues_is_swapped_with_both():
    a = np.array([0.9 + 0.01j, 0.9 - 0.01j])
    b = np.array([0.92 + 0j, 0.88 + 0j])
    assert swap_test(a, b, RNG)["units"] == 1


def test_the_smallest_p_of_drawn_swaps_is_that_of_one_draw(monkeypatch):
    """The swap of nothing is among them, its opposite, the swap of everything, need not be."""
    monkeypatch.setattr(permutation, "EXACT", 5)
    monkeypatch.setattr(permutation, "DRAWS", 7)
    a, b = np.linspace(0.9, 0.99, 30), np.linspace(0.9, 0.99, 30) - 1e-3
    test = swap_test(a, b, np.random.default_rng(0))
    assert test["p"] == test["smallest_p"] == 1 / 8


def test_equal_spectra_do_not_differ():
    a = np.array([0.9, 0.8, 0.7 + 0.1j, 0.7 - 0.1j], complex)
    assert swap_test(a, a[::-1], RNG)["p"] == 1
