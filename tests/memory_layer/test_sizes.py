import pytest
import torch
from memory_layer_facts import CONDITION, KINDS
from sections import SCALES, complete
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from memorization.memory_layer import sizes
from memorization.memory_layer.conditions import MemoryLayer
from memorization.memory_layer.model import answer_logits, build, memories

VOCABULARY, LENGTH, ANSWERS = 13, 14, 6


def model_of(condition):
    with torch.device("meta"):
        return build(condition, VOCABULARY, LENGTH)


def parameters(module):
    return sum(each.numel() for each in module.parameters())


def conditions(scale):
    family = MemoryLayer(complete(scale)["memory_layer"])
    return {name: family.condition(name) for name in family.names}


@pytest.mark.parametrize("scale", SCALES)
def test_every_condition_s_model_has_as_many_parameters_as_its_size_says(scale):
    for name, condition in conditions(scale).items():
        assert sizes.parameters(condition, VOCABULARY, LENGTH) == parameters(model_of(condition)), name


@pytest.mark.parametrize("layers", [[-1], [0, 1]])
@pytest.mark.parametrize("shared_pool", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_so_has_every_kind_of_model(name, shared_pool, layers):
    condition = CONDITION | KINDS[name] | {"memory_layers": layers, "shared_pool": shared_pool}
    assert sizes.parameters(condition, VOCABULARY, LENGTH) == parameters(model_of(condition))


@pytest.mark.parametrize("scale", SCALES)
def test_dense_twins_have_the_memory_s_parameters_or_its_operations_to_a_width(scale):
    for name, condition in conditions(scale).items():
        if condition["arm"] not in ("memory", "dense_parameters", "dense_compute"):
            continue
        d_model, n_layers = condition["d_model"], len(sizes.layers(condition))
        twin = condition | {"arm": "dense_parameters"}
        wanted = sizes.memory_parameters(condition)
        assert abs(sizes.module_size(twin) - wanted) <= n_layers * (2 * d_model + 1) / 2, name
        twin = condition | {"arm": "dense_compute"}
        flops = 4 * d_model * sizes.feed_forward_width(twin)
        assert abs(flops - sizes.memory_flops(condition)) <= 2 * d_model, name


@pytest.mark.parametrize("name", KINDS)
def test_operations_are_what_torch_counts(name):
    """But for the weighted sum of values, which torch does not count: a multiplication and an addition each."""
    condition = CONDITION | KINDS[name]
    model = build(condition, VOCABULARY, LENGTH).eval()
    columns = torch.arange(LENGTH - ANSWERS, LENGTH) + 1  # the last token predicts one behind it
    inputs = (torch.zeros(1, LENGTH, dtype=torch.int64), torch.zeros(ANSWERS, dtype=torch.int64), columns)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        answer_logits(model, *inputs, torch.tensor([LENGTH]))
    tokens = {n: ANSWERS if n == condition["n_layers"] - 1 else LENGTH for n in memories(model)}
    summed = 2 * condition["memory_heads"] * condition["top_k"] * condition["d_model"] * sum(tokens.values())
    expected = sizes.forward_flops(condition, VOCABULARY, LENGTH, ANSWERS)
    assert counter.get_total_flops() + summed == expected


def test_active_parameters_are_all_but_the_rows_and_embeddings_that_a_token_leaves_out():
    size = (VOCABULARY, LENGTH)
    for change, row in (({}, 16), ({"arm": "peer"}, 32), ({"memory_layers": [0, 1]}, 16)):
        condition = CONDITION | change
        model = model_of(condition)
        read, unread = memories(model), (VOCABULARY - 1 + LENGTH - 1) * 16
        whole = parameters(model) - unread - len(read) * 64 * row
        assert sizes.active_parameters(condition, *size) == whole + len(read) * 2 * 3 * row
        assert sizes.active_parameters(condition, *size, 4.5) == whole + len(read) * 4.5 * row
    shared = CONDITION | {"memory_layers": [0, 1], "shared_pool": True, "positions": "rope"}
    whole = parameters(model_of(shared)) - (VOCABULARY - 1) * 16 - 64 * 16
    assert sizes.active_parameters(shared, *size) == whole + 2 * 2 * 3 * 16
    dense = CONDITION | {"arm": "dense_compute"}
    assert sizes.active_parameters(dense, *size) == parameters(model_of(dense)) - (VOCABULARY + LENGTH - 2) * 16


def test_layers_count_from_the_end_too():
    assert sizes.layers({"n_layers": 4, "memory_layers": [-1, 3, 0, -3]}) == [0, 1, 3]
