import numpy as np
import pytest
import torch
from torch.nn import functional as F

from memorization.models.decoder import Decoder
from memorization.training.checkpoints import restore, training_state
from memorization.training.optimizers import build_optimizer, learning_rate, set_learning_rate

TOKENS = torch.from_numpy(np.random.default_rng(0).integers(0, 5, (16, 8)))


def model():
    torch.manual_seed(0)
    return Decoder(5, 5, 8, 2, 2, 16)


def steps(module, optimizer, count, rate=1e-2):
    for _ in range(count):
        set_learning_rate(optimizer, rate)
        loss = F.cross_entropy(module(TOKENS).transpose(1, 2), TOKENS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def test_the_rate_rises_from_zero_and_then_stays():
    rates = [learning_rate(n, 1e-3, 100, warmup=10) for n in range(1, 14)]
    assert rates[0] == 0
    np.testing.assert_allclose(rates[:11], np.arange(11) * 1e-4)
    assert set(rates[10:]) == {1e-3}
    assert learning_rate(1, 1e-3, 100) == 1e-3


def test_the_rate_falls_so_that_the_step_after_the_last_would_have_none():
    rates = [learning_rate(n, 1.0, 20, decay=4) for n in range(1, 21)]
    assert rates[:17] == [1.0] * 17
    np.testing.assert_allclose(rates[17:], [0.75, 0.5, 0.25])
    assert learning_rate(21, 1.0, 20, decay=4) == 0
    cosine = [learning_rate(n, 1.0, 20, decay=4, shape="cosine") for n in range(17, 22)]
    np.testing.assert_allclose(cosine, (1 + np.cos(np.pi * np.arange(5) / 4)) / 2, atol=1e-15)


def test_without_weight_decay_adamw_is_adam_to_the_bit():
    one, other = model(), model()
    steps(one, build_optimizer("adamw", one), 5)
    steps(other, torch.optim.Adam(other.parameters(), fused=True), 5)
    assert all(torch.equal(*pair) for pair in zip(one.parameters(), other.parameters(), strict=True))


def test_muon_moves_the_matrices_of_the_layers_and_adamw_the_rest():
    trained, adam, muon = model(), model(), model()
    steps(trained, build_optimizer("muon", trained), 1)
    steps(adam, build_optimizer("adamw", adam), 1)
    matrices = [
        parameter
        for name, parameter in muon.named_parameters()
        if parameter.dim() == 2 and ("attention" in name or "feed_forward" in name)
    ]
    assert len(matrices) == 2 * 4
    steps(muon, torch.optim.Muon(matrices, weight_decay=0, adjust_lr_fn="match_rms_adamw"), 1)
    inner = {id(matrix) for matrix in matrices}
    for (name, mine), as_adam, as_muon in zip(
        trained.named_parameters(), adam.parameters(), muon.parameters(), strict=True
    ):
        assert torch.equal(mine, as_muon if id(as_muon) in inner else as_adam), name


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_training_that_goes_on_from_its_state_ends_as_an_unbroken_one(name):
    unbroken, broken, taken_up = model(), model(), model()
    steps(unbroken, build_optimizer(name, unbroken), 6)
    first = build_optimizer(name, broken)
    steps(broken, first, 3)
    second = build_optimizer(name, taken_up)
    restore(taken_up, second, training_state(broken, first))
    steps(taken_up, second, 3)
    assert all(torch.equal(*pair) for pair in zip(unbroken.parameters(), taken_up.parameters(), strict=True))


def test_an_unknown_optimizer_is_refused_by_name():
    with pytest.raises(ValueError, match="optimizer: 'sgd' is not one of adamw, muon"):
        build_optimizer("sgd", model())
