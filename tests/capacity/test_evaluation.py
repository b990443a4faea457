import math

import numpy as np
import pytest

from memorization.capacity.data import sample_sequences
from memorization.capacity.evaluation import bits_table, capacity_records, capacity_runs
from memorization.capacity.training import FullBatch, train
from memorization.provenance import generator
from memorization.records import RECORD, RUN
from memorization.training.checkpoints import Unfinished

DATA = {"count": 10, "length": 4, "alphabet": 5}
CONDITION = {
    "n_layers": 1, "n_heads": 1, "d_model": 4, "d_ff": 4, "init_std": 0.3, "optimizer": "adamw",
    "learning_rate": 0.03, "warmup": 0, "steps": 12, "precision": "float32",
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A learner at its end, and what was recorded of it."""
    sequences = sample_sequences(**DATA, rng=generator("test", 0, "sequences"))
    learner = FullBatch(CONDITION, sequences, DATA["alphabet"], 0, "cpu")
    unfinished = Unfinished(tmp_path_factory.mktemp("trained") / "x.a.unfinished", 3600)
    return learner, train(learner, {"n_records": 3, "n_late": 2, "n_items": 6}, unfinished, 3600)


def test_bits_are_counted_over_all_symbols_negative_ones_too(trained):
    learner, trajectory = trained
    table = bits_table(trajectory, DATA, "some", 3)
    inputs, targets = learner.parts[0]
    probabilities = learner.model(inputs).softmax(dim=-1).tolist()
    bits, right, exact = 0.0, 0, 0
    for k in range(10):
        hits = 0
        for n in range(4):
            symbol, row = int(targets[k, n]), probabilities[k][n]
            bits += math.log2(5) + math.log2(row[symbol])
            hits += row[symbol] == max(row)
        right += hits
        exact += hits == 4
    end, parameters = table.iloc[-1], sum(each.numel() for each in learner.model.parameters())
    assert end["bits"] == pytest.approx(bits, rel=1e-5)
    assert end["bits_per_parameter"] == pytest.approx(bits / parameters, rel=1e-5)
    assert end["bits_per_state_bit"] == pytest.approx(bits / parameters / 32, rel=1e-5)
    assert end["recall"] == right / 40
    assert end["exact"] == exact / 10
    assert end["to_hold"] == pytest.approx(10 * (4 * math.log2(5) - math.log2(10)))
    assert table["bits"].iloc[0] < 0  # before training it is sure of what is wrong
    assert set(table["condition"]) == {"some"}
    assert set(table["seed"]) == {3}
    assert table["step"].tolist() == trajectory["step"].tolist()


def test_records_are_of_the_first_sequences_and_an_exposure_is_a_step(trained):
    _, trajectory = trained
    table = capacity_records(trajectory, DATA, "some", 3)
    assert list(table) == list(RECORD)
    assert len(table) == 6 * len(trajectory["step"])
    assert (table["exposures"] == table["step"]).all()
    assert (table["last_exposure_step"] == table["step"]).all()
    end = table[table["step"] == 12]
    assert end["item"].tolist() == [f"sequence{n}" for n in range(6)]
    np.testing.assert_allclose(end["nll_bits"], trajectory["item_nll"][-1] / np.log(2), rtol=1e-6)
    np.testing.assert_allclose(end["recall"], trajectory["item_right"][-1] / 4)
    assert (end["exact"] == (trajectory["item_right"][-1] == 4)).all()
    assert set(table["prior_bits"]) == {4 * np.log2(5)}
    assert set(table["chance"]) == {0.2}


def test_a_run_has_its_size(trained):
    table = capacity_runs(trained[1], DATA, "some", 3)
    assert list(table) == list(RUN)
    row = table.iloc[0]
    assert not row["all_recorded"]  # 6 of 10
    assert capacity_runs(trained[1], {**DATA, "count": 6}, "some", 3)["all_recorded"].all()
    assert row["state_bits"] == 32 * row["parameters"]
    assert row["steps"] == 12
