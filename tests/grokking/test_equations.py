import numpy as np
import pytest

from memorization.grokking.task.equations import (
    OPERATORS,
    Batches,
    batch_size,
    equation_count,
    equations,
    first_crossing,
    is_prime,
    probe,
    split_equations,
    train_size,
)

PLAIN = {
    "+": lambda x, y: x + y, "-": lambda x, y: x - y, "*": lambda x, y: x * y, "x^2+y^2": lambda x, y: x * x + y * y,
    "x^2+xy+y^2": lambda x, y: x * x + x * y + y * y, "x^2+xy+y^2+x": lambda x, y: x * x + x * y + y * y + x,
    "x^3+xy": lambda x, y: x * x * x + x * y, "x^3+xy^2+y": lambda x, y: x * x * x + x * y * y + y,
}  # fmt: skip


@pytest.mark.parametrize("operator", PLAIN)
def test_every_equation_holds(operator):
    table = equations(13, operator)
    assert table.shape == (169, 3)
    assert len({(a, b) for a, b, _ in table.tolist()}) == 169
    for a, b, c in table.tolist():
        assert c == PLAIN[operator](a, b) % 13


def test_division_is_the_inverse_of_multiplication_and_leaves_out_zero():
    table = equations(13, "/")
    assert len(table) == equation_count(13, "/") == 156
    for a, b, c in table.tolist():
        assert b > 0
        assert b * c % 13 == a


def test_large_moduli_do_not_overflow():
    table = equations(997, "x^3+xy^2+y")
    for a, b, c in table[[-1, -500, 12345]].tolist():
        assert c == (a**3 + a * b * b + b) % 997


def test_what_is_no_operation_is_refused():
    assert set(OPERATORS) == {*PLAIN, "/"}
    with pytest.raises(ValueError, match="operator: '%' is unknown; allowed: "):
        equations(13, "%")
    with pytest.raises(ValueError, match="p: 12 is not prime"):
        equations(12, "/")
    with pytest.raises(ValueError, match="p: 1;"):
        equations(1, "+")
    assert [n for n in range(20) if is_prime(n)] == [2, 3, 5, 7, 11, 13, 17, 19]


def test_pairs_are_split_one_by_one():
    table = equations(31, "+")
    train = split_equations(table, 384, "pairs", np.random.default_rng(0))
    assert train.sum() == 384
    held = {(a, b) for a, b, _ in table[~train].tolist()}
    mirrored = np.mean([(b, a) not in held for a, b in held])
    assert mirrored == pytest.approx(0.4, abs=0.06)  # the mirror of a held-out equation is trained on as often as any


def test_unordered_splits_keep_mirrors_together():
    table = equations(31, "-")
    train = split_equations(table, 385, "unordered", np.random.default_rng(0))
    assert train.sum() == 385
    side = {(a, b): bool(inside) for (a, b, _), inside in zip(table.tolist(), train, strict=True)}
    assert sum(side[a, b] != side[b, a] for a, b in side) <= 2  # one pair may be cut by the number wanted


@pytest.mark.parametrize("wanted", [0, 961])
def test_a_split_that_is_empty_is_refused(wanted):
    with pytest.raises(ValueError, match="both splits need at least one"):
        split_equations(equations(31, "+"), wanted, "pairs", np.random.default_rng(0))
    with pytest.raises(ValueError, match="split: 'rows' is unknown"):
        split_equations(equations(31, "+"), 10, "rows", np.random.default_rng(0))


def test_the_probe_is_drawn_from_either_split_without_replacement():
    train = split_equations(equations(31, "+"), 384, "pairs", np.random.default_rng(0))
    drawn = probe(train, 100, 42)
    assert train[drawn["train"]].all()
    assert not train[drawn["val"]].any()
    for rows in drawn.values():
        assert len(set(rows.tolist())) == 100
    np.testing.assert_array_equal(probe(train, 100, 42)["val"], drawn["val"])
    assert not np.array_equal(probe(train, 100, 43)["val"], drawn["val"])


@pytest.mark.parametrize("size", [0, 385])
def test_an_empty_probe_or_one_larger_than_a_split_is_refused(size):
    train = split_equations(equations(31, "+"), 384, "pairs", np.random.default_rng(0))
    with pytest.raises(ValueError, match=f"probe_size: {size}; the (val|train) split allows 1 to "):
        probe(train, size, 42)


def test_an_epoch_has_every_equation_once():
    train = np.arange(100) % 4 > 0
    batches = Batches(train, 20, "test", 0)
    assert batches.per_epoch == 4
    assert [len(batches.rows(n)) for n in range(1, 5)] == [20, 20, 20, 15]
    first, second = (np.concatenate([batches.rows(n) for n in steps]) for steps in (range(1, 5), range(5, 9)))
    np.testing.assert_array_equal(np.sort(first), np.flatnonzero(train))
    np.testing.assert_array_equal(np.sort(second), np.flatnonzero(train))
    assert not np.array_equal(first, second)


def test_batches_do_not_depend_on_what_came_before():
    train = np.ones(50, bool)
    forward = Batches(train, 8, "test", 3)
    expected = {n: forward.rows(n).copy() for n in range(1, 30)}
    other = Batches(train, 8, "test", 3)
    for n in (29, 3, 14, 1):
        np.testing.assert_array_equal(other.rows(n), expected[n])
    assert not np.array_equal(Batches(train, 8, "test", 4).rows(1), expected[1])


def test_sizes_are_those_of_the_study():
    assert train_size(97, "+", 0.4) == 3764
    assert batch_size(3764, 512) == 512
    assert batch_size(101, 512) == 51


def test_the_first_crossing_counts_whatever_follows():
    assert first_crossing(np.array([0, 10, 20, 30]), np.array([0, 0.99, 0.3, 1])) == 10
    assert first_crossing(np.array([0, 10]), np.array([0, 0.9899])) is None
