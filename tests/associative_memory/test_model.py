import copy
import math
from collections import Counter, deque

import numpy as np
import pytest
import torch

from memorization.associative_memory import model as module
from memorization.associative_memory.model import AssociativeMemory, LinearReadout, LogShare

LENGTH, HEADS, SIZE = 7, 3, 40


def memory(seed=0, dtype=torch.float64, **options):
    torch.manual_seed(seed)
    options = {"length": LENGTH, "n_heads": HEADS, "memory_size": SIZE, "eta": 5.0, "init_std": 1.0} | options
    return AssociativeMemory(**options).to(dtype)


def sequences(count, seed=0, kinds=12, length=LENGTH):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 2, (kinds, length), np.uint8)[rng.integers(0, kinds, count)])


def literal(parameters, queue, sequence, eta, epsilon):
    """The definition, a loop over bits and stored sequences: (length,) log-probabilities of the true bits."""
    attention_logits, memory_logits = parameters
    b = torch.softmax(memory_logits, dim=-1)
    signs, stored = 2.0 * sequence.double() - 1, [2.0 * chi.double() - 1 for chi in queue]
    losses = []
    for n in range(len(signs)):
        plus = torch.tensor(0.5, dtype=torch.float64)
        if stored:
            query = torch.zeros(len(b), dtype=torch.float64)
            if n:
                query = sum(torch.softmax(attention_logits[n, :, :n], dim=-1)[:, i] * signs[i] for i in range(n))
            pi = torch.softmax(torch.stack([eta * query @ (b @ chi) for chi in stored]), dim=0)
            plus = sum(share for share, chi in zip(pi, stored, strict=True) if chi[n] > 0) + 0 * pi.sum()
        true = plus if signs[n] > 0 else 1 - plus
        losses.append(torch.log((1 - epsilon) * true + epsilon / 2))
    return torch.stack(losses)


@pytest.mark.parametrize("stored", [0, 1, 25, 100])
def test_log_probabilities_and_gradients_equal_the_literal_loop_over_the_queue(stored):
    fast, queue = memory(epsilon=1e-3), deque(maxlen=SIZE)
    for part in sequences(stored).split(9):
        fast.append(part)
        queue.extend(part)
    batch = sequences(6, seed=1)
    result = fast.log_probabilities(batch)
    parameters = list(fast.parameters())
    expected = torch.stack([literal(parameters, queue, each, 5.0, 1e-3) for each in batch])
    assert (result - expected).abs().max() < 1e-12
    if stored:
        weights = torch.rand_like(result)
        gradients = torch.autograd.grad((weights * result).sum(), parameters)
        for ours, theirs in zip(gradients, torch.autograd.grad((weights * expected).sum(), parameters), strict=True):
            assert (ours - theirs).abs().max() < 1e-12


def test_long_sequences_are_scored_in_pieces_alike(monkeypatch):
    whole = memory()
    whole.append(sequences(30))
    batch = sequences(5, seed=1)
    expected = whole.log_probabilities(batch)
    monkeypatch.setattr(module, "SCORES", 2 * 5 * len(whole.contents()[0]))
    assert (whole.log_probabilities(batch) - expected).abs().max() < 1e-14


def test_the_queue_holds_what_a_plain_deque_holds_and_survives_its_state():
    fast, plain, rng = memory(memory_size=50), deque(maxlen=50), np.random.default_rng(3)
    for i in range(60):
        part = sequences(int(rng.integers(1, 30)) if i != 40 else 130, seed=i % 7, kinds=20)
        fast.append(part)
        plain.extend(tuple(row) for row in part.tolist())
        if i == 30:
            other = memory(seed=9, memory_size=50)
            other.load_state_dict(copy.deepcopy(fast.state_dict()))
            fast = other
        stored, counts = fast.contents()
        held = dict(zip(map(tuple, stored.tolist()), counts.tolist(), strict=True))
        assert held == Counter(plain)
        assert len(held) == len(stored)


@pytest.mark.parametrize("build", [memory, lambda: LinearReadout(LENGTH, HEADS, 5)])
def test_no_sequences_have_no_losses(build):
    empty = build()
    empty.append(sequences(30))
    assert empty.log_probabilities(sequences(30)[:0]).shape == (0, LENGTH)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"memory_size": 0}, "memory_size: 0 is less than 1"),
        ({"eta": -5.0}, "eta: -5.0 is not positive"),
        ({"epsilon": 0.0}, "epsilon: 0.0 is not between 0 and 1"),
        ({"epsilon": 1.0}, "epsilon: 1.0 is not between 0 and 1"),
    ],
)
def test_sizes_that_make_no_memory_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        memory(**settings)


@pytest.mark.parametrize("method", ["append", "log_probabilities"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (2 * sequences(3) - 1, "their bits are 0 and 1"),
        (sequences(3)[:, :-1], rf"shape \(3, {LENGTH - 1}\); allowed: \(batch, {LENGTH}\)"),
        (sequences(3)[0], "allowed: "),
    ],
)
def test_what_are_no_bits_is_refused(method, bad, message):
    with pytest.raises(ValueError, match=message):
        getattr(memory(), method)(bad)


def test_an_empty_memory_guesses():
    assert memory().log_probabilities(sequences(3)).exp().tolist() == pytest.approx(np.full((3, LENGTH), 0.5))


def test_before_the_first_bit_it_tells_the_share_of_first_bits():
    shares = memory(epsilon=1e-9)
    stored = sequences(30)
    shares.append(stored)
    ones = stored[:, 0].double().mean().item()
    first = shares.log_probabilities(torch.tensor([[1] * LENGTH, [0] * LENGTH]))[:, 0].exp()
    assert first.tolist() == pytest.approx([ones, 1 - ones], abs=1e-8)


def test_maps_are_distributions_over_what_they_may_see():
    full = memory()
    maps = full.attention
    assert maps.shape == (LENGTH, HEADS, LENGTH)
    for n in range(LENGTH):
        assert (maps[n] >= 0).all()
        assert (maps[n, :, n:] == 0).all()
        assert maps[n].sum(dim=-1).tolist() == pytest.approx([float(n > 0)] * HEADS)
    assert full.memory_map.sum(dim=-1).tolist() == pytest.approx([1.0] * HEADS)


@pytest.mark.parametrize("build", [memory, lambda: LinearReadout(LENGTH, HEADS, 5, init_std=1.0).double()])
def test_a_bit_does_not_depend_on_those_after_it(build):
    causal = build()
    causal.append(sequences(30))
    batch = sequences(4, seed=2)
    expected = causal.log_probabilities(batch)
    for n in range(LENGTH):
        changed = batch.clone()
        changed[:, n] = 1 - changed[:, n]
        result = causal.log_probabilities(changed)
        assert torch.equal(result[:, :n], expected[:, :n])
        together = (result[:, n].exp() + expected[:, n].exp()).tolist()
        assert together == pytest.approx([1.0] * 4)
        if n < LENGTH - 1:
            assert not torch.equal(result[:, n + 1 :], expected[:, n + 1 :])


def test_single_precision_is_exact_where_the_true_bit_is_unlikely():
    double, single = memory(eta=40.0, epsilon=1e-12), memory(eta=40.0, epsilon=1e-12, dtype=torch.float32)
    single.load_state_dict(double.state_dict())
    for each in (double, single):
        each.append(sequences(40, kinds=30))
    batch = sequences(50, seed=5, kinds=50)
    expected = double.log_probabilities(batch)
    error = (single.log_probabilities(batch).double() - expected).abs()
    assert expected.min() < -15
    assert error.max() < 4e-4  # of nats: relative to the probability
    assert ((error / (1 - expected)).max()) < 2e-5


def test_where_no_stored_sequence_has_the_bit_the_loss_is_that_of_the_uniform_part_and_gradients_are_finite():
    sure = memory(epsilon=1e-6, dtype=torch.float32)
    sure.append(torch.ones(5, LENGTH, dtype=torch.uint8))
    result = sure.log_probabilities(torch.zeros(2, LENGTH, dtype=torch.uint8))
    assert result.detach().numpy() == pytest.approx(np.full((2, LENGTH), math.log(5e-7)), abs=1e-4)
    result.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in sure.parameters())


def test_the_gradient_of_the_share_is_that_of_finite_differences():
    torch.manual_seed(0)
    scores = torch.randn(3, 4, 6, dtype=torch.float64, requires_grad=True)
    stored = torch.tensor([[0, 1, 1, 0, 1, 0]] * 3, dtype=torch.uint8)
    true = torch.tensor([[0, 1, 1, 0]] * 3, dtype=torch.uint8)
    assert torch.autograd.gradcheck(lambda x: LogShare.apply(x, stored, true), scores)


@pytest.mark.parametrize("distance", [50.0, 88.0, 95.0, 103.0, 200.0])
def test_gradients_are_finite_however_unlikely_the_true_bit(distance):
    scores = torch.tensor([[[0.0, -distance]]], requires_grad=True)
    share = LogShare.apply(scores, torch.tensor([[0, 1]], dtype=torch.uint8), torch.tensor([[1]], dtype=torch.uint8))
    mixed = torch.logaddexp(share, torch.tensor(math.log(5e-7)))
    mixed.sum().backward()
    assert scores.grad.isfinite().all()
    if distance < 87:
        assert share.item() == pytest.approx(-distance, rel=1e-6)


def test_the_linear_readout_equals_its_definition_written_out():
    torch.manual_seed(0)
    readout = LinearReadout(LENGTH, HEADS, 5, init_std=1.0).double()
    batch = sequences(3)
    p = torch.softmax(readout.mixture_logits, dim=0)
    for row, result in zip(batch, readout.log_probabilities(batch), strict=True):
        signs = 2.0 * row.double() - 1
        for n in range(LENGTH):
            v = torch.zeros(HEADS, dtype=torch.float64)
            if n:
                v = torch.softmax(readout.attention_logits[n, :, :n], dim=-1) @ signs[:n]
            plus = sum(p[m] * torch.sigmoid(v @ readout.weights[m] + readout.biases[m]) for m in range(5))
            assert result[n].exp().item() == pytest.approx((plus if row[n] else 1 - plus).item(), abs=1e-12)


def test_defaults_of_sizes_are_as_documented():
    sizes = AssociativeMemory(32, 8, 4000, 10.0)
    assert sizes.attention_logits.shape == (32, 8, 32)
    assert sizes.memory_logits.shape == (8, 32)
    assert sizes.epsilon == 1e-6
