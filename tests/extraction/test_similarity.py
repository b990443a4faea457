import math
from functools import cache

import pytest

from memorization.extraction.similarity import bleu, edit_distance
from memorization.provenance import generator


def plain_distance(one, other):
    @cache
    def between(n, m):
        if not n or not m:
            return n + m
        replaced = between(n - 1, m - 1) + (one[n - 1] != other[m - 1])
        return min(between(n - 1, m) + 1, between(n, m - 1) + 1, replaced)

    return between(len(one), len(other))


def plain_bleu(generated, target):
    product = 1.0
    for order in range(1, 5):
        grams = [tuple(generated[n : n + order]) for n in range(len(generated) - order + 1)]
        left = [tuple(target[n : n + order]) for n in range(len(target) - order + 1)]
        found = 0
        for gram in grams:
            if gram in left:
                left.remove(gram)
                found += 1
        product *= found / len(grams) if order == 1 else (found + 1) / (len(grams) + 1)
    return product**0.25 * min(1.0, math.exp(1 - len(target) / len(generated)))


def pairs():
    """Of sequences of 6 tokens, of many lengths."""
    rng = generator("test", 0, "pairs")
    return [[rng.integers(6, size=rng.integers(5, 16)).tolist() for _ in range(2)] for _ in range(30)]


def test_the_distance_counts_insertions_deletions_and_replacements():
    assert edit_distance([1, 2, 3, 4], [1, 2, 3, 4]) == 0
    assert edit_distance([1, 2, 3, 4], [2, 3, 4, 1]) == 2
    assert edit_distance([1, 2, 3], [1, 9, 3]) == 1
    assert edit_distance([], [1, 2]) == edit_distance([1, 2], []) == 2


def test_the_distance_equals_a_plain_recursion():
    for one, other in pairs():
        assert edit_distance(one, other) == plain_distance(one, other)


def test_bleu_equals_a_plain_loop():
    for generated, target in pairs():
        assert bleu(generated, target) == pytest.approx(plain_bleu(generated, target))


def test_bleu_is_one_of_the_same_and_nothing_of_nothing_in_common():
    assert bleu([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]) == pytest.approx(1)
    assert bleu([7] * 3, [7] * 3) == pytest.approx(1)  # too short for four tokens
    assert bleu([1, 2, 3, 4, 5], [6, 7, 8, 9]) == bleu([], [1, 2]) == 0


def test_a_repeated_token_counts_as_often_as_it_stands_in_the_target():
    assert bleu([1] * 4, [1, 2, 3, 4]) == pytest.approx((1 / 4 * 1 / 4 * 1 / 3 * 1 / 2) ** 0.25)
