import numpy as np
import pandas as pd
import pytest
import torch
from memory_layer_facts import CONDITION, PAIRS, facts, table

from memorization.memory_layer.evaluation import decoding, run, tables
from memorization.memory_layer.evaluation.chains import questions_of
from memorization.memory_layer.model import memories
from memorization.memory_layer.training import FactLearner, evaluate

HASHES = PAIRS | {
    "kind": "hash_hop", "num_samples": 4, "eval_samples": 1, "n_chains": 3, "hops": [1, 2], "hash_length": 3,
    "alphabet": "letters", "hashes": "random", "chain_of_thought": True, "n_queries": 2, "context": True,
    "labels": "chain",
}  # fmt: skip


def trained(**data):
    learner = FactLearner(CONDITION, facts(**data), 3, "cpu")
    for n in range(1, 6):
        learner.step(n)
    return learner.model.eval(), learner.facts


@torch.no_grad()
def plainly(model, text, places):
    """One token after the other, by the whole model."""
    text = text.clone()
    for place in places:
        text[place] = model(text[None, :place])[0, -1].argmax()
    return text[places].tolist()


@pytest.mark.parametrize(("data", "labels"), [({}, None), (HASHES, "chain"), (HASHES | {"labels": "final"}, "final")])
def test_each_question_is_answered_greedily_behind_the_true_text(monkeypatch, data, labels):
    monkeypatch.setattr(decoding, "ANSWERS", 100)  # parts of few
    model, of = trained(**data)
    rows = table(**data)
    tokens = tables.by_token(model, of, np.arange(len(of)))
    given = decoding.given_answers(model, of, tokens, questions_of(rows))
    assert given.index.tolist() == list(range(len(of)))
    for row in range(len(of)):
        places = np.flatnonzero(of.labels[row].numpy())
        questions = np.split(places, 2) if labels else [places]
        expected = [token for question in questions for token in plainly(model, of.tokens[row], question)]
        assert list(given[row]) == expected
    right = tokens.groupby("row")["right"].all()
    wanted = tokens.groupby("row")["target"].agg(tuple)
    assert (right == (given == wanted)).all()
    assert not right.all()


def test_questions_are_those_behind_the_completion():
    assert questions_of(table()).tolist() == [1] * 92
    assert set(questions_of(table(**HASHES))) == {2}
    assert set(questions_of(table(**HASHES | {"context": False}))) == {1}


def test_shares_of_the_rows_are_together_the_whole():
    model, of = trained()
    whole, use = run.shard(model, of, CONDITION)
    parts = [run.shard(model, of, CONDITION, n, 3) for n in range(3)]
    pd.testing.assert_frame_equal(pd.concat([tokens for tokens, _ in parts], ignore_index=True), whole, rtol=1e-5)
    assert [tokens["row"].nunique() for tokens, _ in parts] == [31, 31, 30]
    assert use.keys() == {str(layer) for layer in memories(model)}
    for layer, each in use.items():
        np.testing.assert_allclose(sum(part[layer] for _, part in parts), each, rtol=1e-5)
        np.testing.assert_allclose(each, evaluate(model, of, of.rows("train"))[2][int(layer)])
