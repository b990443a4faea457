import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from memorization.data.sequences import Batches, following_set, sample_sequences, zipf_probabilities
from memorization.provenance import generator
from memorization.random_sequences.measures import by_sequence
from memorization.random_sequences.training import Training, train
from memorization.training.checkpoints import Unfinished
from memorization.training.freezing import matching
from memorization.zipf.models import BOS, build, frozen
from memorization.zipf.swapping import swap
from memorization.zipf.training import Transformer, evaluate, negative_log_likelihood, weighted_loss

CONDITION = {
    "architecture": "decoder", "n_layers": 1, "n_heads": 2, "d_model": 16, "positions": "learned",
    "init_std": 0.1, "optimizer": "adamw", "learning_rate": 1e-2, "decay": 0, "freeze": "none", "precision": "float32",
}  # fmt: skip
COUNT, LENGTH, BATCH = 20, 10, 32


def data():
    p = zipf_probabilities(COUNT, 1.0)
    return sample_sequences(COUNT, LENGTH, generator("test", 0, "sequences")), Batches(p, BATCH, "test", 0)


def run(tmp_path, steps=12, every=3600.0, before=None, sets=None, condition=CONDITION, **options):
    evaluation = {"n_records": 5, "n_late": 1, "head": 0, "train_stride": 1}
    options = {"evaluation": evaluation, "report_seconds": 3600} | options
    unfinished = Unfinished(tmp_path / "x.a.unfinished", every)
    sequences, batches = data()
    learner = Transformer(condition, LENGTH, 0, "cpu")
    sets = sequences[None] if sets is None else sets
    return train(learner, sets, batches, steps, unfinished=unfinished, before=before, **options)


def test_distinct_sequences_weighted_have_the_gradient_of_the_plain_batch():
    torch.manual_seed(0)
    model = build(CONDITION, LENGTH).double()
    sequences, batches = data()
    plain = torch.from_numpy(sequences[batches.ranks(1)])
    inputs = torch.cat([torch.full((BATCH, 1), BOS), plain[:, :-1].long()], dim=1)
    expected = F.cross_entropy(model(inputs).reshape(-1, 2), plain.long().reshape(-1))
    gradients = torch.autograd.grad(expected, list(model.parameters()))
    ranks, counts = np.unique(batches.ranks(1), return_counts=True)
    assert len(ranks) < BATCH
    loss = weighted_loss(model, torch.from_numpy(sequences[ranks]), torch.from_numpy(counts / BATCH))
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


def test_exposures_equal_a_replay_of_the_draws(tmp_path):
    state, trajectory = run(tmp_path)
    _, batches = data()
    counts, last, seen = np.zeros(COUNT, int), np.zeros(COUNT, int), {0: np.zeros((2, COUNT), int)}
    for n in range(1, 13):
        for rank in batches.ranks(n):
            counts[rank] += 1
            last[rank] = n
        seen[n] = np.stack([counts, last])
    assert counts.sum() == 12 * BATCH
    np.testing.assert_array_equal(state["exposures"], counts[None])
    np.testing.assert_array_equal(state["last_exposure_step"], last[None])
    for step in np.unique(trajectory["step"]):
        at = trajectory["step"] == step
        np.testing.assert_array_equal(trajectory["rank"][at], np.arange(COUNT))
        np.testing.assert_array_equal(trajectory["exposures"][at], seen[step][0])
        np.testing.assert_array_equal(trajectory["last_exposure_step"][at], seen[step][1])


def test_the_weighted_loss_is_of_all_sequences_whatever_is_recorded(tmp_path):
    _, all_of_them = run(tmp_path)
    _, some = run(tmp_path, evaluation={"n_records": 5, "n_late": 1, "head": 0, "train_stride": 7})
    np.testing.assert_array_equal(some["weighted_loss"], all_of_them["weighted_loss"])
    p = zipf_probabilities(COUNT, 1.0)
    for step, loss in zip(all_of_them["weighted_step"], all_of_them["weighted_loss"], strict=True):
        assert p @ all_of_them["nll"][all_of_them["step"] == step].mean(axis=1) == pytest.approx(loss, abs=1e-6)


def test_a_stride_keeps_true_ranks_and_the_end_has_all(tmp_path):
    _, trajectory = run(tmp_path, evaluation={"n_records": 3, "n_late": 1, "head": 2, "train_stride": 7})
    steps = np.unique(trajectory["step"])
    assert steps.tolist() == [0, 1, 3, 12]
    for step in steps:
        expected = np.arange(COUNT) if step == 12 else [0, 1, 7, 14]
        np.testing.assert_array_equal(trajectory["rank"][trajectory["step"] == step], expected)


def test_conditions_of_a_seed_see_the_same_batches(tmp_path):
    one, _ = run(tmp_path)
    other, _ = run(tmp_path, condition=CONDITION | {"n_layers": 2})
    assert torch.equal(one["exposures"], other["exposures"])


def test_bfloat16_learns_the_same_each_time_with_weights_and_losses_in_float32(tmp_path):
    def trained(precision):
        return run(tmp_path, steps=60, condition=CONDITION | {"precision": precision})

    (state, one), (again, _), (_, float32) = (trained(each) for each in ("bfloat16", "bfloat16", "float32"))
    assert all(torch.equal(tensor, again[name]) for name, tensor in state.items())
    assert state["model.head.weight"].dtype == torch.float32
    assert one["weighted_loss"][-1] < one["weighted_loss"][0] - 0.1
    assert one["weighted_loss"][0] == float32["weighted_loss"][0]  # recorded in float32, before a step is made
    assert 0 < abs(one["weighted_loss"][-1] - float32["weighted_loss"][-1]) < 0.02


def test_losses_of_bfloat16_are_weighted_in_float32():
    torch.manual_seed(0)
    model, bits = build(CONDITION, LENGTH), torch.from_numpy(data()[0][:3])
    weights = torch.tensor([1 / 3, 1 / 7, 11 / 21])
    with torch.autocast("cpu", torch.bfloat16):
        each = negative_log_likelihood(model, bits).mean(dim=1)
    loss = weighted_loss(model, bits, weights, "bfloat16")
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx((each.double() @ weights.double()).item(), rel=1e-6)


@pytest.mark.parametrize("architecture", ["decoder", "one_layer_attention"])
def test_conditions_of_one_architecture_and_seed_begin_with_the_same_weights(architecture):
    def weights(seed, **change):
        condition = CONDITION | {"architecture": architecture} | change
        return Transformer(condition, LENGTH, seed, "cpu").model.parameters()

    for one, other in zip(weights(0), weights(0, learning_rate=1.0), strict=True):
        assert torch.equal(one, other)
    assert not all(torch.equal(one, other) for one, other in zip(weights(0), weights(1), strict=True))


def switched(tmp_path, freeze, kind="resample"):
    """A training, and one that goes on from it with another set."""
    before, _ = run(tmp_path, steps=30)
    sequences, _ = data()
    sets = np.stack([sequences, following_set(sequences[None], kind, np.random.default_rng(1))])
    condition = CONDITION | {"freeze": freeze}
    after, trajectory = run(tmp_path, steps=50, before=before, sets=sets, condition=condition)
    return before, after, sets, trajectory


@pytest.mark.parametrize("freeze", ["none", "attention_qkv", "attention", "mlp", "all_but_mlp"])
def test_what_is_frozen_is_equal_to_the_bit_whatever_the_optimizer_holds_and_all_else_moves(tmp_path, freeze):
    before, after, *_ = switched(tmp_path, freeze)
    model = build(CONDITION, LENGTH)
    still = matching(model, frozen(model, freeze))
    expected = {
        "none": [],
        "attention_qkv": ["layers.0.attention.qkv.weight", "layers.0.attention.qkv.bias"],
        "attention": [f"layers.0.attention.{part}.{kind}" for part in ("qkv", "output") for kind in ("weight", "bias")],
        "mlp": [f"layers.0.feed_forward.{part}.{kind}" for part in ("up", "down") for kind in ("weight", "bias")],
    }
    mlp = expected["mlp"]
    expected["all_but_mlp"] = [name for name, _ in model.named_parameters() if name not in mlp]
    assert still == expected[freeze]
    assert all(before[f"optimizer.{i}.exp_avg"].abs().max() > 0 for i in range(len(list(model.parameters()))))
    for name, _ in model.named_parameters():
        assert torch.equal(before[f"model.{name}"], after[f"model.{name}"]) == (name in still), name


def test_after_a_switch_both_sets_are_recorded_and_exposures_begin_anew(tmp_path):
    _, after, _, trajectory = switched(tmp_path, "none")
    assert after["step"] == 50
    assert np.unique(trajectory["step"]).tolist() == [30, 31, 32, 34, 39, 50]
    for number in (0, 1):
        for step in (30, 50):
            at = (trajectory["step"] == step) & (trajectory["set"] == number)
            np.testing.assert_array_equal(trajectory["rank"][at], np.arange(COUNT))
    begin = (trajectory["step"] == 30) & (trajectory["set"] == 1)
    assert trajectory["exposures"][begin].sum() == 0
    assert after["exposures"][1].sum() == 20 * BATCH
    assert after["exposures"][0].sum() == 30 * BATCH


def test_with_all_but_the_mlps_frozen_swapping_them_back_gives_the_logits_from_before_to_the_bit(tmp_path):
    before, after, sets, _ = switched(tmp_path, "all_but_mlp")
    model, old = build(CONDITION, LENGTH), build(CONDITION, LENGTH)
    old.load_state_dict({name: before[f"model.{name}"] for name in old.state_dict()})
    model.load_state_dict({name: after[f"model.{name}"] for name in model.state_dict()})
    inputs = torch.from_numpy(sets[0]).long()
    assert not torch.equal(model(inputs), old(inputs))
    model.load_state_dict({n: before[f"model.{n}"] for n in matching(model, ["*feed_forward."])}, strict=False)
    assert torch.equal(model(inputs), old(inputs))


def test_swaps_put_back_what_they_name(tmp_path):
    before, after, sets, trajectory = switched(tmp_path, "all_but_mlp")
    learner = Transformer(CONDITION, LENGTH, 0, "cpu")
    run_of = {"condition": "some", "architecture": "decoder", "seed": 0}
    table = swap(learner, before, after, sets, data()[1], run_of).set_index(["swap", "set", "rank"]).sort_index()
    values = ["loss", "accuracy", "suffix_loss", "suffix_accuracy"]
    for part in ("mlp", "mlp_head"):
        pd.testing.assert_frame_equal(table.loc[part, values], table.loc["all", values])
    pd.testing.assert_frame_equal(table.loc["attention", values], table.loc["none", values])
    assert (table.loc["none", "loss"] != table.loc["all", "loss"]).any()
    end = trajectory["step"] == 50
    trained = by_sequence(
        {k: v[end] for k, v in trajectory.items() if len(v) == len(end)}, sets, data()[1].probabilities, run_of
    )
    trained = trained.set_index(["set", "rank"]).sort_index()
    pd.testing.assert_frame_equal(table.loc["none", values], trained[values])
    assert (table["exposures"].unstack("swap").nunique(axis=1) == 1).all()


def test_an_interrupted_training_ends_like_an_unbroken_one(tmp_path, monkeypatch, capsys):
    """One that goes on after a switch, with some of it frozen."""
    before, expected_state, sets, expected = switched(tmp_path, "mlp")
    step, condition = Training.step, CONDITION | {"freeze": "mlp"}

    def killed(self, n):
        if n == 40:
            raise KeyboardInterrupt
        return step(self, n)

    monkeypatch.setattr(Training, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, steps=50, every=0, before=before, sets=sets, condition=condition)
    monkeypatch.setattr(Training, "step", step)
    state, trajectory = run(tmp_path, steps=50, every=0, before=before, sets=sets, condition=condition)
    assert "going on after step 39" in capsys.readouterr().out
    assert state.keys() == expected_state.keys()
    for name, tensor in state.items():
        assert torch.equal(tensor, expected_state[name]), name
    for name, rows in trajectory.items():
        np.testing.assert_array_equal(rows, expected[name])


def test_the_rate_falls_to_nothing_over_the_last_share_of_each_training():
    """Of a switch's too, counted from where it goes on."""
    learner = Transformer(CONDITION | {"decay": 0.2}, LENGTH, 0, "cpu", first=30, last=50)
    sequences, batches = data()
    rates = {}
    for n in range(31, 51):
        learner.step(n, sequences, batches.ranks(n))
        rates[n] = learner.optimizer.param_groups[0]["lr"] / CONDITION["learning_rate"]
    assert [rates[n] for n in range(31, 48)] == [1.0] * 17
    np.testing.assert_allclose([rates[n] for n in range(48, 51)], [0.75, 0.5, 0.25])


def test_the_last_tenth_of_a_training_is_recorded_evenly(tmp_path):
    evaluation = {"n_records": 2, "n_late": 3, "head": 0, "train_stride": 1}
    _, trajectory = run(tmp_path, steps=60, evaluation=evaluation)
    assert list(trajectory["weighted_step"]) == [0, 1, 56, 58, 60]
