import pytest
import torch
from sections import SCALES, complete
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from memorization.zipf.conditions import Zipf
from memorization.zipf.models import BOS, OneLayerAttention, build, with_bos


def test_inputs_begin_with_bos_and_end_before_the_last_bit():
    sequences = torch.tensor([[1, 0, 1], [0, 0, 1]], dtype=torch.uint8)
    assert with_bos(sequences).tolist() == [[BOS, 1, 0], [BOS, 0, 0]]


def test_one_layer_attention_equals_its_definition_written_out():
    torch.manual_seed(0)
    model = OneLayerAttention(3, 2, max_length=6, n_heads=2, d_model=8, init_std=0.5).double()
    tokens = torch.tensor([[2, 1, 0, 0, 1, 1], [2, 0, 0, 1, 0, 1]])
    x = model.token_embedding.weight[tokens] + model.position_embedding.weight
    query, key, value = (x @ model.attention.qkv.weight.T + model.attention.qkv.bias).chunk(3, dim=-1)
    mixed = torch.zeros_like(x)
    for head in (slice(0, 4), slice(4, 8)):
        for n in range(6):
            scores = (query[:, n, None, head] * key[:, : n + 1, head]).sum(-1) / 2
            mixed[:, n, head] = (scores.softmax(-1)[..., None] * value[:, : n + 1, head]).sum(1)
    h = torch.relu(model.norm(mixed) @ model.feed_forward.up.weight.T + model.feed_forward.up.bias)
    h = h @ model.feed_forward.down.weight.T + model.feed_forward.down.bias
    expected = h @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(model(tokens), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("scale", SCALES)
def test_every_condition_s_model_has_as_many_parameters_as_its_size_says(scale):
    zipf = Zipf(complete(scale)["zipf"])
    for name in zipf.first_set:
        with torch.device("meta"):
            model = build(zipf.condition(name), zipf.dataset(name)["length"])
        assert zipf.training_size(name)["parameters"] == sum(each.numel() for each in model.parameters()), name


@pytest.mark.parametrize("name", ["medium", "large_rope", "one_layer"])
def test_a_forward_pass_takes_as_many_flops_as_torch_counts(name):
    zipf = Zipf(complete()["zipf"])
    length = zipf.dataset(name)["length"]
    model = build(zipf.condition(name), length)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        model(torch.randint(0, 2, (5, length)))
    assert counter.get_total_flops() == 5 * zipf.forward_flops(name)
