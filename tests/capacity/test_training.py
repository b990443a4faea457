import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from memorization.capacity import training
from memorization.capacity.data import sample_sequences
from memorization.capacity.training import FullBatch, recorded_steps, train
from memorization.provenance import generator
from memorization.training.checkpoints import Unfinished

COUNT, LENGTH, ALPHABET = 12, 5, 4
CONDITION = {
    "n_layers": 1, "n_heads": 2, "d_model": 8, "d_ff": 12, "init_std": 0.1, "optimizer": "muon",
    "learning_rate": 0.1, "warmup": 0.1, "steps": 30, "precision": "float32",
}  # fmt: skip
EVALUATION = {"n_records": 4, "n_late": 3, "n_items": 5}
SEQUENCES = sample_sequences(COUNT, LENGTH, ALPHABET, generator("test", 0, "sequences"))
OPTIMIZERS = pytest.mark.parametrize("optimizer", ["muon", "adamw"])


def learner(seed=0, **change):
    return FullBatch(CONDITION | change, SEQUENCES, ALPHABET, seed, "cpu")


def run(tmp_path, every=3600.0, **change):
    return train(learner(**change), EVALUATION, Unfinished(tmp_path / "x.a.unfinished", every), 3600)


def plain_losses(model):
    """Of each symbol, given those before it, one at a time: (COUNT, LENGTH) nats."""
    losses = torch.empty(COUNT, LENGTH, dtype=torch.float64)
    for k, sequence in enumerate(SEQUENCES.tolist()):
        for n in range(LENGTH):
            before = torch.tensor([[ALPHABET, *sequence[:n]]])
            losses[k, n] = -model(before)[0, -1].log_softmax(-1)[sequence[n]]
    return losses


@pytest.mark.parametrize("tokens", [65_536, 17])
def test_a_step_has_the_loss_and_the_gradient_of_a_plain_loop_over_all_sequences(monkeypatch, tokens):
    """Also where the batch is computed in parts, of 3 sequences."""
    monkeypatch.setattr(training, "TOKENS", tokens)
    ours = learner()
    ours.model.double()
    assert len(ours.parts) == (1 if tokens > 60 else 4)
    expected = plain_losses(ours.model).mean()
    gradients = torch.autograd.grad(expected, list(ours.model.parameters()))
    loss = ours.step(1)  # of rate 0, and its gradients stay
    assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
    for parameter, gradient in zip(ours.model.parameters(), gradients, strict=True):
        assert (parameter.grad - gradient).abs().max() < 1e-7


def test_what_is_evaluated_equals_a_plain_loop():
    ours = learner()
    nll, right = ours.evaluate()
    expected = plain_losses(ours.model)
    assert nll.dtype == np.float32
    np.testing.assert_allclose(nll, expected.sum(dim=1).detach(), rtol=1e-6)
    for k, sequence in enumerate(torch.from_numpy(SEQUENCES.astype(np.int64))):
        logits = ours.model(F.pad(sequence[None, :-1], (1, 0), value=ALPHABET))[0]
        assert right[k] == (logits.argmax(dim=1) == sequence).sum()


def test_the_rate_rises_over_the_first_share_and_falls_as_a_cosine_to_nothing():
    ours = learner()
    rates = []
    for n in range(1, 31):
        ours.step(n)
        rates.append({group["lr"] for group in ours.optimizer.param_groups})
    assert all(len(each) == 1 for each in rates)
    expected = [0, 1 / 3, 2 / 3] + [(1 + math.cos(math.pi * (n - 4) / 27)) / 2 for n in range(4, 31)]
    np.testing.assert_allclose([each.pop() / CONDITION["learning_rate"] for each in rates], expected, atol=1e-12)


@OPTIMIZERS
def test_all_sequences_are_learned_and_recorded(tmp_path, optimizer):
    arrays = run(tmp_path, optimizer=optimizer, steps=300)
    assert arrays["step"].tolist() == recorded_steps(300, 4, 3) == [0, 1, 7, 45, 270, 280, 290, 300]
    assert arrays["nll"][0] == pytest.approx(COUNT * LENGTH * math.log(ALPHABET), rel=0.05)
    known = COUNT * math.log(COUNT)  # nats that are left to who knows the set
    assert known * 0.999 < arrays["nll"][-1] < known * 1.3
    assert arrays["item_nll"].shape == arrays["item_right"].shape == (8, 5)
    assert 0 < arrays["item_nll"][-1].sum() < arrays["nll"][-1]
    assert arrays["right"][-1] > arrays["right"][0]
    assert (arrays["exact"] * LENGTH <= arrays["right"]).all()
    assert arrays["parameters"] == arrays["trainable"] == sum(p.numel() for p in learner().model.parameters())


def test_records_are_of_as_many_sequences_as_there_are(tmp_path):
    evaluation = EVALUATION | {"n_items": 100}
    arrays = train(learner(steps=2), evaluation, Unfinished(tmp_path / "x.a.unfinished", 3600), 3600)
    np.testing.assert_allclose(arrays["item_nll"].sum(axis=1), arrays["nll"], rtol=1e-6)
    assert arrays["item_right"].sum(axis=1).tolist() == arrays["right"].tolist()


@OPTIMIZERS
def test_an_interrupted_training_ends_like_an_unbroken_one(tmp_path, monkeypatch, capsys, optimizer):
    expected = run(tmp_path, optimizer=optimizer)
    step = FullBatch.step

    def killed(self, n):
        if n == 20:
            raise KeyboardInterrupt
        return step(self, n)

    monkeypatch.setattr(FullBatch, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, every=0, optimizer=optimizer)
    monkeypatch.setattr(FullBatch, "step", step)
    arrays = run(tmp_path, every=0, optimizer=optimizer)
    assert "going on after step 19" in capsys.readouterr().out
    assert arrays.keys() == expected.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(values, expected[name])


def test_conditions_of_one_size_and_seed_begin_with_the_same_weights():
    def weights(seed, **change):
        return learner(seed, **change).model.parameters()

    assert all(map(torch.equal, weights(0), weights(0, learning_rate=1.0, optimizer="adamw")))
    assert not all(map(torch.equal, weights(0), weights(1)))


def test_bfloat16_trains_weights_in_float32_to_other_losses(tmp_path):
    one, other = run(tmp_path), run(tmp_path, precision="bfloat16")
    assert one["nll"][0] == other["nll"][0]
    assert 0 < abs(one["nll"][-1] - other["nll"][-1]) < 0.2 * one["nll"][-1]
