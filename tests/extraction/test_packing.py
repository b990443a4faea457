from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from memorization.extraction.packing import copies_of, pack
from memorization.provenance import generator

COUNTS = [1, 2, 4, 8, 16, 32, 64, 128]
LENGTH, ROW = 8, 32


def windows(per_group=16, controls=5):
    rows = [(name, "planted", group) for name in ("code", "prose") for group in range(3) for _ in range(per_group)] + [
        ("code", "control", -1)
    ] * controls
    table = pd.DataFrame(rows, columns=["data_type", "role", "group"])
    return table.sample(frac=1, random_state=0, ignore_index=True)


def test_of_three_seeds_each_window_is_unseen_in_one_and_has_other_counts_in_the_rest():
    table = windows()
    copies = np.stack([copies_of(table, seed, COUNTS) for seed in range(3)])
    assert copies.dtype == np.int32
    planted = (table["role"] == "planted").to_numpy()
    assert set((copies[:, planted] == 0).sum(axis=0)) == {1}
    assert not copies[:, ~planted].any()
    for of_window in copies[:, planted].T:
        low, high = sorted(of_window[of_window > 0])
        assert high == 16 * low
    for seed in range(3):
        assert (table["group"][planted][copies[seed, planted] == 0] == seed).all()


@pytest.mark.parametrize("seed", range(7))
def test_each_count_is_used_equally_in_each_group(seed):
    table = windows()
    seen = table.assign(copies=copies_of(table, seed, COUNTS)).query("copies > 0")
    sizes = seen.groupby(["data_type", "group", "copies"]).size()
    assert len(sizes) == 2 * 2 * len(COUNTS)
    assert set(sizes) == {2}


@pytest.mark.parametrize("counts", [[3], [1, 5], [1, 2, 4]])
def test_other_lists_of_counts_make_the_same_design(counts):
    table = windows(per_group=2 * len(counts))
    copies = np.stack([copies_of(table, seed, counts) for seed in range(6)])[:, (table["role"] == "planted").to_numpy()]
    for three in (copies[:3], copies[1:4], copies[3:]):
        assert set((three == 0).sum(axis=0)) == {1}
    if len(counts) > 1:
        assert all(len(set(of_window)) == 3 for of_window in copies[:3].T)


def test_a_group_that_counts_cannot_share_is_one_line():
    with pytest.raises(
        ValueError, match=r"^per_type: a group of code has 16 windows for 3 counts; allowed: per_type a "
    ):
        copies_of(windows(), 0, [1, 2, 4])


@pytest.fixture(scope="module")
def packed():
    """Windows of tokens 1000 and up, a background of tokens below."""
    tokens = 1000 + np.arange(12 * LENGTH, dtype=np.int32).reshape(12, LENGTH)
    copies = np.array([0, 1, 2, 4, 8, 16, 32, 32, 16, 0, 5, 50], np.int32)
    background = np.arange(900, dtype=np.int32)
    return tokens, copies, background, pack(tokens, copies, background, ROW, generator("test", 0, "packing"))


def found(row, window):
    """Where a window stands in a row, by plain search."""
    return [at for at in range(len(row) - len(window) + 1) if row[at : at + len(window)] == window]


def test_a_window_stands_in_the_rows_as_often_as_it_has_copies(packed):
    tokens, copies, _, arrays = packed
    rows = arrays["rows"].tolist()
    for window, count in zip(tokens.tolist(), copies, strict=True):
        assert sum(len(found(row, window)) for row in rows) == count
    assert {name: array.dtype for name, array in arrays.items()} == dict.fromkeys(arrays, np.dtype(np.int32))
    np.testing.assert_array_equal(arrays["copies"], copies)


def test_the_places_are_those_where_the_windows_stand(packed):
    tokens, copies, _, arrays = packed
    assert len(arrays["window"]) == len(arrays["row"]) == len(arrays["offset"]) == copies.sum()
    for window, row, offset in zip(arrays["window"], arrays["row"], arrays["offset"], strict=True):
        np.testing.assert_array_equal(arrays["rows"][row, offset : offset + LENGTH], tokens[window])
    order = list(zip(arrays["row"].tolist(), arrays["offset"].tolist(), strict=True))
    assert order == sorted(order)
    assert all(one[0] != other[0] or one[1] + LENGTH <= other[1] for one, other in pairwise(order))


def test_the_background_fills_the_gaps_in_its_order_and_less_than_a_row_is_left(packed):
    _, copies, background, arrays = packed
    rows = arrays["rows"]
    assert rows.shape == ((copies.sum() * LENGTH + len(background)) // ROW, ROW)
    used = rows[rows < 1000]
    np.testing.assert_array_equal(used, background[: len(used)])
    assert 0 <= len(background) - len(used) < ROW


def test_a_row_has_a_window_once_and_room_for_one_more(packed):
    arrays = packed[3]
    rows = pd.DataFrame({"row": arrays["row"], "window": arrays["window"]})
    assert not rows.duplicated().any()
    assert rows["row"].value_counts().max() == ROW // LENGTH - 1


def test_offsets_are_everywhere_and_rows_are_all_over():
    """A window alone in a row is as likely at each of its 17 places; two or more push each other outwards."""
    tokens, background = 1000 + np.arange(LENGTH, dtype=np.int32)[None], np.zeros(24 * 3400, np.int32)
    arrays = pack(tokens, np.array([1700]), background, 24, generator("test", 1, "packing"))
    counts = np.bincount(arrays["offset"], minlength=17)
    assert len(counts) == 17
    assert np.abs(counts - 100).max() < 45  # 4.5 standard deviations
    assert np.abs(np.histogram(arrays["row"], bins=10)[0] - 170).max() < 50


def test_a_seed_makes_the_same_rows_and_another_one_others(packed):
    tokens, copies, background, arrays = packed
    again = pack(tokens, copies, background, ROW, generator("test", 0, "packing"))
    other = pack(tokens, copies, background, ROW, generator("test", 1, "packing"))
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)
    assert not np.array_equal(other["rows"], arrays["rows"])


def test_no_copies_leave_the_background_as_it_is():
    background = np.arange(100, dtype=np.int32)
    arrays = pack(np.ones((3, LENGTH), np.int32), np.zeros(3, np.int32), background, ROW, generator("test", 0))
    np.testing.assert_array_equal(arrays["rows"], background[:96].reshape(3, ROW))
    assert not len(arrays["window"])


@pytest.mark.parametrize(
    ("copies", "row_length", "message"),
    [
        (
            [7, 0],
            32,
            r"^background: 100 tokens make 4 rows with 3 windows each, but there are 7 copies, 7 of one window;",
        ),
        (
            [1, 0],
            8,
            r"^background: 100 tokens make 13 rows with 0 windows each, but there are 1 copies, 1 of one window;",
        ),
        ([40, 40], 32, r"^background: 100 tokens make 23 rows with 3 windows each, but there are 80 copies, 40 of one"),
    ],
)
def test_rows_without_room_are_one_line(copies, row_length, message):
    with pytest.raises(ValueError, match=message) as error:
        pack(np.ones((2, 8), np.int32), np.array(copies), np.zeros(100, np.int32), row_length, generator("test", 0))
    assert "\n" not in str(error.value)
