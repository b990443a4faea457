"""Our scan in transformers' Mamba. Where no kernels are installed transformers computes slowly: held to that."""

import copy

import pytest
import torch
import transformers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, MambaConfig, MambaForCausalLM
from transformers.models.mamba import modeling_mamba

from memorization.models.mamba_mixer import UnknownMixer, convolution, own_mixer, use_scan

SMALL = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2}
MAMBA = SMALL | {"state_size": 4, "initializer_range": 0.4, "tie_word_embeddings": False}
TOKENS = torch.randint(0, 40, (3, 11), generator=torch.Generator().manual_seed(0))


def two(**change):
    """One model with our scan, and the same one with transformers'."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours = MambaForCausalLM(MambaConfig(**MAMBA | change))
    theirs = copy.deepcopy(ours)
    assert use_scan(ours, "own") == use_scan(theirs, "mamba_ssm") == 2
    return ours, theirs


def mixers(model):
    return [type(layer.mixer) for layer in model.backbone.layers]


CHANGES = pytest.mark.parametrize("change", [{}, {"use_conv_bias": False, "use_bias": True}, {"conv_kernel": 2}])


@CHANGES
@pytest.mark.parametrize("training", [True, False])
def test_logits_and_gradients_of_all_parameters_are_those_of_transformers(training, change):
    found = []
    for model in two(**change):
        logits = model.train(training)(input_ids=TOKENS, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten())
        names, parameters = zip(*model.named_parameters(), strict=True)
        found.append({"logits": logits} | dict(zip(names, torch.autograd.grad(loss, parameters), strict=True)))
    ours, theirs = found
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        assert values.abs().max() > 0, name
        assert (ours[name] - values).abs().max() < 1e-5 * max(1, values.abs().max()), name


@pytest.mark.parametrize("use_cache", [True, False])
def test_generation_gives_the_tokens_of_transformers(use_cache):
    asked = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": -1, "pad_token_id": 0, "use_cache": use_cache}
    mask = torch.ones_like(TOKENS)
    ours, theirs = (model.eval().generate(TOKENS, attention_mask=mask, **asked) for model in two())
    assert ours.shape == (3, 23)
    assert len(ours[:, 11:].unique()) > 5
    assert ours.tolist() == theirs.tolist()


@torch.no_grad()
def test_a_prefix_leaves_the_state_that_transformers_leaves():
    caches = [model.eval()(input_ids=TOKENS, use_cache=True).cache_params for model in two()]
    for layer in range(2):
        for kind in ("get_conv_state", "get_recurrent_state"):
            ours, theirs = (getattr(cache, kind)(layer, state_idx=0) for cache in caches)
            assert theirs.abs().max() > 0
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("which", [0, 1])
def test_a_cache_that_is_continued_by_several_tokens_loses_its_state_and_by_one_does_not(which):
    """Both scans, as transformers' mixer begins from 0 there: why whole texts are scored without a cache."""
    model = two()[which].eval()
    whole = model(input_ids=TOKENS, use_cache=False).logits

    def goes_on(count):
        cache = model(input_ids=TOKENS[:, :6], use_cache=True).cache_params
        return model(input_ids=TOKENS[:, 6 : 6 + count], cache_params=cache, use_cache=True).logits[:, -1]

    torch.testing.assert_close(goes_on(1), whole[:, 6], rtol=1e-4, atol=1e-4)
    assert (goes_on(5) - whole[:, 10]).abs().max() > 0.1


def test_other_models_stay_as_they_are():
    forward, scan = modeling_mamba.MambaMixer.forward, modeling_mamba.mamba_selective_scan
    ours, theirs = two()
    assert set(mixers(ours)) == {own_mixer(modeling_mamba.MambaMixer)}
    assert set(mixers(theirs)) == {modeling_mamba.MambaMixer}
    assert mixers(MambaForCausalLM(MambaConfig(**MAMBA)))[0] is modeling_mamba.MambaMixer
    assert modeling_mamba.MambaMixer.forward is forward
    assert modeling_mamba.mamba_selective_scan is scan


def test_our_scan_is_called_in_training_and_their_kernels_are_not(monkeypatch):
    """Where mamba-ssm is installed, training would pass the scan by."""

    def called(*_, **__):
        raise AssertionError("transformers' scan")

    for name in ("mamba_selective_scan", "mamba_inner_fn", "causal_conv1d_fn"):
        monkeypatch.setattr(modeling_mamba, name, called)
    own_mixer.cache_clear()
    ours, theirs = two()
    own_mixer.cache_clear()
    ours.train()(input_ids=TOKENS, use_cache=False)
    with pytest.raises(AssertionError, match="transformers' scan"):
        theirs.train()(input_ids=TOKENS, use_cache=False)


def test_weights_have_the_names_of_transformers():
    ours, theirs = two()
    assert list(ours.state_dict()) == list(theirs.state_dict())


def test_a_model_without_mamba_is_left_alone():
    model = GPTNeoXForCausalLM(GPTNeoXConfig(**SMALL, num_attention_heads=2, intermediate_size=32))
    before = [type(module) for module in model.modules()]
    assert use_scan(model, "own") == 0
    assert [type(module) for module in model.modules()] == before


class WithoutScan:
    """A mixer of another version of transformers, of which the name of the scan is gone."""

    def forward(self, hidden_states):
        return causal_conv1d_fn(hidden_states)  # noqa: F821


class WithoutItsName:
    """One that calls the scan by a name that its module has not."""

    def forward(self, hidden_states):
        return mamba_selective_scan(causal_conv1d_fn(hidden_states))  # noqa: F821


@pytest.mark.parametrize("mixer", [WithoutScan, WithoutItsName])
def test_another_version_of_the_mixer_is_refused_in_one_line(mixer):
    with pytest.raises(UnknownMixer, match="calls no mamba_selective_scan") as error:
        own_mixer(mixer)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"transformers {transformers.__version__}: MambaMixer.forward calls no mamba_")
    assert "scan: mamba_ssm" in str(error.value)


def test_the_mixer_of_the_installed_version_is_known():
    """Fails with the line above where transformers has changed it."""
    assert own_mixer(modeling_mamba.MambaMixer).__mro__[1] is modeling_mamba.MambaMixer


def test_another_scan_is_refused():
    with pytest.raises(ValueError, match=r"^scan: 'fast' is not one of own, mamba_ssm$"):
        use_scan(torch.nn.Identity(), "fast")


@pytest.mark.parametrize("activation", ["silu", "swish", None, "gelu"])
def test_the_convolution_is_torch_s(activation):
    rng = torch.Generator().manual_seed(0)
    values, weight, bias = (torch.randn(*shape, generator=rng) for shape in [(2, 3, 7), (3, 4), (3,)])
    plain = torch.nn.functional.conv1d(values, weight[:, None], bias, padding=3, groups=3)[..., :7]
    known = {"silu": torch.nn.functional.silu, "swish": torch.nn.functional.silu, "gelu": torch.nn.functional.gelu}
    expected = known.get(activation, torch.nn.Identity())(plain)
    torch.testing.assert_close(convolution(values, weight, bias, activation), expected, rtol=1e-5, atol=1e-5)
