import json
import math

import numpy as np
import pytest
import torch
from extraction_models import SHAPE
from transformers import AutoModelForCausalLM

from memorization.extraction import training
from memorization.extraction.training import TextLearner, steps_of, train, write_model
from memorization.models import pretrained_models
from memorization.provenance import generator
from memorization.training.checkpoints import Unfinished, write_tensors
from memorization.training.fit import TrainingError

VOCABULARY, ROWS, LENGTH = 30, 15, 24
PREFIX, SUFFIX = 6, 5  # a window of 12 tokens has one more
CONDITION = SHAPE | {
    "init_std": 0.1, "learning_rate": 0.02, "warmup": 0.25, "weight_decay": 0.1, "batch_size": 2,
    "precision": "float32",
}  # fmt: skip
DATA = generator("test", 0, "rows").integers(VOCABULARY, size=(ROWS, LENGTH)).astype(np.int32)
WINDOWS = DATA[:9, 3:15]
FOLLOWED = np.array([1, 2, 5, 8])
BOTH = pytest.mark.parametrize("architecture", ["neox", "mamba"])


def learner(architecture="neox", seed=0, rows=DATA, **change):
    return TextLearner(CONDITION | {"architecture": architecture} | change, rows, VOCABULARY, seed, "cpu")


def run(tmp_path, ours, every=3600.0):
    unfinished = Unfinished(tmp_path / "x.a.unfinished", every)
    return train(ours, WINDOWS, FOLLOWED, PREFIX, SUFFIX, 3, unfinished, 3600)


def plain_losses(model, texts):
    """Of each token but a text's first, given those before it, one at a time: (texts, length - 1) nats."""
    losses = torch.empty(len(texts), texts.shape[1] - 1, dtype=torch.float64)
    for k, text in enumerate(torch.from_numpy(texts.astype(np.int64))):
        for n in range(1, len(text)):
            logits = model(input_ids=text[None, :n], use_cache=False).logits[0, -1]
            losses[k, n - 1] = -logits.double().log_softmax(-1)[text[n]]
    return losses


@BOTH
def test_a_step_has_the_loss_and_the_gradient_of_a_plain_loop_over_its_rows(architecture):
    """Step 8 is of the last row alone. Tokens that begin rows are not scored; the gradient is cut to length 1."""
    for n, rows in ((3, slice(4, 6)), (8, slice(14, 15))):
        ours = learner(architecture, learning_rate=1e-12)
        expected = plain_losses(ours.model, DATA[rows]).mean()
        gradients = torch.autograd.grad(expected, list(ours.model.parameters()))
        norm = torch.stack([each.norm() for each in gradients]).norm()
        loss = ours.step(n)
        assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
        for parameter, gradient in zip(ours.model.parameters(), gradients, strict=True):
            assert (parameter.grad - gradient / max(1, norm)).abs().max() < 1e-5


def test_a_long_gradient_is_cut_to_length_one():
    ours = learner(init_std=1.0)
    gradients = torch.autograd.grad(plain_losses(ours.model, DATA[:2]).mean(), list(ours.model.parameters()))
    assert torch.stack([each.norm() for each in gradients]).norm() > 1.5
    ours.step(1)
    norm = torch.stack([each.grad.norm() for each in ours.model.parameters()]).norm()
    assert norm.item() == pytest.approx(1, abs=1e-4)


def test_a_step_moves_the_weights_as_adamw_by_hand():
    """The first step of Adam is the sign of the gradient; the weights are drawn to 0 by the rate times the decay."""
    ours = learner()
    before = [parameter.detach().clone() for parameter in ours.model.parameters()]
    ours.step(1)
    rate = 0.02 / 2  # the first of two steps over which it rises
    for old, new in zip(before, ours.model.parameters(), strict=True):
        moved = new.grad.abs() > 1e-5
        expected = old * (1 - rate * 0.1) - rate * new.grad.sign()
        assert (new.detach() - expected)[moved].abs().max() < 2e-5


def test_the_rate_rises_from_above_nothing_and_falls_as_a_cosine():
    """The step after the last would have none."""
    ours, rates = learner(), []
    assert ours.steps == 8
    for n in range(1, 9):
        ours.step(n)
        rates.append({group["lr"] for group in ours.optimizer.param_groups})
    assert all(len(each) == 1 for each in rates)
    expected = [1 / 2, 1] + [(1 + math.cos(math.pi * n / 6)) / 2 for n in range(6)]
    np.testing.assert_allclose([each.pop() / CONDITION["learning_rate"] for each in rates], expected, atol=1e-12)


def test_each_row_is_seen_once():
    assert [steps_of(n, 4) for n in (1, 4, 5, 8)] == [1, 1, 2, 2]
    ours, seen = learner(batch_size=4), []
    ours.model.register_forward_pre_hook(lambda *of: seen.append(of[-1]["input_ids"].numpy().copy()), with_kwargs=True)
    for n in range(1, ours.steps + 1):
        ours.step(n)
    assert [len(each) for each in seen] == [4, 4, 4, 3]
    np.testing.assert_array_equal(np.concatenate(seen), DATA)


@BOTH
@pytest.mark.parametrize("at_once", [4096, 25])
def test_windows_are_scored_as_by_a_plain_loop(monkeypatch, architecture, at_once):
    monkeypatch.setattr(training, "AT_ONCE", at_once)
    ours = learner(architecture, init_std=0.4)
    nll, right = ours.evaluate(WINDOWS, 6)
    assert nll.dtype == np.float32
    np.testing.assert_allclose(nll, plain_losses(ours.model, WINDOWS)[:, 5:].sum(dim=1).detach(), rtol=1e-5)
    for k, text in enumerate(torch.from_numpy(WINDOWS.astype(np.int64))):
        likeliest = ours.model(input_ids=text[None], use_cache=False).logits[0, 5:-1].argmax(dim=-1)
        assert right[k] == (likeliest == text[6:]).sum()


def test_scoring_leaves_the_training_as_it_is():
    ours, other = learner("mamba"), learner("mamba")
    for n in range(1, 4):
        assert torch.equal(ours.step(n), other.step(n))
        assert ours.model.training
        ours.evaluate(WINDOWS, 6)
        assert not ours.model.training
    assert all(map(torch.equal, ours.model.parameters(), other.model.parameters()))


@BOTH
def test_what_is_trained_is_recorded(tmp_path, architecture):
    """Rows that repeat are learned; recorded are the suffixes behind the prefix, tokens 6 to 10."""
    rows = np.tile(DATA[:2], (60, 1))
    ours = learner(architecture, rows=rows)
    start = [values.copy() for values in ours.evaluate(WINDOWS[FOLLOWED, :11], 6)]
    state, arrays = run(tmp_path, ours)
    assert arrays["step"].tolist() == [0, 1, 8, 60]
    assert arrays["rows"].tolist() == FOLLOWED.tolist()
    assert arrays["n_scored"] == 5
    assert arrays["vocabulary"] == VOCABULARY
    assert arrays["nll"].shape == arrays["right"].shape == (4, 4)
    np.testing.assert_array_equal(arrays["nll"][0], start[0])
    np.testing.assert_array_equal(arrays["right"][0], start[1])
    end = ours.evaluate(WINDOWS[FOLLOWED, :11], 6)
    np.testing.assert_array_equal(arrays["nll"][-1], end[0])
    assert arrays["nll"][-1, 0] < 0.2 * start[0][0]  # window 1 is in the rows
    assert arrays["right"][-1, 0] == 5
    assert (arrays["nll"][-1, 1:] > 0.9 * start[0][1:]).all()  # the others are not
    assert arrays["loss"].shape == (60,)
    assert arrays["loss"][0] == pytest.approx(
        plain_losses(learner(architecture).model, rows[:2]).mean().item(), rel=1e-5
    )
    assert arrays["loss"][-1] < 0.2 * arrays["loss"][0]
    assert arrays["parameters"] == arrays["trainable"] == sum(each.numel() for each in ours.model.parameters())
    assert state.keys() == ours.model.state_dict().keys()
    assert all(torch.equal(state[name], values) for name, values in ours.model.state_dict().items())


@BOTH
def test_an_interrupted_training_ends_like_an_unbroken_one(tmp_path, monkeypatch, capsys, architecture):
    expected, arrays = run(tmp_path, learner(architecture))
    step = TextLearner.step

    def killed(self, n):
        if n == 6:
            raise KeyboardInterrupt
        return step(self, n)

    monkeypatch.setattr(TextLearner, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, learner(architecture), every=0)
    monkeypatch.setattr(TextLearner, "step", step)
    state, again = run(tmp_path, learner(architecture, seed=1), every=0)
    assert "going on after step 5" in capsys.readouterr().out
    assert again.keys() == arrays.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(again[name], values)
        assert again[name].dtype == values.dtype
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], values) for name, values in expected.items())


@BOTH
def test_two_trainings_of_one_seed_are_the_same_bytes_and_of_another_seed_are_not(tmp_path, architecture):
    one, two, other = (run(tmp_path, learner(architecture, seed))[0] for seed in (0, 0, 1))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_conditions_of_one_shape_and_seed_begin_with_the_same_weights():
    one, two = learner(), learner(learning_rate=1.0, batch_size=5, weight_decay=0)
    assert all(map(torch.equal, one.model.parameters(), two.model.parameters()))


def test_bfloat16_trains_weights_in_float32_to_other_losses():
    one, other = learner(), learner(precision="bfloat16")
    for n in range(1, 4):
        first, second = one.step(n).item(), other.step(n).item()
    assert 0 < abs(first - second) < 0.05 * first
    assert {each.dtype for each in other.model.parameters()} == {torch.float32}


def test_a_training_that_diverges_is_an_error(tmp_path):
    ours = learner()
    with torch.no_grad():
        next(ours.model.parameters()).fill_(torch.nan)
    with pytest.raises(TrainingError, match=r"^step 8: the loss is nan$"):
        run(tmp_path, ours)


@BOTH
def test_a_written_folder_is_loaded_by_transformers_with_equal_logits(tmp_path, architecture):
    ours = learner(architecture, max_length=64, rotary_share=0.5)
    for n in range(1, 5):
        ours.step(n)
    paths = {"config": str(tmp_path / "config.json"), "tokenizer": str(tmp_path / "tokenizer.json")}
    write_model(ours.model, '{"of": "words"}', paths, {"seed": 0})
    write_tensors(tmp_path / "model.safetensors", ours.model.state_dict(), {"seed": 0})
    assert (tmp_path / "tokenizer.json").read_text().rstrip() == '{"of": "words"}'
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["made_by"] == {"seed": 0}
    assert written["architectures"] == [type(ours.model).__name__]
    assert written.keys() >= ours.model.config.to_dict().keys()  # defaults too, which other versions may change
    loaded, found = AutoModelForCausalLM.from_pretrained(
        tmp_path, revision="0000000000000000000000000000000000000000", output_loading_info=True
    )
    assert not any(found.values())
    tokens = torch.from_numpy(DATA[:3].astype(np.int64))
    with torch.no_grad():
        expected = ours.model.eval()(input_ids=tokens, use_cache=False).logits
        logits = loaded.eval()(input_ids=tokens, use_cache=False).logits
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)
    assert logits.std() > 0.1
    assert pretrained_models.architecture(str(tmp_path)) == architecture
    for key in ("max_position_embeddings", "tie_word_embeddings", "initializer_range", "eos_token_id", "pad_token_id"):
        assert getattr(loaded.config, key) == getattr(ours.model.config, key), key
