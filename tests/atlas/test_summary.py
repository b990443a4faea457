import numpy as np
import pandas as pd
import pytest

from memorization.atlas.summary import summary_table

CURVES = pd.DataFrame(
    {"family": ["one"], "arm": "toy", "condition": "a", "seed": 0, "e50": 4.0, "e50_is": "within"},
)


def run(**change):
    of = {"family": "one", "arm": "toy", "condition": "a", "seed": 0, "parameters": 10, "active": 5, "trainable": 8}
    return pd.DataFrame([of | {"state_bits": 320, "steps": 100, "all_recorded": True} | change])


def items(*rows, step=100, **change):
    """Rows of (item, phase, prior_bits, nll_bits, recall)."""
    columns = ["item", "phase", "prior_bits", "nll_bits", "recall"]
    about = {"family": "one", "arm": "toy", "condition": "a", "seed": 0, "step": step, "chance": 0.5, "exact": False}
    return pd.DataFrame(rows, columns=columns).assign(**about | change)


EARLY = items(("x", "train", 10.0, 8.0, 0.6), ("y", "train", 10.0, 9.0, 0.6), step=85)
END = items(("x", "train", 10.0, 2.0, 1.0), ("y", "train", 10.0, 12.0, 0.5), ("z", "train", np.nan, 1.0, 0.9))


def summary(*records, runs=None, curves=CURVES):
    return summary_table(pd.concat(records, ignore_index=True), run() if runs is None else runs, curves)


def test_bits_are_what_items_gain_over_their_prior_and_no_item_loses_any():
    row = summary(EARLY, END).iloc[0]
    assert (row["items"], row["without_prior"], row["to_hold"], row["bits"], row["net_bits"]) == (3, 1, 20, 8, 8)
    assert row["bits_per_parameter"] == pytest.approx(0.8)
    assert row["bits_per_active"] == pytest.approx(1.6)
    assert row["bits_per_state_bit"] == pytest.approx(8 / 320)
    assert row["recall"] == pytest.approx(0.8)
    assert np.isnan(row["old_recall"])
    assert (row["e50"], row["e50_is"]) == (4, "within")


def test_what_held_out_items_gain_is_no_memory():
    held_out = items(
        ("u", "held_out", 10.0, 9.0, 0.5), ("v", "held_out", 10.0, 8.0, 0.5), ("w", "held_out", 10.0, 11, 0)
    )
    row = summary(EARLY, END, held_out).iloc[0]
    assert row["held_out_share"] == pytest.approx(2 / 30)
    assert (row["bits"], row["net_bits"]) == (8, pytest.approx(8 - 20 * 2 / 30))
    generalized = held_out.assign(nll_bits=0.0)
    assert summary(EARLY, END, generalized).iloc[0]["net_bits"] == 0


@pytest.mark.parametrize(
    ("records", "runs", "reason"),
    [
        ([EARLY, END], run(), "still rising"),
        ([EARLY.assign(nll_bits=[2.0, 12.0]), END], run(), ""),
        ([EARLY.assign(nll_bits=[2.05, 12.0]), END], run(), ""),
        ([END], run(), "no earlier record"),
        ([EARLY.assign(step=70), END], run(), "no earlier record"),  # too early to tell
        ([EARLY.assign(nll_bits=[2.0, 12.0]), END], run(all_recorded=False), "not all is recorded"),
        ([EARLY.assign(nll_bits=0.2), END.assign(nll_bits=0.2)], run(), "holds all that there is"),
        ([END.assign(prior_bits=np.nan)], run(), ""),
    ],
)
def test_a_lower_bound_says_why(records, runs, reason):
    assert summary(*records, runs=runs).iloc[0]["lower_bound"] == reason


def test_old_and_new_items_are_told_apart_above_chance():
    switched = items(("x", "before_switch", 10.0, 14.0, 0.6), ("y", "after_switch", 10.0, 1.0, 0.9))
    row = summary(switched).iloc[0]
    assert row["old_recall"] == pytest.approx(0.2)
    assert row["new_recall"] == pytest.approx(0.8)
    assert row["recall"] == pytest.approx(0.9)  # of the present set
    assert row["bits"] == 9


def test_the_end_is_the_last_tenth_of_each_run():
    spike = END.assign(nll_bits=[9.0, 12.0, 1.0])
    late = [END.assign(step=step) for step in (92, 96)]
    other = pd.concat([EARLY, END], ignore_index=True).assign(seed=1)
    table = summary(EARLY, *late, spike, other, runs=pd.concat([run(), run(seed=1)]))
    assert table["bits"].tolist() == [8, 8]
    assert table["e50_is"].isna().tolist() == [False, True]


def test_without_a_prior_nothing_is_counted():
    row = summary(END.assign(prior_bits=np.nan)).iloc[0]
    assert row["without_prior"] == row["items"] == 3
    assert np.isnan(row["bits"])
    assert np.isnan(row["bits_per_parameter"])


def test_an_item_that_left_training_before_the_others_is_counted_where_it_left():
    left = items(("w", "train", 10.0, 1.0, 1.0), step=40)
    row = summary(EARLY, END, left).iloc[0]
    assert (row["items"], row["to_hold"], row["bits"]) == (4, 30, 17)


def test_the_last_tenth_is_of_the_training_since_the_last_switch():
    """With switches at 50 and 80 it begins at 98: what was recorded before is not of the last set."""
    first = items(("x", "train", 10.0, 1.0, 1.0), step=45)
    second = [items(("x", "before_switch", 10.0, 9.0, 0.6), ("y", "after_switch", 10.0, 2.0, 1.0), step=50)]
    third = [
        items(
            ("x", "before_switch", 10.0, nll, 0.5),
            ("y", "before_switch", 10.0, nll, 0.6),
            ("z", "after_switch", 10.0, new, 0.9),
            step=step,
        )
        for step, nll, new in ((80, 9.5, 9.0), (92, 9.5, 6.0), (95, 9.5, 5.0), (99, 9.0, 1.0), (100, 9.0, 1.0))
    ]  # fmt: skip
    row = summary(first, *second, *third).iloc[0]
    assert row["bits"] == pytest.approx(1 + 1 + 9)
    assert row["new_recall"] == pytest.approx(0.8)
