import math

import numpy as np
import pytest

from memorization.memory_layer.usage import USAGE, divergence, gini, shares, usage


def test_use_is_its_plain_formulas():
    counts, weights = np.array([3, 0, 1, 6, 0]), np.array([0.5, 0.0, 1.5, 2.0, 0.0])
    found = usage(counts, weights)
    assert tuple(found) == USAGE
    assert found["used"] == 3 / 5
    p, q = (3 / 10, 1 / 10, 6 / 10), (1 / 8, 3 / 8, 4 / 8)
    assert found["kl_counts"] == pytest.approx(sum(x * math.log(x / (1 / 5)) for x in p))
    assert found["kl_weights"] == pytest.approx(sum(x * math.log(x / (1 / 5)) for x in q))
    differences = [abs(int(one) - int(other)) for one in counts for other in counts]
    assert found["gini"] == pytest.approx(sum(differences) / 25 / 2 / 2)
    assert (found["top_50"], found["top_90"], found["top_99"]) == (1 / 5, 3 / 5, 3 / 5)


@pytest.mark.parametrize("number", [1, 10, 64])
def test_uniform_use_is_far_from_nothing(number):
    found = usage(np.full(number, 7), np.full(number, 0.1))
    assert found["used"] == 1
    assert [found[name] for name in ("kl_counts", "kl_weights", "gini")] == pytest.approx([0, 0, 0], abs=1e-12)
    assert [found[f"top_{n}"] for n in (50, 90, 99)] == [math.ceil(n * number / 100) / number for n in (50, 90, 99)]


def test_one_slot_alone_is_as_far_from_uniform_as_can_be():
    only = np.eye(64)[5]
    found = usage(9 * only, 4.2 * only)
    assert found["used"] == found["top_50"] == found["top_99"] == 1 / 64
    assert found["kl_counts"] == found["kl_weights"] == pytest.approx(math.log(64))
    assert found["gini"] == pytest.approx(63 / 64)


def test_where_nothing_was_retrieved_there_is_no_measure():
    found = usage(np.zeros(4, int), np.zeros(4))
    assert found.pop("used") == 0
    assert np.isnan(list(found.values())).all()
    assert np.isnan(gini(np.zeros(3)))
    assert np.isnan(shares(np.zeros(3))).all()
    assert divergence(np.array([0.5, 0.5])) == pytest.approx(0, abs=1e-15)
