import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional as F

from memorization.data.sequences import Batches, sample_sequences, unique_prefix_length, zipf_probabilities
from memorization.provenance import ROOT, generator
from memorization.training.checkpoints import Unfinished
from memorization.training.devices import set_up
from memorization.zipf.conditions import condition, dataset
from memorization.zipf.evaluation import by_sequence
from memorization.zipf.models import BOS, build
from memorization.zipf.training import Training, evaluate, negative_log_likelihood, train, weighted_loss

CONDITION = {
    "architecture": "decoder", "n_layers": 1, "n_heads": 2, "d_model": 16, "positions": "learned",
    "init_std": 0.1, "learning_rate": 1e-2,
}  # fmt: skip
COUNT, LENGTH, BATCH = 20, 10, 32


def data():
    p = zipf_probabilities(COUNT, 1.0)
    return sample_sequences(COUNT, LENGTH, generator("test", 0, "sequences")), Batches(p, BATCH, "test", 0)


def run(tmp_path, steps=12, every=3600.0, **options):
    options = {"evaluation": {"checkpoints": 5, "head": 0, "train_stride": 1}, "report_seconds": 3600} | options
    unfinished = Unfinished(tmp_path / "x.a.unfinished", every)
    sequences, batches = data()
    return train(CONDITION, sequences, batches, seed=0, steps=steps, device="cpu", unfinished=unfinished, **options)


def test_distinct_sequences_weighted_have_the_gradient_of_the_plain_batch():
    torch.manual_seed(0)
    model = build(CONDITION, LENGTH).double()
    sequences, batches = data()
    plain = torch.from_numpy(sequences[batches.ranks(1)])
    inputs = torch.cat([torch.full((BATCH, 1), BOS), plain[:, :-1].long()], dim=1)
    expected = F.cross_entropy(model(inputs).reshape(-1, 2), plain.long().reshape(-1))
    gradients = torch.autograd.grad(expected, list(model.parameters()))
    ranks, counts = batches.distinct(1)
    assert len(ranks) < BATCH
    loss = weighted_loss(model, torch.from_numpy(sequences[ranks]), torch.from_numpy(counts))
    assert abs(loss - expected) < 1e-12
    for ours, plain_gradient in zip(torch.autograd.grad(loss, list(model.parameters())), gradients, strict=True):
        assert (ours - plain_gradient).abs().max() < 1e-12


def test_loss_of_each_bit_is_that_of_the_bits_before_it():
    torch.manual_seed(0)
    model = build(CONDITION, LENGTH)
    sequences, _ = data()
    nll = evaluate(model, torch.from_numpy(sequences))
    assert nll.shape == (COUNT, LENGTH)
    assert nll.dtype == np.float32
    for k, n in [(0, 0), (3, 4), (19, 9)]:
        prefix = torch.tensor([[BOS, *sequences[k, :n]]])
        expected = -model(prefix)[0, -1].log_softmax(-1)[int(sequences[k, n])]
        assert nll[k, n] == pytest.approx(expected.item(), abs=1e-6)


def test_large_sets_are_evaluated_in_pieces(monkeypatch):
    torch.manual_seed(0)
    model, (sequences, _) = build(CONDITION, LENGTH), data()
    bits = torch.from_numpy(sequences)
    monkeypatch.setattr("memorization.zipf.training.TOKENS", 7 * LENGTH)
    np.testing.assert_allclose(evaluate(model, bits), negative_log_likelihood(model, bits).detach(), atol=1e-6)


def test_presentations_equal_a_replay_of_the_draws(tmp_path):
    state, trajectory = run(tmp_path)
    _, batches = data()
    counts, last, seen = np.zeros(COUNT, int), np.zeros(COUNT, int), {0: np.zeros((2, COUNT), int)}
    for n in range(1, 13):
        for rank in batches.ranks(n):
            counts[rank] += 1
            last[rank] = n
        seen[n] = np.stack([counts, last])
    assert counts.sum() == 12 * BATCH
    np.testing.assert_array_equal(state["presentations"], counts)
    np.testing.assert_array_equal(state["last_presentation"], last)
    for step in np.unique(trajectory["step"]):
        at = trajectory["step"] == step
        np.testing.assert_array_equal(trajectory["rank"][at], np.arange(COUNT))
        np.testing.assert_array_equal(trajectory["presentations"][at], seen[step][0])
        np.testing.assert_array_equal(trajectory["last_presentation"][at], seen[step][1])


def test_the_weighted_loss_is_of_all_sequences_whatever_is_recorded(tmp_path):
    _, all_of_them = run(tmp_path)
    _, some = run(tmp_path, evaluation={"checkpoints": 5, "head": 0, "train_stride": 7})
    np.testing.assert_array_equal(some["weighted_loss"], all_of_them["weighted_loss"])
    p = zipf_probabilities(COUNT, 1.0)
    for step, loss in zip(all_of_them["weighted_step"], all_of_them["weighted_loss"], strict=True):
        assert p @ all_of_them["nll"][all_of_them["step"] == step].mean(axis=1) == pytest.approx(loss, abs=1e-6)


def test_a_stride_keeps_true_ranks_and_the_end_has_all(tmp_path):
    _, trajectory = run(tmp_path, evaluation={"checkpoints": 3, "head": 2, "train_stride": 7})
    steps = np.unique(trajectory["step"])
    assert steps.tolist() == [0, 1, 3, 12]
    for step in steps:
        expected = np.arange(COUNT) if step == 12 else [0, 1, 7, 14]
        np.testing.assert_array_equal(trajectory["rank"][trajectory["step"] == step], expected)
    assert int(trajectory["parameters"]) == sum(p.numel() for p in build(CONDITION, LENGTH).parameters())


def test_an_interrupted_training_ends_like_an_unbroken_one(tmp_path, monkeypatch, capsys):
    expected_state, expected = run(tmp_path)
    step = Training.step

    def killed(self, n):
        if n == 8:
            raise KeyboardInterrupt
        return step(self, n)

    monkeypatch.setattr(Training, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, every=0)
    monkeypatch.setattr(Training, "step", step)
    state, trajectory = run(tmp_path, every=0)
    assert "going on after step 7" in capsys.readouterr().out
    assert state.keys() == expected_state.keys()
    for name, tensor in state.items():
        assert torch.equal(tensor, expected_state[name]), name
    for name, rows in trajectory.items():
        np.testing.assert_array_equal(rows, expected[name])


def test_conditions_of_a_seed_see_the_same_batches(tmp_path):
    one, _ = run(tmp_path)
    sequences, batches = data()
    other = Training(CONDITION | {"n_layers": 2}, sequences, batches, 0, "cpu")
    for n in range(1, 13):
        other.step(n)
    np.testing.assert_array_equal(one["presentations"], other.presentations)


def test_the_default_medium_memorizes_as_the_literature_has_it(tmp_path):
    """Seed 0 of the laptop's medium: frequent sequences within 500 steps, rare ones by the end, near the floor."""
    set_up("cpu", threads=1)
    section = yaml.safe_load((ROOT.parent / "config/config.yaml").read_text())["zipf"]
    medium = condition(section, "medium")
    laptop = dataset(section, medium["dataset"])
    p = zipf_probabilities(laptop["count"], laptop["exponent"])
    sequences = sample_sequences(laptop["count"], laptop["length"], generator("laptop", 0, "sequences"))
    batches = Batches(p, medium["batch_size"], "laptop", 0)
    unfinished = Unfinished(tmp_path / "x.a.unfinished", 3600)
    _, trajectory = train(
        medium, sequences, batches, 0, medium["steps"], section["evaluation"], "cpu", unfinished, report_seconds=3600
    )
    table = by_sequence(trajectory, sequences, p, "medium", "decoder", 0)
    by_500 = table[(table["step"] <= 500) & (table["step"] > 400) & (table["rank"] < 5)]
    end = table[table["step"] == medium["steps"]]
    assert by_500["suffix_accuracy"].mean() >= 0.99
    assert end.loc[end["rank"] >= 100, "suffix_accuracy"].mean() >= 0.95
    assert 0 <= p @ (end["loss"] - end["floor"]) <= 0.05
    assert unique_prefix_length(sequences).max() < laptop["length"]


@pytest.mark.parametrize("architecture", ["decoder", "one_layer_attention"])
def test_conditions_of_one_architecture_and_seed_begin_with_the_same_weights(architecture):
    def weights(seed, **change):
        return Training(CONDITION | {"architecture": architecture} | change, *data(), seed, "cpu").model.parameters()

    for one, other in zip(weights(0), weights(0, learning_rate=1.0), strict=True):
        assert torch.equal(one, other)
    assert not all(torch.equal(one, other) for one, other in zip(weights(0), weights(1), strict=True))
