import numpy as np
import pytest

from memorization.memory_layer.batches import Passes

COPIES = np.array([2, 0, 1, 3, 1])  # 7 in a pass


def passes(batch_size=4, *names):
    return Passes(COPIES, batch_size, "test", *names)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 20])
def test_in_every_pass_each_row_stands_as_often_as_it_has_copies(batch_size):
    """Of batches that span passes, or hold several."""
    ours = passes(batch_size)
    assert len(ours) == 7
    batches = [ours.batch(n) for n in range(1, 29)]
    assert {len(each) for each in batches} == {batch_size}
    for one in np.concatenate(batches)[: 28 * batch_size].reshape(-1, 7):
        assert np.bincount(one, minlength=5).tolist() == COPIES.tolist()


@pytest.mark.parametrize("batch_size", [1, 4, 7, 20])
def test_exposures_are_those_of_a_plain_loop(batch_size):
    ours = passes(batch_size)
    counts, last = np.zeros(5, int), np.zeros(5, int)
    for n in range(20):
        if n:
            for row in ours.batch(n):
                counts[row] += 1
                last[row] = n
        found = ours.exposures(n)
        np.testing.assert_array_equal(found[0], counts)
        np.testing.assert_array_equal(found[1], last)


def test_a_batch_does_not_depend_on_those_that_were_asked_before():
    one, other = passes(), passes()
    expected = [one.batch(n) for n in range(1, 12)]
    for n in (11, 2, 7, 1):
        np.testing.assert_array_equal(other.batch(n), expected[n - 1])


def test_each_pass_and_each_stream_has_an_order_of_its_own():
    def orders(*names):
        return np.concatenate([passes(7, *names).batch(n) for n in range(1, 30)]).reshape(29, 7)

    assert len({tuple(order) for order in orders(0).tolist()}) > 20
    assert (orders(0) != orders(1)).any()
    np.testing.assert_array_equal(orders(0), orders(0))


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match=r"^batches: there is no row to train on$"):
        Passes(np.zeros(3, int), 2, "test")
