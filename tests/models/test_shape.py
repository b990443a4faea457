"""Parameters and FLOPs are counted from shapes: held to what torch has and counts as it computes."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from memorization.models.decoder import POSITIONS, Decoder
from memorization.models.shape import TRAINING, decoder_flops, decoder_parameters

SHAPE = {"vocabulary": 11, "n_outputs": 7, "max_length": 48, "n_layers": 3, "d_model": 32}
FLOPS = {"n_outputs": 7, "length": 48, "n_layers": 3, "d_model": 32}


def counted(compute):
    """The FLOPs of ``compute()``; fused kernels of attention would compute some of it twice."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        compute()
    return counter.get_total_flops()


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("norm", ["before", "after"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_decoder_has_as_many_parameters(positions, norm, bias):
    options = {"positions": positions, "norm": norm, "bias": bias}
    decoder = Decoder(**SHAPE, n_heads=2, **options)
    assert decoder_parameters(**SHAPE, **options) == sum(each.numel() for each in decoder.parameters())


def test_a_forward_pass_takes_as_many_flops_as_torch_counts():
    decoder, batch = Decoder(**SHAPE, n_heads=2), torch.randint(0, 11, (8, 48))
    with torch.no_grad():
        assert counted(lambda: decoder(batch)) == 8 * decoder_flops(**FLOPS)


def test_a_training_step_takes_three_forward_passes():
    decoder, batch = Decoder(**SHAPE, n_heads=2), torch.randint(0, 11, (8, 48))
    assert counted(lambda: decoder(batch).sum().backward()) == TRAINING * 8 * decoder_flops(**FLOPS)


def test_it_is_six_times_parameters_times_tokens_where_the_context_is_short():
    parameters = 12 * 24 * 1024**2  # of the layers
    flops = decoder_flops(n_outputs=2, length=10, n_layers=24, d_model=1024)
    assert TRAINING * flops == pytest.approx(6 * parameters * 10, rel=1e-2)
