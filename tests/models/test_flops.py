import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from memorization.models.decoder import Decoder
from memorization.models.flops import decoder_training_flops


@pytest.mark.parametrize("size", [(1, 8, 2, 5, None), (3, 16, 7, 12, 24)])
def test_it_is_what_torch_counts(size):
    n_layers, d_model, n_outputs, length, d_ff = size
    model = Decoder(3, n_outputs, length, n_layers, 2, d_model, d_ff=d_ff)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # fused kernels compute some twice
        model(torch.zeros(4, length, dtype=torch.long)).sum().backward()
    assert 4 * decoder_training_flops(*size) == counter.get_total_flops()


def test_it_is_six_times_the_parameters_of_products_where_the_context_is_short():
    n_layers, d_model = 2, 512
    flops = decoder_training_flops(n_layers, d_model, 50_000, length=1)
    assert flops == pytest.approx(6 * (12 * n_layers * d_model**2 + 50_000 * d_model), rel=1e-3)
