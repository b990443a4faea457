import pytest
import torch
from language_models import non_embedding_parameters

from memorization.models.language_model import LanguageModel, build, config

SHAPE = {
    "n_layers": 2, "d_model": 16, "n_heads": 2, "rotary_share": 0.5, "state_size": 4, "max_length": 32,
    "init_std": 0.4, "scan": "own",
}  # fmt: skip
VOCABULARY, EMBEDDINGS = 30, 40
ALL = ("neox", "mamba", "llama")
EACH = pytest.mark.parametrize("architecture", ALL)
TOKENS = torch.randint(0, VOCABULARY, (3, 9), generator=torch.Generator().manual_seed(0))


def built(architecture, vocabulary=VOCABULARY, seed=0, **change):
    return build(SHAPE | {"architecture": architecture} | change, vocabulary, seed)


def padded(architecture):
    """A model with more embeddings than there are tokens; it finds those the likeliest."""
    model = built(architecture, EMBEDDINGS)
    with torch.no_grad():
        model.get_output_embeddings().weight[VOCABULARY:] *= 10
    return LanguageModel(model, VOCABULARY)


@EACH
def test_weights_are_those_of_the_seed_and_the_global_stream_goes_on(architecture):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    one = built(architecture).state_dict()
    assert torch.equal(torch.rand(3), expected)
    two, other = built(architecture).state_dict(), built(architecture, seed=1).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one[next(iter(one))], other[next(iter(other))])


def test_what_transformers_sets_differently_is_alike():
    models = [built(architecture) for architecture in ALL]
    for model in models:
        embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        assert embedding is not head
        assert not torch.equal(embedding, head)
        assert embedding.shape == head.shape == (VOCABULARY, 16)
        assert embedding.std().item() == pytest.approx(0.4, rel=0.1)
        assert head.std().item() == pytest.approx(0.4, rel=0.1)
        assert model.config.pad_token_id is None
    for key in ("initializer_range", "tie_word_embeddings", "max_position_embeddings", "bos_token_id", "eos_token_id"):
        assert len({getattr(model.config, key) for model in models}) == 1, key
    assert all(model.config.max_position_embeddings == 32 for model in models)


def test_the_share_of_a_head_that_turns_is_the_configured_one():
    model = built("neox")
    assert model.gpt_neox.rotary_emb.inv_freq.tolist() == [1.0, pytest.approx(0.01)]  # 4 of 8 places of a head, paired
    assert built("neox", rotary_share=1.0).gpt_neox.rotary_emb.inv_freq.shape == (4,)


def test_a_llama_s_heads_and_gated_layers_are_those_of_its_shape():
    """Keys and values a head, no biases, RMSNorm, gated layers of 8/3 of the width, and all of a head turns."""
    model = built("llama")
    layer = model.model.layers[0]
    assert len(model.model.layers) == 2
    assert {type(layer.input_layernorm).__name__, type(model.model.norm).__name__} == {"LlamaRMSNorm"}
    shapes = {name: tuple(each.shape) for name, each in layer.named_parameters()}
    assert shapes == {
        **{f"self_attn.{name}_proj.weight": (16, 16) for name in "qkvo"},
        "mlp.gate_proj.weight": (43, 16), "mlp.up_proj.weight": (43, 16), "mlp.down_proj.weight": (16, 43),
        "input_layernorm.weight": (16,), "post_attention_layernorm.weight": (16,),
    }  # fmt: skip
    assert layer.self_attn.head_dim == 8
    assert model.model.rotary_emb.inv_freq.shape == (4,)


def test_another_architecture_is_refused():
    with pytest.raises(ValueError, match=r"^architecture: 'lstm' is not one of neox, mamba, llama$"):
        config(SHAPE | {"architecture": "lstm"}, VOCABULARY)


@EACH
def test_logits_are_those_of_whole_texts_without_a_cache_and_without_padded_ids(architecture, monkeypatch):
    model, asked = padded(architecture), []
    plain = model.model(input_ids=TOKENS, use_cache=False).logits
    forward = model.model.forward

    def spy(*args, **options):
        asked.append(options)
        return forward(*args, **options)

    monkeypatch.setattr(model.model, "forward", spy)
    logits = model.logits(TOKENS)
    assert [options["use_cache"] for options in asked] == [False]
    assert logits.shape == (3, 9, VOCABULARY)
    assert logits.dtype == torch.float32
    assert not logits.requires_grad
    assert torch.equal(logits, plain[..., :VOCABULARY])


@EACH
def test_a_text_s_logits_are_those_of_the_text_alone_and_of_what_stands_before(architecture):
    model = LanguageModel(built(architecture), VOCABULARY)
    together = model.logits(TOKENS)
    for row in range(3):
        for end in (1, 5, 9):
            alone = model.logits(TOKENS[row : row + 1, :end])[0]
            torch.testing.assert_close(alone, together[row, :end], rtol=1e-4, atol=1e-4)


@EACH
def test_a_greedy_continuation_is_the_likeliest_token_again_and_again(architecture):
    model = padded(architecture)
    so_far = TOKENS
    for _ in range(12):
        so_far = torch.cat([so_far, model.logits(so_far)[:, -1:].argmax(dim=-1)], dim=1)
    assert model.continue_greedily(TOKENS, 12).tolist() == so_far[:, 9:].tolist()


@EACH
def test_padded_ids_would_be_the_likeliest_and_are_never_generated(architecture):
    model = padded(architecture)
    of_all = LanguageModel(model.model, EMBEDDINGS)
    assert of_all.continue_greedily(TOKENS, 8).max() >= VOCABULARY
    assert model.continue_greedily(TOKENS, 8).max() < VOCABULARY


@EACH
def test_generation_goes_on_behind_an_end_of_text(architecture):
    """Two ids change their names, so that a token in the midst of the continuation is that of the end, 0."""
    model, prefix = LanguageModel(built(architecture), VOCABULARY), TOKENS[:1]
    before = model.continue_greedily(prefix, 10)
    end = before[0, 3].item()
    renamed = torch.arange(VOCABULARY)
    renamed[0], renamed[end] = end, 0
    with torch.no_grad():
        for module in (model.model.get_input_embeddings(), model.model.get_output_embeddings()):
            module.weight.copy_(module.weight[renamed].clone())
    after, first = model.continue_greedily(renamed[prefix], 10), before[0].tolist().index(end)
    assert after.tolist() == renamed[before].tolist()
    assert after[0, first] == 0
    assert after[0, first + 1 :].max() > 0
    model.model.generation_config.eos_token_id = 0  # as transformers has it
    by_default = model.model.generate(renamed[prefix], max_new_tokens=10, do_sample=False, pad_token_id=0)
    assert by_default.shape[1] == 9 + first + 1


@EACH
def test_how_a_model_says_that_it_generates_changes_nothing(architecture):
    """Models from elsewhere bring settings along, under which greedy is not the likeliest token."""
    model = built(architecture)
    expected = LanguageModel(model, VOCABULARY).continue_greedily(TOKENS, 10)
    model.generation_config.repetition_penalty = 1.3
    model.generation_config.eos_token_id = expected[0, 4].item()
    model.generation_config.min_new_tokens = 2
    by_default = model.generate(TOKENS, max_new_tokens=10, do_sample=False, pad_token_id=0)[:, 9:]
    assert not torch.equal(by_default, expected[:, : by_default.shape[1]])
    assert torch.equal(LanguageModel(model, VOCABULARY).continue_greedily(TOKENS, 10), expected)


@pytest.mark.parametrize("architecture", ["neox", "llama"])
def test_too_long_a_text_is_refused_where_a_model_has_a_limit(architecture):
    """Transformers would go on in silence; Mamba has none."""
    long = torch.zeros(1, 33, dtype=torch.int64)
    limited, mamba = LanguageModel(built(architecture), VOCABULARY), LanguageModel(built("mamba"), VOCABULARY)
    assert (limited.max_length, mamba.max_length) == (32, None)
    assert limited.model(input_ids=long).logits.shape[1] == 33
    with pytest.raises(ValueError, match=r"^texts of 33 tokens, but the model takes at most 32$"):
        limited.logits(long)
    assert limited.logits(long[:, :32]).shape == (1, 32, VOCABULARY)
    assert mamba.logits(long).shape == (1, 33, VOCABULARY)


@EACH
def test_it_is_in_evaluation(architecture):
    model = built(architecture).train()
    assert not LanguageModel(model, VOCABULARY).model.training


@EACH
def test_parameters_besides_embedding_and_head_do_not_depend_on_the_vocabulary(architecture):
    small, large = built(architecture), built(architecture, EMBEDDINGS)
    total = sum(each.numel() for each in small.parameters())
    assert non_embedding_parameters(small) == non_embedding_parameters(large) == total - 2 * VOCABULARY * 16
