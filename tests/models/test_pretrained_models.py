import json

import huggingface_hub
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
)

from memorization.models.pretrained_models import architecture, load, n_ids, tokenizer_of

COMMIT = "0123456789" * 4
PADDED = 320  # embeddings; the tokenizer has fewer ids
SMALL = {"vocab_size": PADDED, "hidden_size": 16, "tie_word_embeddings": False}
HEADS = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64}
KINDS = {
    "neox": (GPTNeoXForCausalLM, lambda: GPTNeoXConfig(**SMALL, **HEADS)),
    "mamba": (MambaForCausalLM, lambda: MambaConfig(**SMALL, num_hidden_layers=1, state_size=4)),
    "llama": (LlamaForCausalLM, lambda: LlamaConfig(**SMALL, **HEADS)),
}


def byte_pairs(added="<|last|>"):
    """A tokenizer of 257 bytes and pairs, and one token that is added behind them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=270, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False)
    tokenizer.train_from_iterator(["the cat sat on the mat, the other cat on the other mat"] * 4, trainer)
    tokenizer.add_tokens([AddedToken(added, normalized=False)])
    return tokenizer


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A model of each kind, as ``save_pretrained`` writes it, with one tokenizer."""
    folder = tmp_path_factory.mktemp("models")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, (kind, config) in KINDS.items():
            kind(config()).save_pretrained(folder / name)
            byte_pairs().save(str(folder / name / "tokenizer.json"))
    return folder


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """The cache of the hub's library, and nothing to ask beyond it."""
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return cache


def cached(cache, folder):
    """A model as the hub's library leaves what it has fetched."""
    snapshot = cache / f"models--someone--some/snapshots/{COMMIT}"
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(folder)
    return f"someone/some@{COMMIT}"


def change(folder, file, **values):
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_comes_back_with_its_logits_less_those_of_padded_ids(folders, kind):
    tokens = torch.arange(12).reshape(2, 6)
    found = load(str(folders / kind), "cpu", "float32")
    plain = KINDS[kind][0].from_pretrained(folders / kind, revision=COMMIT).eval()
    with torch.no_grad():
        expected = plain(tokens, use_cache=False).logits
    assert expected.shape[-1] == PADDED
    assert found.vocabulary == byte_pairs().get_vocab_size() == 271
    torch.testing.assert_close(found.model.state_dict(), plain.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(found.logits(tokens), expected[..., :271], rtol=0, atol=1e-6)  # Mamba by our scan
    assert not found.model.training
    assert architecture(str(folders / kind)) == kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_the_hub_by_its_name_and_commit(folders, offline, kind):
    name = cached(offline, folders / kind)
    tokens = torch.arange(12).reshape(2, 6)
    expected = load(str(folders / kind), "cpu", "float32").logits(tokens)
    torch.testing.assert_close(load(name, "cpu", "float32").logits(tokens), expected, rtol=0, atol=0)
    assert architecture(name) == kind
    assert tokenizer_of(name).encode("the cat").ids == byte_pairs().encode("the cat").ids


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_that_of_the_weights_and_its_logits_are_still_float32(folders, kind):
    tokens = torch.arange(6)[None]
    single = load(str(folders / kind), "cpu", "float32").logits(tokens)
    half = load(str(folders / kind), "cpu", "bfloat16")
    assert half.model.get_input_embeddings().weight.dtype == torch.bfloat16
    assert half.logits(tokens).dtype == torch.float32
    torch.testing.assert_close(half.logits(tokens), single, rtol=0, atol=0.05)
    assert not torch.equal(half.logits(tokens), single)


def test_ids_are_counted_up_to_the_largest_of_added_tokens_too():
    assert n_ids(byte_pairs()) == byte_pairs().token_to_id("<|last|>") + 1 == 271
    assert n_ids(Tokenizer(models.WordLevel({"a": 0, "b": 9}, unk_token="a"))) == 10


def test_a_tokenizer_neither_pads_nor_cuts_off(tmp_path):
    tokenizer = byte_pairs()
    tokenizer.enable_padding(length=8)
    tokenizer.enable_truncation(2)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    found = tokenizer_of(str(tmp_path))
    assert [len(each.ids) for each in found.encode_batch(["q", "qqqq"])] == [1, 4]


def broken(folders, tmp_path, kind="neox"):
    """A copy of a model to do harm to."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in (folders / kind).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def refused(name, dtype="float32"):
    with pytest.raises(ValueError, match=r"\w") as error:
        load(str(name), "cpu", dtype)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_weights_that_are_a_pickle_alone_are_not_read(folders, tmp_path):
    folder = broken(folders, tmp_path)
    model = load(str(folder), "cpu", "float32").model
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    message = refused(folder)
    assert message.startswith(f"{folder}: cannot be loaded (")
    assert "model.safetensors" in message


def test_weights_that_are_missing_or_of_another_shape_are_refused_rather_than_drawn(folders, tmp_path):
    folder = broken(folders, tmp_path)
    change(folder, "config.json", num_hidden_layers=3)
    assert "weights are not those of its config.json; one is gpt_neox.layers.2." in refused(folder)
    change(folder, "config.json", num_hidden_layers=2, intermediate_size=64)
    assert str(folder) in refused(folder)


def test_a_tokenizer_with_more_ids_than_embeddings_is_refused(folders, tmp_path):
    folder = broken(folders, tmp_path)
    tokenizer = byte_pairs()
    tokenizer.add_tokens([f"<{n}>" for n in range(PADDED)])
    tokenizer.save(str(folder / "tokenizer.json"))
    assert refused(folder) == f"{folder}: its tokenizer has {271 + PADDED} ids, but the model {PADDED} embeddings"


def test_what_is_not_there_or_not_readable_is_one_line(folders, tmp_path, offline):
    assert "40 hexadecimal digits" in refused(tmp_path / "absent")
    assert "40 hexadecimal digits" in refused("someone/some@main")
    assert "the hub gives no tokenizer.json" in refused(f"someone/some@{COMMIT}")
    assert refused(folders / "neox", "int8") == "dtype: 'int8' is not one of float32, bfloat16, float16"
    folder = broken(folders, tmp_path)
    change(folder, "config.json", model_type="unheard_of")
    assert "cannot be loaded" in refused(folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"config\.json: has no model_type"):
        architecture(str(folder))
    (folder / "tokenizer.json").write_text("no tokenizer")
    assert "cannot be read as a tokenizer" in refused(folder)
    (folder / "tokenizer.json").unlink()
    assert refused(folder) == f"{folder}: has no tokenizer.json"
