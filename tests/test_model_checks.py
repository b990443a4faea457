"""What is checked of models from elsewhere alike in all families that take them."""

import pytest
from refusals import model_folder, refusal, smoke

from memorization.configuration import merged
from memorization.families import FAMILIES, complete, configured
from memorization.model_family import ModelFamily

NAMES = [family.name for family in FAMILIES if issubclass(family, ModelFamily)]
TEXTS = {"name": "mine", "kind": "texts", "repository": f"someone/some@{'0123456789' * 4}"}
ALL = pytest.mark.parametrize("family", NAMES)


def with_models(family: str, *models: str) -> dict:
    """A family's section with models in folders, on texts of one data set."""
    pretrained = [{"name": f"model{n}", "model": model, "dataset": "mine"} for n, model in enumerate(models)]
    return {family: {"datasets": [*smoke()[family]["datasets"], TEXTS], "pretrained": pretrained}}


def test_there_are_such_families():
    assert NAMES


@ALL
@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("config.json", None, "model/config.json: there is no such file; allowed: a folder with config.json, "),
        ("tokenizer.json", None, "model/tokenizer.json: there is no such file; allowed: a folder with config.json, "),
        ("model.safetensors", None, "model/model.safetensors: there is no such file; allowed: a folder with config.js"),
        ("config.json", "no JSON", "model/config.json is no JSON ("),
        ("config.json", '{"vocab_size": 1}', "model: tokenizer.json has 2 ids, and config.json a vocab_size of 1"),
    ],
)
def test_a_folder_that_is_no_model_is_one_line(tmp_path, family, file, text, message):
    path = model_folder(tmp_path / "model")
    if text is None:
        (tmp_path / "model" / file).unlink()
    else:
        (tmp_path / "model" / file).write_text(text)
    found = refusal(with_models(family, path))
    assert found.startswith(f"{family}.pretrained[model0].model: {tmp_path}/{message}")


@ALL
def test_a_folder_whose_tokenizer_is_not_its_data_set_s_is_one_line(tmp_path, family):
    """The data set's own is that of the first model."""
    one, other, same = (
        model_folder(tmp_path / name, words) for name, words in (("one", "ab"), ("b", "ba"), ("c", "ab"))
    )
    assert refusal(with_models(family, one, other)) == (
        f"{family}.pretrained[model1].model: its tokenizer gives other ids than {one}, that of the data set mine; "
        "allowed: models of one tokenizer, or a data set of its own"
    )
    configured(complete(merged(smoke(), with_models(family, one, same))))
