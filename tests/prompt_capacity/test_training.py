import numpy as np
import pytest
import torch

from memorization.models.language_model_size import parameters
from memorization.prompt_capacity.training import base_learner, train
from memorization.provenance import generator
from memorization.text_learner import TextLearner
from memorization.training.checkpoints import Unfinished
from memorization.training.fit import TrainingError

CONDITION = {
    "architecture": "llama", "n_layers": 1, "d_model": 16, "n_heads": 2, "max_length": 16, "init_std": 0.1,
    "learning_rate": 0.02, "warmup": 0.1, "weight_decay": 0.0, "batch_size": 4, "precision": "float32",
}  # fmt: skip
ROWS = generator("test", 0, "rows").integers(30, size=(22, 12)).astype(np.int32)


def learner(seed=0, rows=ROWS):
    return base_learner(CONDITION, rows, 30, seed, "cpu")


def run(folder, ours, every=3600.0):
    return train(ours, Unfinished(folder / "x.a.unfinished", every), 3600)


def test_a_base_model_is_a_llama_of_its_shape():
    ours = learner()
    assert type(ours.model).__name__ == "LlamaForCausalLM"
    assert sum(each.numel() for each in ours.model.parameters()) == parameters(CONDITION, 30)


def test_each_row_is_seen_once_in_an_order_of_the_seed():
    one, again, other = learner(), learner(), learner(1)
    assert one.steps == 6
    for ours in (one, other):
        assert sorted(map(tuple, ours.rows.tolist())) == sorted(map(tuple, ROWS.tolist()))
    assert torch.equal(one.rows, again.rows)
    assert not torch.equal(one.rows, other.rows)
    assert not torch.equal(one.rows, torch.from_numpy(ROWS))


def test_a_seed_has_initial_weights_of_its_own():
    one, again, other = (learner(seed).model.state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


def test_training_learns(tmp_path):
    ours = learner(rows=np.tile(ROWS[:2], (60, 1)))
    first = ours.step(1).item()
    state = run(tmp_path, ours)
    assert ours.loss < 0.5 * first
    assert state.keys() == ours.model.state_dict().keys()
    assert not any(each.requires_grad for each in state.values())


def test_an_interrupted_training_ends_in_the_same_weights(tmp_path, monkeypatch, capsys):
    expected, step = run(tmp_path, learner()), TextLearner.step

    def killed(self, n):
        if n == 4:
            raise KeyboardInterrupt
        return step(self, n)

    monkeypatch.setattr(TextLearner, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, learner(), every=0)
    monkeypatch.setattr(TextLearner, "step", step)
    found = run(tmp_path, learner(), every=0)
    assert "going on after step 3" in capsys.readouterr().out
    assert all(torch.equal(found[name], values) for name, values in expected.items())


def test_a_training_that_diverges_is_an_error(tmp_path):
    ours = learner()
    with torch.no_grad():
        next(ours.model.parameters()).fill_(torch.nan)
    with pytest.raises(TrainingError, match=r"^step 6: the loss is nan$"):
        run(tmp_path, ours)
