import numpy as np
import pytest
import torch
from memory_layer_facts import CONDITION, facts, table

from memorization.memory_layer import training
from memorization.memory_layer.evaluation import retention, tables
from memorization.memory_layer.evaluation.retention import COLUMNS, forgetting_table, slot_shares
from memorization.memory_layer.model import answer_logits, memories
from memorization.memory_layer.training import FactLearner
from memorization.training.checkpoints import write_tensors

FACTS, DATA = facts(), table()
OLD, NEW = np.arange(60), np.arange(60, 72)
RUN = {"condition": "some", "seed": 0}


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    path = tmp_path_factory.mktemp("before") / "checkpoint.safetensors"
    write_tensors(path, FactLearner(CONDITION, FACTS, 3, "cpu").model.state_dict(), {})
    return str(path)


def condition(before, **change):
    return CONDITION | {"pretrained": {"path": before}, "train_on": ["new"]} | change


def after(condition, before, steps=0):
    learner = FactLearner(condition, FACTS, 0, "cpu", before)
    for n in range(1, steps + 1):
        learner.step(n)
    return tables.by_fact(tables.by_token(learner.model, FACTS, np.arange(len(FACTS))), DATA, FACTS)


def forgetting(condition, before, steps=0):
    return forgetting_table(condition, FACTS, after(condition, before, steps), before, 0, "cpu", RUN)


def plain_weights(model, row):
    """By layer and slot, the share of weight of the answer of a row."""
    found = {n: np.zeros(memory.n_slots) for n, memory in memories(model).items()}
    tokens, at, columns, lengths, _ = FACTS.batch(np.array([row]))
    for layer, _, weights, slots in answer_logits(model.eval(), tokens, at, columns, lengths)[1]:
        for slot, weight in zip(slots.flatten().tolist(), weights.flatten().tolist(), strict=True):
            found[layer][slot] += weight
    return {layer: each / each.sum() for layer, each in found.items()}


def weights_of(model, rows):
    """By layer, the share of weight that the answer of each row has on each slot, (n, n_slots)."""
    found = {n: np.zeros((len(FACTS), memory.n_slots)) for n, memory in memories(model).items()}
    for part, at, _, _, retrieved in training.answers(model, FACTS, rows):
        for layer, row, slot, share in slot_shares(part[at.numpy()], retrieved):
            np.add.at(found[layer], (row, slot), share)
    return {layer: each[rows] for layer, each in found.items()}


def test_shares_are_those_of_a_plain_loop(monkeypatch):
    monkeypatch.setattr(training, "ANSWERS", 12)  # parts of 2
    model = FactLearner(CONDITION | {"memory_layers": [0, 1]}, FACTS, 0, "cpu").model
    rows = np.array([4, 80, 61])
    found = weights_of(model, rows)
    for layer in (0, 1):
        expected = [plain_weights(model, row)[layer] for row in rows]
        np.testing.assert_allclose(found[layer], expected, rtol=1e-5, atol=1e-7)


def test_overlap_is_the_shares_of_old_and_new_facts_in_units_of_uniform_use(before):
    found = forgetting(condition(before), before)
    model = FactLearner(condition(before), FACTS, 0, "cpu", before).model
    new = np.mean([plain_weights(model, row)[1] for row in NEW], axis=0)
    np.testing.assert_allclose(found["overlap"], [64 * plain_weights(model, row)[1] @ new for row in OLD], rtol=1e-4)
    assert list(found) == list(COLUMNS)
    assert found["item"].tolist() == DATA["item"].iloc[OLD].tolist()
    np.testing.assert_allclose(found["nll_before_bits"], found["nll_after_bits"], rtol=1e-6)  # nothing was trained
    assert (found["exact_before"] == found["exact_after"]).all()


def test_what_was_lost_is_what_the_trained_model_answers_worse(before):
    found = forgetting(condition(before, warmup=0), before, steps=10)
    ended = after(condition(before, warmup=0), before, steps=10)
    assert found["nll_after_bits"].tolist() == ended["nll_bits"].iloc[OLD].tolist()
    assert (found["nll_before_bits"] - found["nll_after_bits"]).abs().min() > 1e-3


@pytest.mark.parametrize(("apart", "overlap"), [(False, 1), (True, 0)])
@pytest.mark.parametrize("update", ["dense", "top_t"])
def test_uniform_shares_overlap_by_1_and_separate_ones_not_at_all(before, monkeypatch, update, apart, overlap):
    def shares(row, retrieved):
        slots = np.arange(64).reshape(2, 32)[int(row[0] in NEW)] if apart else np.arange(64)
        rows = np.unique(row)
        yield 1, np.repeat(rows, len(slots)), np.tile(slots, len(rows)), np.full(len(rows) * len(slots), 1 / len(slots))

    monkeypatch.setattr(retention, "slot_shares", shares)
    monkeypatch.setattr(retention, "_moves", lambda *_: [np.ones(64)])
    found = forgetting(condition(before, value_update=update), before)
    np.testing.assert_allclose(found["overlap"], overlap, rtol=1e-6)


def test_with_top_t_rows_that_no_batch_moves_do_not_overlap(before):
    """Batches of all new facts: the 5 rows are those of one batch."""
    of = condition(before, value_update="top_t", batch_size=12)
    learner = FactLearner(of, FACTS, 0, "cpu", before)
    rows = learner.top_t[1].rows(learner.retrievals(NEW)[1]).numpy()
    (share,) = retention._moves(of, FACTS, before, 0, "cpu")
    assert np.flatnonzero(share).tolist() == rows.tolist()
    assert set(share[rows]) == {1.0}
    found = forgetting(of, before)
    weights = weights_of(learner.model, OLD)[1]
    untouched = weights[:, rows].sum(axis=1) == 0
    assert (found["overlap"][untouched] == 0).all()
    assert (found["overlap"][~untouched] > 0).all()
    new = weights_of(learner.model, NEW)[1].sum(axis=0) * share
    np.testing.assert_allclose(found["overlap"], 64 * weights @ (new / new.sum()), rtol=1e-4)


def test_without_a_start_or_without_old_facts_the_table_is_empty(before):
    facts_after = after(condition(before), before)
    for of, start in ((condition(before), None), (condition(before, train_on=["train", "new"]), before)):
        found = forgetting_table(of, FACTS, facts_after, start, 0, "cpu", RUN)
        assert found.empty
        assert list(found) == list(COLUMNS)
        assert str(found.dtypes["exact_before"]) == "bool"


def test_without_a_memory_there_is_no_overlap(tmp_path):
    path = tmp_path / "none.safetensors"
    write_tensors(path, FactLearner(CONDITION | {"arm": "none"}, FACTS, 0, "cpu").model.state_dict(), {})
    found = forgetting(condition(str(path), arm="none"), str(path))
    assert found["overlap"].isna().all()
    assert len(found) == 60
    assert torch.isfinite(torch.tensor(found["nll_before_bits"])).all()
