import pytest
import torch
from torch import nn

from memorization.memory_layer.inspection import batch, contents, differences, matched, sizes, trace
from memorization.models.decoder import Decoder


def decoder(seed=0, **options):
    torch.manual_seed(seed)
    return Decoder(
        **{"vocabulary": 7, "n_outputs": 7, "max_length": 6, "n_layers": 2, "n_heads": 2, "d_model": 8} | options
    )


def state(**options):
    return {name: tensor.clone() for name, tensor in decoder(**options).state_dict().items()}


def test_contents_are_names_shapes_types_and_sizes():
    found = contents({"a": torch.zeros(2, 3), "b.c": torch.zeros(4, dtype=torch.bfloat16), "n": torch.tensor(1)})
    assert found.values.tolist() == [
        ["a", (2, 3), "float32", 6, 24],
        ["b.c", (4,), "bfloat16", 4, 8],
        ["n", (), "int64", 1, 8],
    ]


def test_a_pattern_matches_as_it_freezes():
    assert matched(state(), "layers.1.attention.qkv") == [
        f"layers.1.attention.qkv.{kind}" for kind in ("weight", "bias")
    ]
    assert matched(state(), "*_embedding") == ["token_embedding.weight", "position_embedding.weight"]
    assert matched(state(), "layers.2") == []


def test_differences_are_told_by_kind():
    here, there = state(), state()
    here["only.here"] = torch.zeros(3)
    there["only.there"] = torch.zeros(2, 1)
    there["head.weight"] = torch.zeros(9, 8)
    there["head.bias"] = there["head.bias"].double()
    there["final_norm.bias"][3] -= 0.25
    there["final_norm.weight"][1] = torch.nan
    assert differences(here, there).values.tolist() == [
        ["final_norm.weight", "values", "largest difference 0, 1 not numbers"],
        ["final_norm.bias", "values", "largest difference 0.25"],
        ["head.weight", "shape", "(7, 8), there (9, 8)"],
        ["head.bias", "type", "float32, there float64"],
        ["only.here", "extra", "(3,)"],
        ["only.there", "missing", "(2, 1)"],
    ]


def test_equal_numbers_do_not_differ_nor_do_those_of_a_model_without_numbers():
    here = {"a": torch.tensor([1.0, torch.nan])}
    assert differences(here, {"a": here["a"].clone()}).empty
    with torch.device("meta"):
        there = decoder(d_model=4).state_dict()
    assert differences(state(d_model=4), there).empty
    assert set(differences(state(), there)["difference"]) == {"shape"}


def test_every_intermediate_is_traced_with_its_module():
    found = trace(decoder(1), batch(7, 6), state())
    assert found.mismatch is None
    rows = [tuple(row) for row in found.steps.itertuples(index=False)]
    assert rows[0] == ("token_embedding", "embedding", "(2, 6, 8)")
    assert ("layers.1.attention.qkv", "linear", "(2, 6, 24)") in rows
    assert ("layers.0.attention", "scaled_dot_product_attention", "(2, 2, 6, 4)") in rows
    assert ("layers.1.feed_forward", "gelu", "(2, 6, 32)") in rows
    assert rows[-1] == ("head", "linear", "(2, 6, 7)")


def test_the_model_gets_what_fits():
    model, given = decoder(1), state()
    given["head.weight"] = torch.zeros(9, 8)
    before = model.head.weight.detach().clone()
    trace(model, batch(7, 6), given)
    assert torch.equal(model.head.weight, before)
    assert torch.equal(model.layers[1].attention.qkv.weight, given["layers.1.attention.qkv.weight"])


@pytest.mark.parametrize(
    ("change", "mismatch"),
    [
        ({"layers.1.attention.qkv.weight": (3, 8), "head.weight": (9, 8), "layers.1.feed_forward.up.weight": (1, 8)},
         "layers.1.attention.qkv.weight: (24, 8) in the model, (3, 8) in the checkpoint"),
        ({"head.weight": (9, 8), "layers.0.feed_forward.down.bias": None},
         "layers.0.feed_forward.down.bias: (8,) in the model, not in the checkpoint"),
        ({"position_embedding.weight": (5, 8), "layers.0.attention.qkv.bias": None},
         "position_embedding.weight: (6, 8) in the model, (5, 8) in the checkpoint"),
        ({"layers.2.attention.qkv.bias": (24,)},
         "layers.2.attention.qkv.bias: (24,) in the checkpoint, not in the model"),
    ],
)  # fmt: skip
def test_the_first_mismatch_is_that_which_the_model_meets_first(change, mismatch):
    given = dict(reversed(state().items()))
    for name, shape in change.items():
        given.pop(name, None)
        if shape is not None:
            given[name] = torch.zeros(shape)
    assert trace(decoder(1), batch(7, 6), given).mismatch == mismatch


def test_hooks_do_not_stay_and_a_parameter_of_a_module_itself_is_met_where_it_is():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.values, self.down = nn.Embedding(5, 8), nn.Linear(8, 8)
            self.scale = nn.Parameter(torch.ones(8))

        def forward(self, x):
            return self.down(x) * self.scale + self.values.weight.sum(0)

    model = decoder(1, feed_forward={0: Scaled()})
    given = decoder(2, feed_forward={0: Scaled()}).state_dict()
    given["layers.0.feed_forward.values.weight"] = torch.zeros(4, 8)
    given["layers.1.attention.qkv.bias"] = torch.zeros(2)
    assert trace(model, batch(7, 6), given).mismatch.startswith("layers.0.feed_forward.values.weight: (5, 8)")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_sizes_are_those_of_the_embeddings():
    assert sizes(state(), "x") == (7, 6)
    assert sizes(state(positions="rope"), "x") == (7, 64)
    with pytest.raises(ValueError, match=r"x: has no token_embedding\.weight, so it is no checkpoint of this family"):
        sizes({"a": torch.zeros(1)}, "x")


def test_a_batch_has_each_token_in_turn():
    assert batch(4, 3).tolist() == [[0, 1, 2], [3, 0, 1]]
