import numpy as np
import pandas as pd
import pytest

from memorization.grokking.dynamics.deviations import deviations, perturbation_table
from memorization.grokking.dynamics.fingerprint import levels, quantile_embedding
from memorization.grokking.task.equations import Batches, equations
from memorization.grokking.task.evaluation import exposures, grokking_records, grokking_runs, history, transitions

P = 7
DATA = {"p": np.array(P), "equations": equations(P, "+"), "train": np.arange(P * P) % 2 == 0}


def trajectory(accuracy_val=(0.0, 0.2, 0.995, 0.4, 1.0)):
    rng = np.random.default_rng(0)
    nll = rng.random((3, P * P)).astype(np.float32)
    return {
        "step": np.array([0, 10, 20, 30, 40]),
        "accuracy_train": np.array([0.1, 0.99, 1.0, 1.0, 1.0]),
        "accuracy_val": np.array(accuracy_val),
        "loss_train": np.linspace(2, 0, 5),
        "loss_val": np.linspace(3, 1, 5),
        "checkpoint_step": np.array([0, 3, 40]),
        "nll": nll,
        "right": nll < 0.5,
        "parameters": np.array(321),
    }


def test_history_has_a_row_a_step_and_chance():
    table = history(trajectory(), P, "wd_1", 3)
    assert table["step"].tolist() == [0, 10, 20, 30, 40]
    assert table["accuracy_val"].tolist() == [0.0, 0.2, 0.995, 0.4, 1.0]
    assert (table["chance"] == 1 / 7).all()
    assert set(table["seed"]) == {3}


def test_transitions_are_first_crossings_and_what_came_after_them():
    row = transitions(trajectory(), P, "wd_1", 3, weight_decay=1).iloc[0]
    assert (row["memorized_step"], row["generalized_step"], row["delay_ratio"]) == (10, 20, 2)
    assert (row["late_below_99"], row["late_below_half"]) == (0.5, 0.5)  # of .4 and 1
    assert (row["end_accuracy_val"], row["last_step"]) == (1.0, 40)
    assert (row["weight_decay"], row["chance"]) == (1, 1 / 7)
    never = transitions(trajectory((0, 0, 0, 0, 0)), P, "wd_0", 3, weight_decay=0).iloc[0]
    assert np.isnan(
        [never["generalized_step"], never["delay_ratio"], never["late_below_99"], never["late_below_half"]]
    ).all()
    assert never["memorized_step"] == 10


def test_exposures_equal_a_replay_of_the_batches():
    steps = np.array([0, 3, 40])
    seen, last = exposures(Batches(DATA["train"], 6, "test", 0), steps, P * P)
    plain, replay = np.zeros((2, P * P), int), Batches(DATA["train"], 6, "test", 0)
    for n in range(1, 41):
        for row in replay.rows(n):
            plain[0, row] += 1
            plain[1, row] = n
        if n in steps:
            at = steps.tolist().index(n)
            np.testing.assert_array_equal(seen[at], plain[0])
            np.testing.assert_array_equal(last[at], plain[1])
    np.testing.assert_array_equal(seen[0], 0)
    assert seen[:, ~DATA["train"]].max() == 0
    later, _ = exposures(Batches(DATA["train"], 6, "test", 0), np.array([5]), P * P)
    assert later.shape == (1, P * P)


def test_a_record_is_an_equation_whose_answer_is_one_token():
    table = grokking_records(trajectory(), DATA, Batches(DATA["train"], 6, "test", 0), "wd_1", 3)
    assert len(table) == 3 * P * P
    end = table[table["step"] == 40].reset_index(drop=True)
    assert (end["n_tokens"] == 1).all()
    assert end["item"].tolist()[:2] == ["0_0", "0_1"]
    assert end["phase"].tolist()[:2] == ["train", "held_out"]
    np.testing.assert_allclose(end["nll_bits"], trajectory()["nll"][2] / np.log(2), rtol=1e-6)
    assert end["prior_bits"].to_numpy() == pytest.approx(np.log2(7))
    assert end["chance"].to_numpy() == pytest.approx(1 / 7)
    np.testing.assert_array_equal(end["exact"], trajectory()["right"][2])
    np.testing.assert_array_equal(end["recall"], trajectory()["right"][2].astype(float))
    assert (end.loc[end["phase"] == "held_out", "exposures"] == 0).all()
    assert (end.loc[end["phase"] == "train", "exposures"] > 0).all()


def test_a_run_row_counts_what_is_trained():
    row = grokking_runs(trajectory(), "wd_1", 3).iloc[0]
    assert (row["parameters"], row["trainable"], row["state_bits"], row["steps"]) == (321, 321, 32 * 321, 40)


def drifting(scale, last=20):
    rng = np.random.default_rng(0)
    steps = np.arange(0, last + 1, 2)
    base = rng.standard_normal((11, 30))[: len(steps)]
    direction = rng.standard_normal((11, 30))[: len(steps)]
    direction /= np.sqrt((direction**2).mean(axis=1, keepdims=True))
    return {
        "fingerprint_step": steps,
        "val": base + scale * np.exp(0.1 * steps)[:, None] * direction,
        "step": np.array([0, 10, 20]),
        "accuracy_val": np.array([0.1, 1.0, 0.2]),
        "weight_step": np.array([0, 1, 4]),
        "weight_distance": np.array([0.1, 0.15, 0.2]),
    }


def test_deviations_are_root_mean_squares_and_their_growth():
    table = deviations(drifting(1e-3, last=20), drifting(0, last=16), "val", 5, 4)
    assert table["step"].tolist() == [0, 1, *range(2, 17, 2)]  # weights were kept at a step without readings
    read = table[table["step"] % 2 == 0]
    np.testing.assert_allclose(read["rms_change"], 1e-3 * np.exp(0.1 * read["step"]), rtol=1e-9)
    assert table[table["step"] == 1][["rms_change", "growth_rate"]].isna().all(axis=None)
    growth = table.set_index("step")["growth_rate"]
    assert growth[growth.notna()].index.tolist() == [4, 8, 12, 16]
    assert growth.dropna().to_numpy() == pytest.approx(0.1)
    assert table.set_index("step")["weight_distance"].dropna().to_dict() == {0: 0.1, 1: 0.15, 4: 0.2}
    one, two = (quantile_embedding(drifting(scale)["val"][:1], levels(5)) for scale in (1e-3, 0))
    assert table["fingerprint_distance"].iloc[0] == pytest.approx(np.sqrt(((one - two) ** 2).mean()))


def test_no_change_has_no_growth():
    table = deviations(drifting(0), drifting(0), "val", 5, 4)
    assert (table["rms_change"].dropna() == 0).all()
    assert table["growth_rate"].isna().all()


def test_a_perturbed_run_is_told_with_its_crossings():
    late = drifting(0) | {"step": np.array([0, 10, 20, 30]), "accuracy_val": np.array([0.1, 0.2, 0.3, 1.0])}
    about = {"condition": "wd_2", "seed": 1, "perturbation": {"name": "tenth", "kind": "relative", "epsilon": 0.1}}
    embedding = {"probe_split": "val", "n_quantiles": 5}
    table = perturbation_table(drifting(1e-3), late, embedding, 4, **about)
    assert list(table)[:6] == ["condition", "seed", "perturbation", "kind", "epsilon", "step"]
    assert (table["generalized_step"] == 10).all()
    assert (table["reference_generalized_step"] == 30).all()
    assert pd.concat([table, table])["perturbation"].unique().tolist() == ["tenth"]
