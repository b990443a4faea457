import json
import math

import numpy as np
import pytest
import torch
from language_models import plain_losses
from transformers import AutoModelForCausalLM

from memorization.models import pretrained_models
from memorization.provenance import generator
from memorization.text_learner import TextLearner, steps_of, write_model
from memorization.training.checkpoints import write_tensors

VOCABULARY, ROWS, LENGTH = 30, 15, 24
CONDITION = {
    "n_layers": 2, "d_model": 16, "n_heads": 2, "rotary_share": 1.0, "state_size": 4, "max_length": 128, "scan": "own",
    "init_std": 0.1, "learning_rate": 0.02, "warmup": 0.25, "weight_decay": 0.1, "batch_size": 2,
    "precision": "float32",
}  # fmt: skip
DATA = generator("test", 0, "rows").integers(VOCABULARY, size=(ROWS, LENGTH)).astype(np.int32)
BOTH = pytest.mark.parametrize("architecture", ["neox", "mamba"])


def learner(architecture="neox", weights=0, **change):
    return TextLearner(CONDITION | {"architecture": architecture} | change, DATA, VOCABULARY, weights, "cpu")


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


def test_conditions_of_one_shape_and_seed_begin_with_the_same_weights():
    one, two, other = learner(), learner(learning_rate=1.0, batch_size=5, weight_decay=0), learner(weights=1)
    assert all(map(torch.equal, one.model.parameters(), two.model.parameters()))
    assert not all(map(torch.equal, one.model.parameters(), other.model.parameters()))


def test_bfloat16_trains_weights_in_float32_to_other_losses():
    one, other = learner(), learner(precision="bfloat16")
    for n in range(1, 4):
        first, second = one.step(n).item(), other.step(n).item()
    assert 0 < abs(first - second) < 0.05 * first
    assert {each.dtype for each in other.model.parameters()} == {torch.float32}


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
