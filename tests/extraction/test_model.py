import json

import numpy as np
import pytest
import torch
from extraction_models import SHAPE, tiny
from tokenizers import Tokenizer, models, pre_tokenizers

from memorization.extraction.model import opened
from memorization.extraction.windows import as_arrays
from memorization.text_learner import write_model
from memorization.training.checkpoints import write_tensors

VOCABULARY = 40
TOKENS = torch.arange(24).reshape(2, 12)
BOTH = pytest.mark.parametrize("architecture", ["neox", "mamba"])


def words(first="w0"):
    names = [first, *(f"w{n}" for n in range(1, VOCABULARY))]
    tokenizer = Tokenizer(models.WordLevel({name: n for n, name in enumerate(names)}, unk_token=first))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer.to_str()


def windows(tokenizer=None):
    return as_arrays(np.zeros((1, 4), np.int32), tokenizer or words(), VOCABULARY)


def elsewhere(folder, architecture):
    """A model in a folder, and its settings."""
    model = tiny(architecture).model
    paths = {"config": str(folder / "config.json"), "tokenizer": str(folder / "tokenizer.json")}
    write_model(model, words(), paths, {})
    write_tensors(folder / "model.safetensors", model.state_dict(), {})
    return model, {"model": str(folder), "dataset": "mine", "architecture": architecture, "dtype": "float32"}


@BOTH
def test_a_model_that_is_trained_here_has_its_shape_and_the_tensors_given(architecture):
    condition = SHAPE | {"architecture": architecture}
    trained = tiny(architecture)
    with torch.no_grad():
        for parameter in trained.model.parameters():
            parameter += 0.1
    found = opened(condition, [trained.model.state_dict()], windows(), "cpu")
    assert found.vocabulary == VOCABULARY
    assert not found.model.training
    assert torch.equal(found.logits(TOKENS), trained.logits(TOKENS))
    assert not torch.equal(found.logits(TOKENS), tiny(architecture).logits(TOKENS))


def test_tensors_of_another_shape_are_refused():
    with pytest.raises(RuntimeError, match="size mismatch"):
        opened(SHAPE | {"architecture": "neox", "d_model": 32}, [tiny("neox").model.state_dict()], windows(), "cpu")


@BOTH
def test_a_model_from_elsewhere_is_opened_with_the_type_of_the_condition_or_another(tmp_path, architecture):
    model, condition = elsewhere(tmp_path, architecture)
    found = opened(condition, [], windows(), "cpu")
    with torch.no_grad():
        torch.testing.assert_close(found.logits(TOKENS), model(TOKENS, use_cache=False).logits, rtol=0, atol=1e-4)
    kinds = {}
    for own, asked in (("float32", None), ("bfloat16", None), ("bfloat16", "float32")):
        opening = opened(condition | {"dtype": own}, [], windows(), "cpu", asked)
        kinds[own, asked] = next(opening.model.parameters()).dtype
    assert list(kinds.values()) == [torch.float32, torch.bfloat16, torch.float32]


def test_a_tokenizer_that_gives_other_ids_than_the_windows_is_refused(tmp_path):
    _, condition = elsewhere(tmp_path, "neox")
    with pytest.raises(ValueError, match=r"gives other ids than the one of the data set mine; allowed: ") as error:
        opened(condition, [], windows(words("another")), "cpu")
    assert str(error.value).startswith(f"{tmp_path}: its tokenizer ")
    assert "\n" not in str(error.value)


def test_a_model_of_another_architecture_is_refused(tmp_path):
    _, condition = elsewhere(tmp_path, "neox")
    with pytest.raises(ValueError, match=r": is of the architecture neox, not of mamba$"):
        opened(condition | {"architecture": "mamba"}, [], windows(), "cpu")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "llama"}))
    with pytest.raises(ValueError, match=r": is of the architecture llama, not of neox$"):
        opened(condition, [], windows(), "cpu")
