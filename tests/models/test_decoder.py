import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from memorization.models.decoder import POSITIONS, Decoder, FeedForward, rotate, rotations, sinusoids

SIZE = {"vocabulary": 11, "n_outputs": 11, "max_length": 9, "n_layers": 2, "n_heads": 3, "d_model": 12}


def build(**options):
    torch.manual_seed(0)
    return Decoder(**SIZE | options, init_std=0.3).double()


def tokens(batch=4, length=9):
    return torch.randint(0, 11, (batch, length), generator=torch.Generator().manual_seed(1))


def test_equals_gpt2_of_transformers_with_the_same_weights():
    from transformers import GPT2Config, GPT2LMHeadModel  # here: it takes seconds, in each of pytest's processes

    ours = build()
    config = GPT2Config(
        vocab_size=11, n_positions=9, n_embd=12, n_layer=2, n_head=3,
        activation_function="gelu", tie_word_embeddings=False
    )  # fmt: skip
    theirs = GPT2LMHeadModel(config).double().eval()
    state = theirs.state_dict()
    copies = {"transformer.wte": ours.token_embedding, "transformer.wpe": ours.position_embedding}
    copies |= {"transformer.ln_f": ours.final_norm, "lm_head": ours.head}
    for i, layer in enumerate(ours.layers):
        copies |= {
            f"transformer.h.{i}.ln_1": layer.attention_norm,
            f"transformer.h.{i}.ln_2": layer.feed_forward_norm,
            f"transformer.h.{i}.attn.c_attn": layer.attention.qkv,
            f"transformer.h.{i}.attn.c_proj": layer.attention.output,
            f"transformer.h.{i}.mlp.c_fc": layer.feed_forward.up,
            f"transformer.h.{i}.mlp.c_proj": layer.feed_forward.down,
        }
    with torch.no_grad():
        ours.head.bias.zero_()  # GPT-2's head has none
        for name, module in copies.items():
            transposed = isinstance(module, nn.Linear) and name != "lm_head"  # GPT-2 keeps (in, out)
            state[f"{name}.weight"].copy_(module.weight.T if transposed else module.weight)
            if f"{name}.bias" in state:
                state[f"{name}.bias"].copy_(module.bias)
        theirs.load_state_dict(state)
        expected = theirs(tokens()).logits
    torch.testing.assert_close(ours(tokens()), expected, atol=1e-12, rtol=0)


def test_rotation_equals_llamas():
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    x = torch.randn(2, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    cos, sin = rotations(9, 8)
    both = [torch.cat([table, table], dim=-1)[None] for table in (cos, sin)]
    expected, _ = apply_rotary_pos_emb(x, x, *both)
    torch.testing.assert_close(rotate(x, cos, sin), expected)
    assert cos[1, 0] == pytest.approx(math.cos(1))
    assert sin[5, 3] == pytest.approx(math.sin(5 * 10000 ** (-6 / 8)))


def test_rotated_scores_depend_on_distance_alone():
    query, key = torch.randn(2, 1, 1, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cos, sin = (table.double() for table in rotations(20, 8))
    turned = [rotate(x.expand(1, 20, 8), cos, sin)[0] for x in (query, key)]
    scores = turned[0] @ turned[1].T
    torch.testing.assert_close(scores.diagonal(3), scores[0, 3].expand(17), atol=1e-6, rtol=0)
    assert not torch.allclose(scores[0, 3], scores[0, 4])


@pytest.mark.parametrize("width", [12, 7])
def test_sinusoids_are_those_of_the_paper(width):
    table = sinusoids(9, width)
    for position in range(9):
        for column in range(width):
            angle = position / 10000 ** (2 * (column // 2) / width)
            expected = math.cos(angle) if column % 2 else math.sin(angle)
            assert table[position, column] == pytest.approx(expected, abs=1e-6)


def test_norm_after_equals_a_plain_layer_written_out():
    model = build(norm="after", positions="sinusoidal", activation="relu", bias=False, n_layers=1)
    layer, x = model.layers[0], tokens()
    h = model.token_embedding(x) + sinusoids(9, 12)
    query, key, value = (part.view(4, 9, 3, 4) for part in layer.attention.qkv(h).chunk(3, dim=-1))
    mixed = torch.zeros(4, 9, 3, 4, dtype=torch.float64)
    for position in range(9):
        scores = torch.einsum("bhd,bkhd->bhk", query[:, position], key[:, : position + 1]) / 2
        mixed[:, position] = torch.einsum("bhk,bkhd->bhd", scores.softmax(-1), value[:, : position + 1])
    h = layer.attention_norm(h + mixed.reshape(4, 9, 12) @ layer.attention.output.weight.T)
    up, down = layer.feed_forward.up.weight, layer.feed_forward.down.weight
    h = layer.feed_forward_norm(h + torch.relu(h @ up.T) @ down.T)
    torch.testing.assert_close(model(x), h @ model.head.weight.T, atol=1e-12, rtol=0)
    assert not any(name.endswith("bias") and "norm" not in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("norm", ["before", "after"])
def test_no_position_sees_what_comes_after_it(positions, norm):
    model, x = build(positions=positions, norm=norm), tokens()
    changed = x.clone()
    changed[:, 5:] = (changed[:, 5:] + 1) % 11
    before, after = model(x), model(changed)
    torch.testing.assert_close(before[:, :5], after[:, :5], atol=1e-12, rtol=0)
    assert not torch.allclose(before[:, 5], after[:, 5])


@pytest.mark.parametrize(
    ("positions", "same"), [("none", True), ("learned", False), ("rope", False), ("sinusoidal", False)]
)
def test_order_is_told_by_positions_alone(positions, same):
    model, x = build(positions=positions, n_layers=1), tokens()
    swapped = x[:, [1, 0, *range(2, 9)]]
    assert torch.allclose(model(x)[:, -1], model(swapped)[:, -1], atol=1e-12) is same


def test_a_module_stands_in_for_a_feed_forward_and_keeps_its_weights():
    replacement = nn.Linear(12, 12)
    nn.init.eye_(replacement.weight)
    nn.init.ones_(replacement.bias)
    model = build(feed_forward={1: replacement})
    assert model.layers[1].feed_forward is replacement
    torch.testing.assert_close(replacement.weight, torch.eye(12, dtype=torch.float64))
    torch.testing.assert_close(replacement.bias, torch.ones(12, dtype=torch.float64))
    assert model(tokens()).shape == (4, 9, 11)
    F.cross_entropy(model(tokens()).flatten(0, 1), tokens().flatten()).backward()
    assert replacement.weight.grad is not None


def test_a_feed_forward_of_another_width_starts_as_the_others_do():
    model = Decoder(5, 5, 8, 2, 2, 256, feed_forward={1: FeedForward(256, 512, "gelu", bias=True)}, init_std=0.1)
    assert model.layers[1].feed_forward.up.weight.detach().std() == pytest.approx(0.1, rel=0.02)
    assert model.layers[1].feed_forward.down.weight.detach().std() == pytest.approx(0.1 / 2, rel=0.02)


def test_initial_weights_have_the_stated_spread():
    model = Decoder(50, 50, 64, n_layers=2, n_heads=2, d_model=256, init_std=0.1)
    assert model.layers[0].attention.qkv.weight.detach().std() == pytest.approx(0.1, rel=0.02)
    assert model.layers[0].attention.output.weight.detach().std() == pytest.approx(0.1 / 2, rel=0.02)
    assert model.layers[1].feed_forward.down.weight.detach().std() == pytest.approx(0.1 / 2, rel=0.02)
    assert model.head.bias.detach().abs().max() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_model": 10}, "d_model: 10 is not divisible by n_heads, 3"),
        ({"positions": "absolute"}, "positions: 'absolute' is not one of"),
        ({"norm": "both"}, "norm: 'both' is not one of"),
        ({"activation": "tanh"}, "activation: 'tanh' is not one of"),
        ({"positions": "rope", "d_model": 9}, "positions: rope needs an even"),
        ({"feed_forward": {2: nn.Identity()}}, r"feed_forward: layers \[2\]; allowed are 0 to 1"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_an_input_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="10 tokens, more than the decoder's max_length of 9"):
        build()(tokens(length=10))
