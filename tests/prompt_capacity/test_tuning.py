"""The learning rate of each layout, chosen on texts of their own."""

import numpy as np
import pandas as pd
import pytest
from prompt_capacity_models import DRAWN, SETTINGS, pool, tiny

from memorization.prompt_capacity.layouts import layout_name
from memorization.prompt_capacity.memorizing import Cell, PromptLearner
from memorization.prompt_capacity.tuning import chosen, rates_table

RATES, LAYOUTS, STEPS = [0.001, 0.1, 3.0], ("prefix", "infix", "solo", 1), 12
TUNING = {"prompt_length": 2, "length": 4, "trials": 2, "steps": STEPS}
SETTING = SETTINGS | DRAWN | {"batch_size": 2, "tuning": TUNING, "layouts": list(LAYOUTS), "learning_rates": RATES}


@pytest.fixture(scope="module")
def table():
    return rates_table(tiny(), pool(), SETTING, 1)


def test_a_rate_s_cost_is_the_mean_of_the_best_iterates_of_its_layout(table):
    """Each layout trained by itself, on texts that are none of the trials."""
    assert table["layout"].tolist() == [name for _ in RATES for name in ("prefix", "infix", "solo", "offset1")]
    assert table["learning_rate"].tolist() == [rate for rate in RATES for _ in LAYOUTS]
    trials = pool().trials(SETTING | {"random_trials": 0}, 4, 1, "tuning")
    assert trials.kinds.tolist() == ["text"] * 2
    for layout in LAYOUTS:
        for rate in RATES:
            ours = PromptLearner(tiny(), Cell(trials, (layout,), 2), SETTING, {layout: rate}, 1, "tuning")
            losses = []
            for n in range(1, STEPS + 1):
                ours.step(n)
                losses.append(ours.loss.numpy().copy())
            row = table[(table["layout"] == layout_name(layout)) & (table["learning_rate"] == rate)]
            assert row["nll"].item() == pytest.approx(np.min(losses, axis=0).mean(), abs=1e-4)


def test_fewer_texts_tune_where_there_are_no_more(capsys):
    """Of 30 documents 5 are for tuning: two groups of two."""
    few, wanted = pool(30), SETTING | {"layouts": ["prefix"], "learning_rates": [0.1]}
    found = rates_table(tiny(), few, wanted | {"tuning": TUNING | {"trials": 9}}, 1)
    assert "tuning: 4 documents, not 18: no more have 4 tokens" in capsys.readouterr().out
    assert found.equals(rates_table(tiny(), few, wanted, 1))


def test_the_cheapest_rate_of_a_layout_is_chosen_and_no_other(table):
    for _, rows in table.groupby("layout"):
        assert rows["chosen"].sum() == 1
        assert rows.loc[rows["chosen"], "nll"].item() == rows["nll"].min()
    assert table.groupby("learning_rate")["nll"].mean().idxmin() == 0.1


def test_the_first_of_rates_that_cost_the_same_is_chosen(table):
    """One row a layout stays chosen: a rate that is given twice."""
    twice = rates_table(tiny(), pool(), SETTING | {"learning_rates": [0.1, 0.1]}, 1)
    assert twice["chosen"].tolist() == [True] * 4 + [False] * 4


def test_layouts_have_their_own_chosen_rates_or_the_only_one():
    names = ["prefix", "infix", "offset1"]
    table = pd.DataFrame(
        {
            "layout": names * 2,
            "learning_rate": [0.1] * 3 + [0.3] * 3,
            "nll": [1.0, 2, 3, 2, 1, 4],
            "chosen": [True, False, True, False, True, False],
        }
    )
    assert chosen([table], ["prefix", "infix", 1], [0.1, 0.3]) == {"prefix": 0.1, "infix": 0.3, 1: 0.1}
    assert chosen([table], ["infix"], [0.1, 0.3]) == {"infix": 0.3}
    assert chosen([], ["prefix", 1], [0.2]) == {"prefix": 0.2, 1: 0.2}
