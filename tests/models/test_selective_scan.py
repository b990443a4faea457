"""The scan of our own against a loop over steps that autograd goes back through, and against transformers'."""

import pytest
import torch
from transformers.models.mamba.modeling_mamba import mamba_selective_scan

from memorization.models import selective_scan as module
from memorization.models.selective_scan import selective_scan

BATCH, INNER, STATE, LENGTH = 2, 3, 4, 13
NAMES = ("u", "delta", "A", "B", "C", "D", "initial_state")
BLOCKS = pytest.mark.usefixtures("blocks")


def inputs(kind=torch.float32):
    """What a scan takes, by name; the numbers are those of float32 in both types."""
    rng = torch.Generator().manual_seed(0)
    shapes = [(BATCH, INNER, LENGTH)] * 2 + [(INNER, STATE)] + [(BATCH, STATE, LENGTH)] * 2
    shapes += [(INNER,), (BATCH, INNER, STATE)]
    values = dict(zip(NAMES, [torch.randn(*shape, generator=rng).to(kind) for shape in shapes], strict=True))
    values |= {"delta": values["delta"].exp() / 2, "A": -values["A"].exp()}
    return {name: value.detach().requires_grad_() for name, value in values.items()}


def sequential(u, delta, A, B, C, D, initial_state):
    """The formulas as they stand, step by step."""
    state, out = initial_state, []
    for t in range(u.shape[-1]):
        step = delta[..., t, None]
        state = torch.exp(step * A) * state + step * B[:, None, :, t] * u[..., t, None]
        out.append((state * C[:, None, :, t]).sum(dim=-1) + D * u[..., t])
    return torch.stack(out, dim=-1), state


def gradients(outputs, values):
    """Of a loss that weighs each entry of the outputs differently."""
    loss = sum((each * torch.arange(each.numel()).reshape(each.shape).cos()).sum() for each in outputs)
    return torch.autograd.grad(loss, values)


@pytest.fixture(params=[LENGTH, 5, 1])
def blocks(request, monkeypatch):
    """So many steps a block; 5 leave a rest of 3."""
    monkeypatch.setattr(module, "BLOCK", request.param * BATCH * INNER * STATE)


def assert_close(ours, theirs, tolerance):
    for name, one, other in zip(NAMES, ours, theirs, strict=False):
        assert (one - other).abs().max() < tolerance * max(1, other.abs().max()), name


@BLOCKS
def test_values_and_all_gradients_are_those_of_the_formulas():
    values = inputs(torch.float64)
    ours, theirs = selective_scan(**values, return_last_state=True), sequential(**values)
    assert_close(ours, theirs, 1e-12)
    assert_close(gradients(ours, values.values()), gradients(theirs, values.values()), 1e-12)


@BLOCKS
def test_values_and_all_gradients_are_those_of_transformers():
    values = inputs()
    del values["initial_state"]  # theirs takes none
    ours = selective_scan(**values, return_last_state=True)
    renamed = {"u": "hidden_states", "delta": "dt"}
    given = {renamed.get(name, name): value for name, value in values.items()}
    theirs = mamba_selective_scan(**given, return_last_state=True)
    assert_close(ours, theirs, 1e-5)
    assert_close(gradients(ours, values.values()), gradients(theirs, values.values()), 1e-5)


def test_one_output_and_no_direct_way_are_the_default():
    values = inputs(torch.float64)
    direct, initial = values.pop("D"), values.pop("initial_state")
    y = selective_scan(**values)
    expected, _ = sequential(**values, D=torch.zeros_like(direct), initial_state=torch.zeros_like(initial))
    assert (y - expected).abs().max() < 1e-12


@pytest.mark.parametrize("cut", [1, 6, LENGTH - 1])
@BLOCKS
def test_a_scan_that_goes_on_from_another_s_last_state_is_the_whole_gradients_too(cut):
    values = inputs(torch.float64)
    whole = selective_scan(**values, return_last_state=True)
    parts, state = [], values["initial_state"]
    for here in (slice(0, cut), slice(cut, LENGTH)):
        part = {name: values[name][..., here] for name in ("u", "delta", "B", "C")}
        rest = {"A": values["A"], "D": values["D"], "initial_state": state, "return_last_state": True}
        y, state = selective_scan(**part, **rest)
        parts.append(y)
    split = torch.cat(parts, dim=-1), state
    assert_close(split, whole, 1e-12)
    assert_close(gradients(split, values.values()), gradients(whole, values.values()), 1e-12)


def test_the_last_state_alone_has_gradients():
    values = inputs(torch.float64)
    del values["C"], values["D"]  # of which it knows nothing
    rest = {"C": torch.ones(BATCH, STATE, LENGTH, dtype=torch.float64), "D": torch.ones(INNER, dtype=torch.float64)}
    _, ours = selective_scan(**values, **rest, return_last_state=True)
    _, theirs = sequential(**values, **rest)
    assert_close(gradients([ours], values.values()), gradients([theirs], values.values()), 1e-12)


def test_gradients_of_gradients_are_refused():
    """They would lack what the backward pass computes by hand."""
    values = inputs()
    (first,) = torch.autograd.grad(selective_scan(**values).square().sum(), values["u"], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_it_is_the_same_bytes_each_time():
    first, second = inputs(), inputs()
    one, two = (selective_scan(**each, return_last_state=True) for each in (first, second))
    assert all(map(torch.equal, one, two))
    assert all(map(torch.equal, gradients(one, first.values()), gradients(two, second.values())))


@BLOCKS
def test_states_of_all_steps_are_kept_for_gradients_alone(monkeypatch):
    kept, real = [], module._rows

    def rows(states, here):
        kept.append(states is not None)
        return real(states, here)

    monkeypatch.setattr(module, "_rows", rows)
    values = inputs()
    with_gradients = selective_scan(**values)
    assert kept
    assert all(kept)
    kept.clear()
    with torch.no_grad():
        computed = {name: value * 1 for name, value in values.items()}  # as a mixer gives them: no parameters
        assert torch.equal(selective_scan(**computed), with_gradients)
    assert torch.equal(selective_scan(**{name: value.detach() for name, value in values.items()}), with_gradients)
    assert kept
    assert not any(kept)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_comes_back_in_its_type_computed_in_float32(kind):
    values = {name: value.detach().to(kind) for name, value in inputs().items()}
    whole = selective_scan(**{name: value.float() for name, value in values.items()}, return_last_state=True)
    y, last = selective_scan(**values, return_last_state=True)
    assert y.dtype == kind
    assert last.dtype == torch.float32
    torch.testing.assert_close(last, whole[1], rtol=0, atol=0)
    torch.testing.assert_close(y.float(), whole[0], rtol=0, atol=4 * torch.finfo(kind).eps * whole[0].abs().max())
    values["u"].requires_grad_()
    assert torch.autograd.grad(selective_scan(**values).float().sum(), values["u"])[0].dtype == kind
