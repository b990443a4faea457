import numpy as np
import pandas as pd
import pytest

from memorization.prompt_capacity.source_format import CONFIGURATION, METRICS, log_text, summary_table

CELL = {
    "prompt_length": np.array(2), "length": np.array(4), "d_model": np.array(8),
    "layout": np.array(["prefix", "infix"]), "kind": np.array(["text", "random"]),
    "step": np.array([0, 2]), "losses": np.array([[3.0, 2.0], [2.0, 1.0], [np.log(2), 0.0]]),
    "right": np.array([[0.0, 0.25], [0.75, 1.0]]),
}  # fmt: skip


def row(trial, accuracy=1.0, seed=0, text=0, **change):
    found = {"condition": "a", "seed": seed, "layout": "infix", "kind": "text", "trial": trial, "text": text}
    found |= {"batch_size": 8, "length": 128, "prompt_length": 1, "accuracy": accuracy, "exact": accuracy == 1}
    found |= {"greedy_prefix": round(4 * accuracy), "perplexity": 1 / accuracy, "net_gain_bits": 10 * accuracy}
    return found | {"not_learned": False} | change


def summary(*rows):
    found = summary_table(pd.DataFrame(rows))
    return found, found[found["metric"] == "accuracy"].iloc[0]


def test_a_summary_has_the_mean_the_sd_and_every_value_of_the_trials():
    table, found = summary(row(0, 1.0), row(1, 0.5), row(0, 0.75, seed=1), row(1, 0.75, seed=1))
    assert found["n_trials"] == found["successful_trials"] == 4
    assert found["mean"] == pytest.approx(0.75)
    assert found["sd"] == pytest.approx(np.sqrt(0.125 / 3))
    assert found["values"] == "1 0.5 0.75 0.75"
    columns = ["metric", "successful_trials", "n_trials", "mean", "low", "high", "sd", "values"]
    assert list(table) == [*CONFIGURATION, *columns]
    assert table["metric"].tolist() == [*METRICS]
    assert table.set_index("metric").loc["greedy_prefix", "values"] == "4 2 3 3"
    assert table.set_index("metric").loc["exact", "mean"] == 1 / 4


def test_a_configuration_is_that_of_the_source():
    _, found = summary(row(0))
    assert found[["batch_size", "max_length", "prompt_length", "position"]].tolist() == [8, 128, 1, "infix"]


@pytest.mark.parametrize(
    ("layout", "position"),
    [("infix", "before"), ("prefix", "after"), ("solo", ""), ("infix_masked", ""), ("offset1", "")],
)
def test_the_source_calls_a_position_by_where_the_id_is(layout, position):
    """Its flag before has the prompt behind the ID, as infix, and after before it."""
    _, found = summary(row(0, layout=layout))
    assert (found["position"], found["source_position"]) == (layout, position)


def test_texts_of_a_trial_are_averaged_first():
    _, found = summary(*(row(0, accuracy, text=n) for n, accuracy in enumerate((1.0, 0.5, 0.0001))), row(1, 1.0))
    assert found["n_trials"] == 2
    assert found["values"].split() == ["0.500033", "1"]


def test_trials_that_have_not_learned_are_not_successful():
    _, found = summary(row(0), row(1, not_learned=True), row(2, not_learned=True))
    assert (found["successful_trials"], found["n_trials"]) == (1, 3)


def test_the_interval_of_a_mean_is_over_trials_within_seeds():
    """Seeds apart by far, with trials alike, have a narrow interval; the sd is of all trials."""
    around = enumerate((0.2, 0.9))
    trials = [row(n, level + 0.02 * (n - 1), seed) for seed, level in around for n in range(3)]
    _, found = summary(*trials)
    assert found["mean"] == pytest.approx(0.55)
    assert 0.53 <= found["low"] < 0.55
    assert 0.55 < found["high"] <= 0.57
    assert found["sd"] > 0.3
    pd.testing.assert_frame_equal(summary(*trials)[0], summary(*reversed(trials))[0])
    _, constant = summary(*(row(n, 0.5) for n in range(3)))
    assert constant[["low", "mean", "high"]].tolist() == [0.5, 0.5, 0.5]


def test_the_mean_is_over_seeds_and_a_seed_of_one_trial_leaves_no_interval():
    _, found = summary(row(0, 1.0), row(1, 0.5), row(0, 0.25, seed=1))
    assert found["mean"] == pytest.approx((0.75 + 0.25) / 2)
    assert np.isnan(found["low"])
    assert np.isnan(found["high"])


def test_of_one_trial_there_is_no_sd():
    _, found = summary(row(0, 0.5))
    assert np.isnan(found["sd"])
    assert np.isnan(found["low"])
    assert found["mean"] == 0.5


def test_each_configuration_has_rows_of_its_own():
    changes = [{}, {"layout": "prefix"}, {"kind": "random"}, {"length": 64}, {"prompt_length": 2}, {"batch_size": 4}]
    table, _ = summary(*(row(0, **change) for change in changes))
    assert len(table) == len(changes) * len(METRICS)
    assert (table["n_trials"] == 1).all()


def test_a_log_has_each_recorded_step_and_what_the_best_iterates_do():
    table = pd.DataFrame([row(0, 0.75, layout="prefix", length=4), row(1, 1.0, kind="random", length=4)])
    lines = log_text(CELL, table).splitlines()
    assert lines[0] == "2 vectors of 8, texts of 4 tokens"
    assert lines[1:5] == [
        "step 0  prefix text 0  loss 3.0000  perplexity 20.09  accuracy 0.000",
        "step 0  infix random 1  loss 2.0000  perplexity 7.389  accuracy 0.250",
        "step 2  prefix text 0  loss 0.6931  perplexity 2  accuracy 0.750",
        "step 2  infix random 1  loss 0.0000  perplexity 1  accuracy 1.000",
    ]
    assert lines[5] == "best  prefix text trial 0 text 0  accuracy 0.750  greedy 3/4  perplexity 1.333"
    assert len(lines) == 7
    assert log_text(CELL, table).endswith("\n")


def test_a_loss_without_bounds_is_logged():
    cell = CELL | {"losses": np.full((3, 2), 1e4)}
    assert "loss 10000.0000  perplexity 1.014e+304" in log_text(cell, pd.DataFrame([row(0)]))
