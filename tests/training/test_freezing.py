import pytest
import torch
from torch import nn

from memorization.training.freezing import freeze, matching


def model(layers=12):
    """Parameters embedding.weight and layers.0 … layers.11, each with attention.{weight,bias} and memory.slots."""
    torch.manual_seed(0)
    layer = [nn.ModuleDict({"attention": nn.Linear(2, 2), "memory": nn.ParameterDict()}) for _ in range(layers)]
    for each in layer:
        each["memory"]["slots"] = nn.Parameter(torch.randn(3))
    return nn.ModuleDict({"embedding": nn.Embedding(4, 2), "layers": nn.ModuleList(layer)})


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("embedding.weight", ["embedding.weight"]),
        ("layers.1.", ["layers.1.attention.weight", "layers.1.attention.bias", "layers.1.memory.slots"]),
        ("layers.1", ["layers.1.attention.weight", "layers.1.attention.bias", "layers.1.memory.slots"]),
        ("layers.1.attention", ["layers.1.attention.weight", "layers.1.attention.bias"]),
        ("*.bias", [f"layers.{i}.attention.bias" for i in range(12)]),
        ("layers.*.memory", [f"layers.{i}.memory.slots" for i in range(12)]),
        ("layers.1*.memory.slots", [f"layers.{i}.memory.slots" for i in (1, 10, 11)]),
        ("*.attention", [f"layers.{i}.attention.{kind}" for i in range(12) for kind in ("weight", "bias")]),
        ("embedding.weigh", []),
        ("layer", []),
        ("embedding.weight.", []),
        ("attention", []),
        ("embedding?weight", []),
    ],
)
def test_a_pattern_is_a_name_a_module_or_either_with_wildcards(pattern, expected):
    assert matching(model(), [pattern]) == expected


@pytest.mark.parametrize(
    "patterns",
    ["layers.1.attention", ["layers.1.attention"], {"layers.1.attention": "freeze"}, iter(["layers.1.attention"])],
)
def test_text_a_list_and_a_mapping_are_alike_and_weights_are_counted(patterns):
    frozen = model()
    assert freeze(frozen, patterns) == 4 + 2
    names = [name for name, parameter in frozen.named_parameters() if not parameter.requires_grad]
    assert names == ["layers.1.attention.weight", "layers.1.attention.bias"]


def test_a_pattern_of_a_module_freezes_what_is_in_it_however_deep_it_lies():
    nested = nn.ModuleDict({"model": nn.ModuleDict({"layers": nn.ModuleList()})})
    for _ in range(11):
        attention = nn.ModuleDict({"k_proj": nn.Linear(2, 2, bias=False), "q_proj": nn.Linear(2, 2, bias=False)})
        nested["model"]["layers"].append(nn.ModuleDict({"attn": attention}))
    assert matching(nested, ["*.attn.k_proj"]) == [f"model.layers.{i}.attn.k_proj.weight" for i in range(11)]
    assert freeze(nested, "*.attn.k_proj") == 11 * 4
    assert not nested["model"]["layers"][3]["attn"]["k_proj"].weight.requires_grad
    assert nested["model"]["layers"][3]["attn"]["q_proj"].weight.requires_grad
    assert matching(nested, ["model.layers.1."]) == [f"model.layers.1.attn.{name}_proj.weight" for name in "kq"]


def test_parts_of_a_model_are_frozen_by_their_own_names():
    first, second = model(layers=2), model(layers=3)
    second["head"] = nn.Linear(2, 4, bias=False)
    assert freeze([first, second], {"layers.1": "freeze", "head": "freeze"}) == 2 * (4 + 2 + 3) + 8
    for part, frozen in ((first, ["layers.1"]), (second, ["layers.1", "head"])):
        names = [name for name, parameter in part.named_parameters() if not parameter.requires_grad]
        assert names == matching(part, frozen)


def test_a_pattern_that_matches_in_no_part_is_an_error_and_one_tensor_of_two_parts_counts_once():
    first, second = model(layers=2), model(layers=3)
    with pytest.raises(ValueError, match=r"freeze: 'layers.3' matches no parameter; .* embedding, layers"):
        freeze([first, second], ["layers.2", "layers.3"])
    assert all(parameter.requires_grad for part in (first, second) for parameter in part.parameters())
    second["embedding"].weight = first["embedding"].weight
    assert freeze((part for part in (first, second)), "embedding") == 8


def test_what_was_frozen_is_in_the_log_in_a_line_and_nothing_is_where_nothing_was(capsys):
    freeze(model(), ["layers.1", "layers.2.attention"])
    assert capsys.readouterr().out == "frozen: 15 parameters in 5 tensors\n"
    freeze(model(), [])
    assert capsys.readouterr().out == ""


def test_what_several_patterns_or_names_share_counts_once():
    frozen = model()
    assert freeze(frozen, ["layers.1", "layers.1.memory.slots"]) == 4 + 2 + 3
    tied = model()
    tied["head"] = nn.Linear(2, 4, bias=False)
    tied["head"].weight = tied["embedding"].weight
    assert freeze(tied, {"head": "freeze", "embedding": "freeze"}) == 8
    assert not tied["embedding"].weight.requires_grad


def test_a_pattern_that_matches_nothing_is_an_error_unless_told_otherwise():
    untouched = model()
    with pytest.raises(ValueError, match=r"freeze: 'layers.12' matches no parameter; .* embedding, layers"):
        freeze(untouched, ["embedding", "layers.12"])
    assert all(parameter.requires_grad for parameter in untouched.parameters())
    assert freeze(untouched, ["embedding", "layers.12"], strict=False) == 8


def test_a_mapping_can_ask_for_freezing_alone():
    with pytest.raises(ValueError, match="freeze: embedding: 'train' is not allowed; allowed: freeze"):
        freeze(model(), {"embedding": "train"})


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD])
def test_frozen_tensors_are_equal_to_the_bit_whatever_the_optimizers_state_and_weight_decay(optimizer):
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    options = {"lr": 0.1, "weight_decay": 0.5} | ({"momentum": 0.9} if optimizer is torch.optim.SGD else {})

    def train(optimizer):
        for _ in range(3):
            optimizer.zero_grad()
            network(torch.randn(8, 4)).square().mean().backward()
            optimizer.step()

    first = optimizer(network.parameters(), **options)
    train(first)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.zero_grad()
    freeze(network, "0.")
    second = optimizer(network.parameters(), **options)
    second.load_state_dict(first.state_dict())
    train(second)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith("0."), name
