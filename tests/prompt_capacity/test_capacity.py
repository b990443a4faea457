import numpy as np
import pandas as pd
import pytest

from memorization.prompt_capacity.capacity import METRICS, OF_PROMPTS, capacity_table, layouts_table

RUN = {"condition": "a", "d_model": 8, "seed": 0, "layout": "prefix", "kind": "text", "prompt_length": 1}


def row(trial, length, accuracy=1.0, exact=True, net=8.0, text=0, **change):
    """``bits_per_dimension`` and ``nll_bits`` follow from the net gain, perplexity from ``log``."""
    found = RUN | {"trial": trial, "text": text, "length": length, "accuracy": accuracy, "exact": exact}
    found |= {
        "net_gain_bits": net,
        "bits_per_dimension": net / 8,
        "nll_bits": 20 - net,
        "perplexity": np.exp(1 - net / 20),
        "converged": False,
    }
    return found | change


def table(*rows):
    return pd.DataFrame(rows)


def test_a_prompt_holds_the_longest_text_that_is_right():
    """Trial 0: exact up to 4, 99% up to 8. Trial 1: none is exact. Means over the two."""
    found = capacity_table(
        table(
            row(0, 2, net=5.0),
            row(0, 4, net=9.0),
            row(0, 8, accuracy=0.99, exact=False, net=16.0),
            row(0, 16, accuracy=0.98, exact=False, net=12.0),
            row(1, 2, accuracy=0.5, exact=False, net=4.0),
            row(1, 4, accuracy=0.75, exact=False, net=-2.0),
            row(1, 8, accuracy=0.5, exact=False, net=1.0),
            row(1, 16, accuracy=0.5, exact=False, net=0.0),
        ),
        None,
    )
    (one,) = found.to_dict("records")
    assert {key: one[key] for key in OF_PROMPTS} == RUN
    assert one["n_trials"] == 2
    assert one["longest_accurate"] == (8 + 0) / 2
    assert one["longest_exact"] == (4 + 0) / 2
    assert one["gain_bits"] == (16 + 4) / 2
    assert one["bits_per_dimension"] == (16 + 4) / 2 / 8
    assert np.isnan(one["horizon"])


def test_a_text_of_a_group_that_is_not_exact_leaves_the_group_not_exact():
    rows = [row(0, 4, text=0, net=4.0), row(0, 4, text=1, net=8.0, exact=False, accuracy=0.97)]
    (one,) = capacity_table(table(*rows), None).to_dict("records")
    assert (one["longest_exact"], one["longest_accurate"]) == (0, 0)
    rows[1]["accuracy"] = 0.98
    assert capacity_table(table(*rows), None)["longest_accurate"].item() == 4  # .99 in the mean


def test_each_run_layout_kind_and_length_of_prompts_has_a_row():
    changes = [
        {},
        {"layout": "infix"},
        {"kind": "random"},
        {"prompt_length": 2},
        {"seed": 1},
        {"condition": "b", "d_model": 4},
    ]
    rows = [row(0, 4, net=float(n), **change) for n, change in enumerate(changes)]
    found = capacity_table(table(*rows), None)
    assert len(found) == len(changes)
    for n, change in enumerate(changes):
        part = found.loc[(found[[*RUN]] == pd.Series(RUN | change)).all(axis=1)]
        assert part["gain_bits"].item() == n


def test_horizons_are_means_over_trials_and_missing_where_no_text_was_grown():
    rows = [row(0, 4), row(1, 4), row(0, 4, layout="solo")]
    horizon = table(*({**RUN, "trial": n, "horizon": value} for n, value in enumerate((3, 8))))
    found = capacity_table(table(*rows), horizon).set_index("layout")["horizon"]
    assert found["prefix"] == 5.5
    assert np.isnan(found["solo"])


def pairs(differences, layouts=("prefix", "infix"), seeds=1):
    """Net gains of the first layout, and of the second, as much more as the differences say."""
    rows = []
    for n, difference in enumerate(differences):
        for layout, more in zip(layouts, (0, difference), strict=True):
            rows.append(row(n // seeds, 4, net=float(n) + more, layout=layout, seed=n % seeds))
    return table(*rows)


def test_layouts_are_compared_in_pairs_of_trials():
    """The later layout less the earlier one, in the order of the table."""
    found = layouts_table(pairs([3, 1, 2, 2])).set_index("metric")
    assert found["layout"].tolist() == 4 * ["infix"]
    assert found["other"].tolist() == 4 * ["prefix"]
    assert found["n"].tolist() == 4 * [4]
    assert found["mean"].to_dict() == pytest.approx(
        {"log_perplexity": -2 / 20, "nll_bits": -2, "exact": 0, "net_gain_bits": 2}
    )
    assert found["unit"].to_dict() == METRICS
    assert (found["low"] <= found["mean"]).all()
    assert (found["mean"] <= found["high"]).all()
    assert found.loc["net_gain_bits", "low"] >= 1
    assert found.loc["net_gain_bits", "high"] <= 3
    assert found.loc["net_gain_bits", "smallest_p"] == pytest.approx(2 / 2**4)
    assert found.loc["net_gain_bits", "p"] == pytest.approx(2 / 2**4)
    assert found.loc["exact", "p"] == 1


def test_eight_trials_can_tell_layouts_apart():
    found = layouts_table(pairs([1, 2, 3, 1, 2, 3, 1, 2], seeds=2)).set_index("metric")
    assert found.loc["net_gain_bits", "p"] == pytest.approx(2 / 2**8)
    assert (found["n"] == 8).all()
    five = layouts_table(pairs([1, 2, 3, 1, 2])).set_index("metric")
    assert five.loc["net_gain_bits", "p"] > 0.05


def test_pairs_of_which_both_have_converged_are_counted():
    """Of trial 0 both, of trial 1 one, of trial 2 the other, of trial 3 none; metrics have the same share."""
    table = pairs([3, 1, 2, 2])
    first, second = table["layout"] == "prefix", table["layout"] == "infix"
    table["converged"] = first & table["trial"].isin([0, 1]) | second & table["trial"].isin([0, 2])
    found = layouts_table(table)
    assert found["converged"].tolist() == 4 * [0.25]
    assert layouts_table(table.assign(converged=True))["converged"].tolist() == 4 * [1]
    assert layouts_table(pairs([3, 1, 2, 2]))["converged"].tolist() == 4 * [0]
    cells = pd.concat([table, table.assign(length=8, converged=True)])
    assert layouts_table(cells).groupby("length")["converged"].first().to_dict() == {4: 0.25, 8: 1}


def test_of_a_group_in_solo_the_share_of_converged_texts_is_that_of_the_pair():
    rows = [row(0, 4, text=n, converged=True) for n in range(2)]
    rows += [row(0, 4, text=n, layout="solo", converged=n == 0) for n in range(2)]
    assert layouts_table(table(*rows))["converged"].tolist() == 4 * [0.5]


def test_the_order_of_rows_does_not_change_which_trials_are_pairs():
    one = pairs([3, -1, 2, 2])
    other = pd.concat([part.iloc[::-1] for _, part in one.groupby("layout", sort=False)])
    pd.testing.assert_frame_equal(layouts_table(one), layouts_table(other))


def test_a_layout_with_a_prompt_a_text_is_compared_by_the_mean_of_its_group():
    rows = [row(0, 4, net=3.0, text=n) for n in range(2)]
    rows += [row(0, 4, net=net, text=n, layout="solo") for n, net in enumerate((4.0, 8.0))]
    found = layouts_table(table(*rows)).set_index("metric")
    assert found.loc["net_gain_bits", "mean"] == 3
    assert (found["n"] == 1).all()
    assert found["low"].isna().all()


def test_all_pairs_of_layouts_are_compared_in_each_cell_by_itself():
    rows = [
        row(0, length, layout=layout, kind=kind, prompt_length=k)
        for length in (2, 4)
        for kind in ("text", "random")
        for k in (1, 2)
        for layout in ("prefix", "infix", "solo")
    ]
    found = layouts_table(table(*rows))
    assert len(found) == 8 * 3 * len(METRICS)
    assert {*zip(found["layout"], found["other"], strict=True)} == {
        ("infix", "prefix"),
        ("solo", "prefix"),
        ("solo", "infix"),
    }


def test_one_layout_alone_has_nothing_to_be_compared_with():
    found = layouts_table(table(row(0, 4)))
    assert len(found) == 0
    assert list(found) == list(layouts_table(pairs([1])))
