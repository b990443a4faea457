import numpy as np
import pytest
import torch
from torch.nn import functional as F

from memorization.grokking.task.equations import Batches, equations, probe, split_equations
from memorization.grokking.task.model import tokens
from memorization.grokking.task.perturbation import weight_distances
from memorization.grokking.task.training import Training, evaluate, readings, train
from memorization.provenance import generator
from memorization.training.checkpoints import Unfinished
from memorization.training.fit import Recorder

P = 11
SETTINGS = {
    "n_layers": 2, "n_heads": 2, "d_model": 16, "optimizer": "adamw", "learning_rate": 1e-2, "weight_decay": 1.0,
    "warmup": 10, "steps": 60, "stop_after": 10, "min_steps": 0,
}  # fmt: skip
EVALUATION = {"every": 10, "n_records": 4}
FINGERPRINT = {"source": "log_prob", "token_index": -1, "record_every": 2}
TABLE = equations(P, "+")
DATA = {"p": np.array(P), "equations": TABLE, "train": split_equations(TABLE, 60, "pairs", generator("test", 0))}
PROBES = probe(DATA["train"], 20, 42)


def arguments(seed=0, **settings):
    return SETTINGS | settings, DATA, Batches(DATA["train"], 16, "test", seed), PROBES, seed


def run(tmp_path, every=3600.0, last_step=None, perturbation=None, fingerprint=FINGERPRINT, **settings):
    unfinished = Unfinished(tmp_path / "x.a.unfinished", every)
    changes = {"perturbation": perturbation, "last_step": last_step}
    return train(*arguments(**settings), EVALUATION, fingerprint, "cpu", unfinished, 3600, **changes)


def fresh(**settings):
    return Training(*arguments(**settings), EVALUATION, FINGERPRINT, "cpu")


def plain_log_probs(model, rows):
    a, b, c = torch.from_numpy(TABLE[rows].T.copy())
    log_probs = model(tokens(a, b, P))[:, -1].log_softmax(-1)
    return np.array([log_probs[n, answer].item() for n, answer in enumerate(c)], np.float32)


def test_the_first_step_changes_nothing_and_the_second_does():
    training = fresh()
    before = [parameter.detach().clone() for parameter in training.model.parameters()]
    training.step(1)
    assert all(torch.equal(*pair) for pair in zip(before, training.model.parameters(), strict=True))
    training.step(2)
    assert not any(torch.equal(*pair) for pair in zip(before, training.model.parameters(), strict=True))


def test_steps_are_those_of_adamw_on_the_plain_decoder():
    training, plain = fresh(), fresh()
    optimizer = torch.optim.AdamW(plain.model.parameters(), lr=0, betas=(0.9, 0.98), eps=1e-8, weight_decay=1.0)
    batches = Batches(DATA["train"], 16, "test", 0)
    for n in range(1, 9):
        a, b, c = torch.from_numpy(TABLE[batches.rows(n)].T.copy())
        optimizer.param_groups[0]["lr"] = 1e-2 * (n - 1) / 10
        loss = F.cross_entropy(plain.model(tokens(a, b, P))[:, -1], c)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert training.step(n).item() == pytest.approx(loss.item(), abs=1e-5)
    for mine, theirs in zip(training.model.parameters(), plain.model.parameters(), strict=True):
        assert (mine - theirs).abs().max() < 1e-4


def test_the_probe_s_reading_is_the_log_probability_of_the_answer(tmp_path):
    """Not of the token after it, whose fingerprint cannot see grokking."""
    trajectory = run(tmp_path, last_step=2).trajectory()
    expected = {split: plain_log_probs(fresh().model, PROBES[split]) for split in ("val", "train")}
    for split, values in expected.items():
        assert trajectory[split].shape == (2, 20)
        assert trajectory[split].dtype == np.float32
        np.testing.assert_allclose(trajectory[split][0], values, atol=1e-6)
        np.testing.assert_array_equal(trajectory[f"probe_{split}"], PROBES[split])
    other = TABLE[PROBES["val"]] @ [1, 1, 0] % P
    np.testing.assert_array_equal(other, TABLE[PROBES["val"], 2])


@pytest.mark.parametrize("token_index", [-1, -3])
@pytest.mark.parametrize("source", ["log_prob", "logits", "hidden"])
def test_readings_are_those_of_the_plain_decoder(source, token_index):
    model = fresh().model
    a, b, c = torch.from_numpy(TABLE[:30].T.copy())
    hidden = model.hidden(tokens(a, b, P))[:, token_index]
    logits = model.head(hidden)
    expected = {
        "hidden": hidden.norm(dim=-1),
        "logits": logits[torch.arange(30), c],
        "log_prob": logits.log_softmax(-1)[torch.arange(30), c],
    }
    made = readings(model, a, b, c, source, token_index)
    np.testing.assert_allclose(made, expected[source].detach(), atol=1e-5)


def test_evaluation_is_of_all_equations(monkeypatch):
    model = fresh().model
    a, b, c = torch.from_numpy(TABLE.T.copy())
    monkeypatch.setattr("memorization.grokking.task.training.CHUNK", 17)
    nll, right = evaluate(model, a, b, c)
    logits = model(tokens(a, b, P))[:, -1]
    np.testing.assert_allclose(nll, F.cross_entropy(logits, c, reduction="none").detach(), atol=1e-5)
    np.testing.assert_array_equal(right, logits.argmax(-1) == c)


def test_what_is_recorded_and_when(tmp_path):
    training = run(tmp_path, last_step=60, stop_after=10**6)
    trajectory = training.trajectory()
    np.testing.assert_array_equal(trajectory["fingerprint_step"], np.arange(0, 61, 2))
    assert trajectory["checkpoint_step"].tolist() == [0, 1, 4, 15, 60]
    assert trajectory["step"].tolist() == [0, 1, 4, 10, 15, 20, 30, 40, 50, 60]
    assert trajectory["nll"].shape == trajectory["right"].shape == (5, P * P)
    right = trajectory["right"][-1]
    assert trajectory["accuracy_train"][-1] == pytest.approx(right[DATA["train"]].mean())
    assert trajectory["accuracy_val"][-1] == pytest.approx(right[~DATA["train"]].mean())
    assert trajectory["loss_val"][-1] == pytest.approx(trajectory["nll"][-1][~DATA["train"]].mean(), rel=1e-6)
    np.testing.assert_allclose(trajectory["val"][-1], -trajectory["nll"][-1][PROBES["val"]], atol=1e-6)
    weights = training.weights()
    assert {name.split(".")[0] for name in weights} == {f"step{n}" for n in (0, 1, 4, 15, 60)}
    for name, parameter in training.model.named_parameters():
        assert torch.equal(weights[f"step60.{name}"], parameter)
    assert trajectory["parameters"] == sum(parameter.numel() for parameter in training.model.parameters())


@pytest.mark.parametrize(
    ("reached", "stop_after", "min_steps", "last"),
    [(20, 10, 0, 30), (15, 7, 0, 22), (20, 0, 0, 20), (None, 10, 0, 60), (20, 10, 45, 45), (40, 10, 45, 50)],
)
def test_training_stops_so_many_steps_after_the_first_crossing(
    tmp_path, monkeypatch, reached, stop_after, min_steps, last
):
    """Validation accuracy is made to cross at a step, and to fall again at the next evaluation."""
    append = Recorder.append

    def crossing(self, **row):
        if "accuracy_val" in row:
            row["accuracy_val"] = 0.99 if row["step"] == reached else 0.3
        append(self, **row)

    monkeypatch.setattr(Recorder, "append", crossing)
    trajectory = run(tmp_path, stop_after=stop_after, min_steps=min_steps).trajectory()
    assert trajectory["step"][-1] == last
    assert trajectory["checkpoint_step"][-1] == last
    assert trajectory["fingerprint_step"][-1] == last - last % 2
    assert len(set(trajectory["step"].tolist())) == len(trajectory["step"])


def test_a_run_may_be_cut_short(tmp_path):
    assert run(tmp_path, last_step=24).trajectory()["step"][-1] == 24


def test_an_interrupted_training_keeps_every_snapshot_once_and_ends_like_an_unbroken_one(tmp_path, monkeypatch, capsys):
    unbroken = run(tmp_path / "one")
    step = Training.step

    def killed(self, n):
        if n == 23:
            raise KeyboardInterrupt
        return step(self, n)

    monkeypatch.setattr(Training, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, every=0)
    monkeypatch.setattr(Training, "step", step)
    again = run(tmp_path, every=0)
    assert "going on after step 22" in capsys.readouterr().out
    trajectory = again.trajectory()
    np.testing.assert_array_equal(trajectory["fingerprint_step"], np.arange(0, 61, 2))
    for name, rows in unbroken.trajectory().items():
        np.testing.assert_array_equal(trajectory[name], rows, err_msg=name)
    for name, weights in unbroken.weights().items():
        assert torch.equal(again.weights()[name], weights), name
    for name, tensor in unbroken.state().items():
        assert torch.equal(again.state()[name], tensor), name


def test_conditions_of_a_seed_begin_alike_and_see_the_same_batches():
    one, other = fresh(weight_decay=0.0), fresh(weight_decay=2.0)
    for mine, theirs in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert one.step(1).item() == other.step(1).item()
    assert one.step(2).item() == other.step(2).item()
    assert one.step(3).item() != other.step(3).item()  # the second step was the first to change weights


def perturbed(kind, epsilon, seed=0):
    settings, data, batches, probes, _ = arguments(seed)
    change = {"kind": kind, "epsilon": epsilon}
    return Training(settings, data, batches, probes, seed, EVALUATION, FINGERPRINT, "cpu", change).model


def test_a_relative_perturbation_moves_each_tensor_by_its_share():
    for (name, before), after in zip(
        fresh().model.named_parameters(), perturbed("relative", 1e-3).parameters(), strict=True
    ):
        moved, size = (after - before).norm().item(), before.norm().item()
        assert moved == pytest.approx(1e-3 * size, rel=1e-3, abs=1e-12), name


def test_a_multiplicative_perturbation_scales_each_weight():
    one, two = perturbed("multiplicative", 1e-3), perturbed("multiplicative", 2e-3)
    for before, after, twice in zip(fresh().model.parameters(), one.parameters(), two.parameters(), strict=True):
        if before.abs().min() > 0:
            share = (after / before - 1) / 1e-3
            assert share.std().item() == pytest.approx(1, abs=0.5)
            torch.testing.assert_close(
                (twice / before - 1) / 2e-3, share, rtol=1e-2, atol=1e-3
            )  # one direction for all ε


def test_without_perturbation_a_run_is_equal_to_the_bit(tmp_path):
    """The floor of every drift: nothing at all in one process, round-off where batches are summed backwards."""
    reference = run(tmp_path / "a", last_step=30)
    same = run(tmp_path / "b", last_step=30, perturbation={"kind": "relative", "epsilon": 0})
    assert all(torch.equal(same.weights()[name], tensor) for name, tensor in reference.weights().items())
    np.testing.assert_array_equal(same.trajectory()["val"], reference.trajectory()["val"])
    backwards = run(tmp_path / "c", last_step=30, perturbation={"kind": "round_off", "epsilon": 0})
    drift = weight_distances(backwards.weights(), reference.weights())
    assert drift["weight_step"].tolist() == [0, 1, 4, 15, 30]
    assert (drift["weight_distance"][:2] == 0).all()  # the first step has no rate
    assert 0 < drift["weight_distance"][-1] < 1e-3
    larger = run(tmp_path / "d", last_step=30, perturbation={"kind": "relative", "epsilon": 1e-1})
    drift = weight_distances(larger.weights(), reference.weights())
    assert drift["weight_distance"][0] == pytest.approx(0.1, rel=1e-3)


def test_weight_distances_are_of_all_weights_together():
    reference = {"step0.a": torch.tensor([3.0]), "step0.b": torch.tensor([4.0]), "step10.a": torch.ones(1)}
    moved = {"step0.a": torch.tensor([3.0]), "step0.b": torch.tensor([4.5]), "step5.a": torch.ones(1)}
    made = weight_distances(moved, reference)
    assert made["weight_step"].tolist() == [0]
    assert made["weight_distance"].tolist() == [pytest.approx(0.1)]
