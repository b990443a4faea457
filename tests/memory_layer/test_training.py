import math

import numpy as np
import pytest
import torch
from memory_layer_facts import CONDITION, KINDS, arrays, facts

from memorization.memory_layer import training
from memorization.memory_layer.model import answer_logits, memories
from memorization.memory_layer.training import FactLearner, Facts, evaluate, followed_rows, train
from memorization.memory_layer.usage import USAGE, usage
from memorization.training.checkpoints import Unfinished, write_tensors

FACTS = facts()
EVALUATION = {"n_records": 4, "n_items": 10}
LARGER = {"d_model": 32, "n_keys": 16, "memory_heads": 4, "top_k": 4, "batch_size": 60, "steps": 100, "init_std": 0.1}


def learner(pretrained=None, seed=0, **change):
    return FactLearner(CONDITION | change, FACTS, seed, "cpu", pretrained)


def run(tmp_path, every=3600.0, last=None, pretrained=None, **change):
    ours = learner(pretrained, **change)
    unfinished = Unfinished(tmp_path / "x.a.unfinished", every)
    return train(ours, EVALUATION, last or ours.condition["steps"], unfinished, 3600)


def checkpoint(tmp_path, seed=5):
    path = tmp_path / "before.safetensors"
    write_tensors(path, learner(seed=seed).model.state_dict(), {})
    return str(path)


def test_a_batch_has_the_places_of_the_answers():
    tokens, rows, columns, lengths, targets = FACTS.batch(np.array([3, 61, 3]))
    assert tokens.shape == (3, 14)  # "123456:654321 "
    assert rows.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert columns.tolist() == [7, 8, 9, 10, 11, 12] * 3
    assert lengths.tolist() == [14] * 3
    assert torch.equal(targets, tokens[:, 7:13].flatten())
    assert torch.equal(tokens[0], FACTS.tokens[3])
    parts = list(FACTS.batches(np.arange(7), answers=20))
    assert [part.tolist() for part in parts] == [[0, 1, 2], [3, 4, 5], [6]]
    assert FACTS.rows("new", "novel").tolist() == list(range(60, 92))


def test_a_step_has_the_loss_of_the_answers_alone_and_its_rates():
    ours, rates = learner(), []
    tokens, rows, columns, _, targets = FACTS.batch(ours.passes.batch(1))
    log_p = ours.model(tokens).log_softmax(-1)
    expected = -sum(log_p[row, column - 1, target] for row, column, target in zip(rows, columns, targets, strict=True))
    assert ours.step(1).item() == pytest.approx(expected.item() / 96, rel=1e-5)
    for n in range(1, 21):
        ours.step(n)
        rates.append([group["lr"] for group in ours.optimizer.param_groups])
    falls = [(1 - math.cos(math.pi * min((21 - n) / 18, 1))) / 2 for n in range(1, 21)]
    shares = [min(n / 2, 1) * fall for n, fall in enumerate(falls, start=1)]
    np.testing.assert_allclose(rates, [[1e-2 * share, 3e-2 * share] for share in shares], atol=1e-12)


def test_trained_facts_are_learned_and_others_are_not(tmp_path):
    state, found = run(tmp_path, **LARGER)
    split, right = FACTS.split[found["rows"]], found["right"][-1]
    assert (right[split == "train"] == 6).all()
    assert right[split == "novel"].mean() < 3
    assert (right[split == "novel"] == 6).mean() == 0
    assert found["nll"][-1][split == "train"].mean() < 1 < found["nll"][0][split == "train"].mean()
    ours = learner(**LARGER)
    ours.model.load_state_dict(state)
    _, every, _ = evaluate(ours.model, FACTS, FACTS.rows("train"))
    assert (every == 6).all()
    assert found["loss"].shape == (100,)
    assert found["step"].tolist() == [0, 1, 5, 22, 100]
    assert (found["exposures"][-1][split == "train"] == 100).all()
    assert not found["exposures"][:, split != "train"].any()


def test_what_is_evaluated_equals_a_plain_loop(monkeypatch):
    monkeypatch.setattr(training, "ANSWERS", 20)  # parts of 3
    ours, rows = learner(memory_layers=[0, 1]), np.array([70, 2, 5, 9, 61])
    nll, right, use = evaluate(ours.model, FACTS, rows)
    expected = {layer: np.zeros((2, 64)) for layer in (0, 1)}
    for k, row in enumerate(rows):
        tokens, at, columns, lengths, targets = FACTS.batch(np.array([row]))
        log_p = ours.model(tokens)[0].log_softmax(-1)[columns - 1]
        losses = [-log_p[n, target].item() for n, target in enumerate(targets)]
        assert nll[k] == pytest.approx(sum(losses), rel=1e-5)
        assert right[k] == (log_p.argmax(-1) == targets).sum()
        _, retrieved = answer_logits(ours.model, tokens, at, columns, lengths)
        for layer, _, weights, slots in retrieved:
            for slot, weight in zip(slots.flatten().tolist(), weights.flatten().tolist(), strict=True):
                expected[layer][:, slot] += 1, weight
    for layer in (0, 1):
        np.testing.assert_allclose(use[layer], expected[layer], rtol=1e-5, atol=1e-6)


def test_the_use_of_slots_is_recorded_by_layer_and_split(tmp_path):
    state, found = run(tmp_path, memory_layers=[0, 1])
    assert found["use_layers"].tolist() == [0, 1]
    assert found["use_splits"].tolist() == ["new", "novel", "train"]
    assert found["use"].shape == (len(found["step"]), 2, 3, len(USAGE))
    ours = learner(memory_layers=[0, 1])
    ours.model.load_state_dict(state)
    for k, split in enumerate(found["use_splits"]):
        rows = found["rows"][FACTS.split[found["rows"]] == split]
        _, _, use = evaluate(ours.model, FACTS, rows)
        for layer in (0, 1):
            np.testing.assert_allclose(found["use"][-1, layer, k], list(usage(*use[layer]).values()))
    _, without = run(tmp_path, arm="none", steps=3)
    assert without["use"].shape[1:] == (0, 3, len(USAGE))


def test_followed_rows_are_the_first_of_each_group_of_each_split():
    arrays_of = arrays(size=6, new=2, novel=2)
    arrays_of["group"] = np.array([1, 2, 1, 1, 2, 2, 1, 1, 1, 2])
    assert followed_rows(Facts(arrays_of, "cpu"), 2).tolist() == [0, 1, 2, 4, 6, 7, 8, 9]


@pytest.mark.parametrize(
    ("name", "update"),
    [
        ("memory", "dense"),
        ("memory", "top_t"),
        ("batch_norm", "dense"),
        ("shared_pool", "rows"),
        ("peer", "top_t"),
        ("none", "dense"),
    ],
)
def test_an_interrupted_training_ends_like_an_unbroken_one(tmp_path, monkeypatch, capsys, name, update):
    change = KINDS[name] | {"value_update": update, "weight_decay": 0.1, "steps": 8}
    expected, arrays_expected = run(tmp_path, **change)
    step = FactLearner.step

    def killed(self, n):
        if n == 6:
            raise KeyboardInterrupt
        return step(self, n)

    monkeypatch.setattr(FactLearner, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, every=0, **change)
    monkeypatch.setattr(FactLearner, "step", step)
    state, found = run(tmp_path, every=0, **change)
    assert "going on after step 5" in capsys.readouterr().out
    assert state.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state.items())
    assert found.keys() == arrays_expected.keys()
    for key, values in found.items():
        np.testing.assert_array_equal(values, arrays_expected[key])


def test_top_t_counts_all_that_a_loss_can_move():
    """Of an earlier layer's memory what any token before the last one of an answer reads."""
    ours, rows = learner(memory_layers=[0, 1], value_update="top_t"), np.arange(5)
    tokens, _, columns, _, _ = FACTS.batch(rows)
    read = {}
    for n in (0, 1):
        memory = ours.model.layers[n].feed_forward
        memory.register_forward_hook(lambda module, x, _, n=n: read.update({n: module.retrieve(x[0])[1]}))
    ours.model(tokens)
    at_answers = torch.zeros(tokens.shape, dtype=torch.bool)
    at_answers[FACTS.labels[rows].nonzero()[:, 0], columns - 1] = True
    found = ours.retrievals(rows)
    assert torch.equal(found[0], torch.bincount(read[0][:, :12].flatten(), minlength=64))
    assert torch.equal(found[1], torch.bincount(read[1][at_answers].flatten(), minlength=64))


@pytest.mark.parametrize("update", ["dense", "rows", "top_t"])
def test_what_is_frozen_keeps_its_bits_and_all_else_moves(tmp_path, update):
    frozen = ["token_embedding", "layers.0", "layers.1.feed_forward.keys", "head.weight"]
    before = learner().model.state_dict()
    state, found = run(tmp_path, freeze=frozen, weight_decay=0.5, value_update=update)
    for name, tensor in state.items():
        is_frozen = any(name == pattern or name.startswith(f"{pattern}.") for pattern in frozen)
        assert torch.equal(tensor, before[name]) == is_frozen, name
    kept = sum(before[name].numel() for name in before if name.startswith(tuple(frozen)))
    assert found["parameters"] - found["trainable"] == kept


def test_weight_decay_is_not_of_the_values():
    def moved(**change):
        ours = learner(warmup=0, **change)
        ours.step(1)
        return ours.model.state_dict()

    one, other = moved(), moved(weight_decay=0.5)
    differing = {name for name in one if not torch.equal(one[name], other[name])}
    assert "layers.1.feed_forward.values.weight" not in differing
    assert {"head.weight", "layers.1.feed_forward.keys"} <= differing


def test_a_training_starts_from_a_checkpoint_whole_or_as_its_mappings_say(tmp_path):
    before = checkpoint(tmp_path)
    there, new = learner(seed=5).model.state_dict(), learner().model.state_dict()
    whole = FactLearner(CONDITION | {"pretrained": {"path": before}}, FACTS, 0, "cpu", before)
    assert all(torch.equal(tensor, there[name]) for name, tensor in whole.model.state_dict().items())
    mappings = {"component_mappings": {"layers.1.feed_forward": "layers.1.feed_forward", "head": "head"}}
    condition = CONDITION | {"pretrained": {"path": before, "mappings": mappings}}
    for name, tensor in FactLearner(condition, FACTS, 0, "cpu", before).model.state_dict().items():
        of = there if name.startswith(("layers.1.feed_forward.", "head.")) else new
        assert torch.equal(tensor, of[name]), name
    assert training.start_of(condition, ["a file", "of the folder"]) == before
    assert training.start_of(CONDITION | {"pretrained": {"condition": "memory"}}, ["one"]) == "one"
    assert training.start_of(CONDITION, []) is None


def test_a_checkpoint_that_lacks_something_is_not_taken_as_a_whole(tmp_path):
    path = tmp_path / "less.safetensors"
    state = learner().model.state_dict()
    write_tensors(path, {name: tensor for name, tensor in state.items() if "gate" not in name}, {})
    with pytest.raises(ValueError, match=r"has no layers.1.feed_forward.gate.weight, .* say by pretrained.mappings"):
        FactLearner(CONDITION | {"pretrained": {"path": str(path)}}, FACTS, 0, "cpu", str(path))


def test_a_frozen_batch_norm_keeps_its_running_statistics():
    for frozen in (["layers.1.feed_forward.norm"], []):
        ours = learner(query_norm="batch", freeze=frozen)
        before = ours.model.layers[1].feed_forward.norm.running_mean.clone()
        ours.step(1)
        assert torch.equal(ours.model.layers[1].feed_forward.norm.running_mean, before) == bool(frozen)


def test_models_of_one_seed_begin_alike_and_see_the_same_batches():
    one, other = learner(), learner(value_update="rows", learning_rate=1.0)
    assert all(map(torch.equal, one.model.parameters(), other.model.parameters()))
    assert (one.passes.batch(3) == other.passes.batch(3)).all()
    assert not all(map(torch.equal, one.model.parameters(), learner(seed=1).model.parameters()))
    assert (one.passes.batch(3) != learner(seed=1).passes.batch(3)).any()


def test_only_the_splits_that_are_named_are_trained():
    ours = learner(train_on=["new"])
    assert set(FACTS.split[np.concatenate([ours.passes.batch(n) for n in range(1, 9)])]) == {"new"}
    with pytest.raises(ValueError, match=r"^batches: there is no row to train on$"):
        learner(train_on=["novel"])
    assert list(memories(ours.model)) == [1]
