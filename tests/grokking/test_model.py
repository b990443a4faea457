import pytest
import torch
from torch.nn import functional as F

from memorization.grokking.task.model import LENGTH, answer_hidden, answer_logits, build, tokens
from memorization.training.devices import seed_torch

P = 13


def decoder(n_layers=2, p=P, **size):
    seed_torch("test", 0)
    return build({"n_layers": n_layers, "n_heads": 2, "d_model": 16} | size, p)


def equations(p=P, n=40):
    torch.manual_seed(1)
    return torch.randint(0, p, (n,)), torch.randint(0, p, (n,))


def test_the_input_is_eos_a_operator_b_equals():
    assert tokens(torch.tensor([3, 4]), torch.tensor([5, 6]), P).tolist() == [[13, 3, 14, 5, 15], [13, 4, 14, 6, 15]]
    assert LENGTH == 5


def test_the_decoder_is_post_norm_without_biases_with_sinusoids_relu_and_an_untied_head():
    model = decoder()
    names = dict(model.named_parameters())
    assert {name for name in names if name.endswith("bias")} == {
        f"layers.{n}.{part}_norm.bias" for n in range(2) for part in ("attention", "feed_forward")
    }
    assert not model.layers[0].norm_before
    assert isinstance(model.final_norm, torch.nn.Identity)
    assert model.layers[0].feed_forward.activation is F.relu
    assert model.layers[0].feed_forward.up.weight.shape == (64, 16)
    assert model.positions == "sinusoidal"
    assert model.head.weight.shape == (P + 3, 16)
    assert model.head.weight is not model.token_embedding.weight
    assert model.token_embedding.weight.std().item() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_the_answer_alone_has_the_logits_of_the_plain_decoder(n_layers):
    model, (a, b) = decoder(n_layers), equations()
    plain = model(tokens(a, b, P))[:, -1]
    assert (answer_logits(model, a, b) - plain).abs().max() < 1e-6
    hidden = model.hidden(tokens(a, b, P))[:, -1]
    assert (answer_hidden(model, a, b) - hidden).abs().max() < 1e-6


def test_at_the_size_of_the_study_too():
    model, (a, b) = decoder(p=97, n_heads=4, d_model=128), equations(97, 512)
    difference = answer_logits(model, a, b) - model(tokens(a, b, 97))[:, -1]
    assert difference.abs().max() < 1e-6
    double = model.double()
    assert (answer_logits(double, a, b) - double(tokens(a, b, 97))[:, -1]).abs().max() < 1e-12


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_the_answer_alone_has_the_gradients_of_the_plain_decoder(n_layers):
    model, (a, b) = decoder(n_layers).double(), equations()
    c = (a + b) % P

    def gradients(logits):
        return torch.autograd.grad(F.cross_entropy(logits, c), list(model.parameters()))

    ours, plain = gradients(answer_logits(model, a, b)), gradients(model(tokens(a, b, P))[:, -1])
    for mine, theirs in zip(ours, plain, strict=True):
        assert (mine - theirs).abs().max() < 1e-12
        assert theirs.abs().max() > 0
