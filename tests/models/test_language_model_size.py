"""Parameters and FLOPs of language models, counted from shapes: held to what is built, and what torch counts."""

import pytest
import torch
from language_models import non_embedding_parameters
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from memorization.models.language_model import build
from memorization.models.language_model_size import forward_flops, gated_width, non_embedding, parameters

SHAPE = {
    "n_layers": 3, "d_model": 40, "n_heads": 4, "rotary_share": 0.5, "state_size": 6, "max_length": 64,
    "init_std": 0.02, "scan": "own",
}  # fmt: skip
VOCABULARY, BATCH, LENGTH = 50, 2, 24


def counted(shape):
    """The FLOPs of a pass; fused kernels of attention would hide what they compute."""
    model = build(shape, VOCABULARY)
    tokens = torch.zeros(BATCH, LENGTH, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        model(input_ids=tokens, use_cache=False)
    return counter.get_total_flops()


@pytest.mark.parametrize("architecture", ["neox", "mamba", "llama"])
@pytest.mark.parametrize("change", [{}, {"d_model": 16}, {"d_model": 48, "n_layers": 1, "state_size": 16}])
def test_a_model_has_as_many_parameters_as_its_shape_says(architecture, change):
    shape = SHAPE | {"architecture": architecture} | change
    model = build(shape, VOCABULARY)
    assert parameters(shape, VOCABULARY) == sum(each.numel() for each in model.parameters())
    assert non_embedding(shape) == non_embedding_parameters(model)


@pytest.mark.parametrize("architecture", ["neox", "llama"])
@pytest.mark.parametrize("change", [{}, {"d_model": 48, "n_layers": 1}])
def test_a_pass_of_a_transformer_takes_as_many_flops_as_torch_counts(architecture, change):
    shape = SHAPE | {"architecture": architecture} | change
    assert counted(shape) == BATCH * forward_flops(shape, VOCABULARY, LENGTH)


def test_a_pass_of_mamba_takes_as_many_flops_as_torch_counts_and_those_of_scan_and_convolution():
    """Torch counts matrix products alone: of the scan, two operations an entry of the state; none of a convolution."""
    shape = SHAPE | {"architecture": "mamba"}
    steps, inner = BATCH * LENGTH * shape["n_layers"], 2 * 40
    uncounted = steps * (4 * inner * 6 + 2 * 4 * inner)
    assert counted(shape) + uncounted == BATCH * forward_flops(shape, VOCABULARY, LENGTH)


def test_the_scan_and_the_convolution_are_a_small_part_of_mamba_s_flops():
    shape = SHAPE | {"architecture": "mamba", "d_model": 160, "state_size": 16}
    without = counted(shape)
    assert without < BATCH * forward_flops(shape, VOCABULARY, LENGTH) < 1.15 * without


def test_the_gate_of_llama_is_as_large_as_two_maps_of_four_times_the_width():
    """Of the published width 4096 it would be 10923, which Llama rounds up to 11008, a multiple of 256."""
    assert [gated_width(width) for width in (3, 16, 64, 4096)] == [8, 43, 171, 10923]
    for width in (16, 64, 128, 4096):
        assert 3 * width * gated_width(width) == pytest.approx(8 * width**2, rel=0.01)
