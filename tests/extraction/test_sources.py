import json
import subprocess
import sys
from hashlib import sha256

import pandas as pd
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer

from memorization.configuration import ConfigurationError
from memorization.extraction.pile import PILE
from memorization.extraction.sources import (
    check_model,
    check_texts,
    check_tokenizer,
    contents,
    same_tokenizer,
)

COMMIT = "0123456789" * 4
PLAIN = {
    "path": None,
    "repository": None,
    "config": None,
    "split": None,
    "text": "text",
    "tokens": None,
    "data_type": None,
}
PLAIN |= {"data_types": None, "copies": None}


def byte_pairs(size=270, texts=("the cat sat on the mat",)):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=size, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False)
    tokenizer.train_from_iterator(texts * 4, trainer)
    return tokenizer


def model(folder, tokenizer=None, vocab_size=320):
    """A folder as a model's, with nothing in its weights."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "mamba", "vocab_size": vocab_size}))
    (folder / "model.safetensors").write_bytes(b"weights")
    (tokenizer or byte_pairs()).save(str(folder / "tokenizer.json"))
    return folder


def refused(check, *arguments):
    with pytest.raises(ConfigurationError, match=r"^some\.key") as error:
        check(*arguments, "some.key")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("some.key")
    return str(error.value)


def test_a_folder_with_all_that_a_model_has_and_a_name_with_a_commit_pass(tmp_path):
    folder = model(tmp_path / "model")
    check_model(str(folder), "key")
    check_tokenizer(str(folder), "key")
    for name in (f"someone/some@{COMMIT}", f"gpt2@{COMMIT}"):
        check_model(name, "key")
        check_tokenizer(name, "key")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "part.safetensors"}}))
    (folder / "part.safetensors").write_bytes(b"weights")
    check_model(str(folder), "key")


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_file_that_a_model_lacks_is_named(tmp_path, file):
    folder = model(tmp_path / "model")
    (folder / file).unlink()
    message = refused(check_model, str(folder))
    assert message.startswith(f"some.key: {folder / file}: there is no such file; allowed: a folder with config.json, ")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    assert refused(check_model, str(folder)) == message


def test_a_part_of_weights_that_is_missing_and_a_file_that_is_no_json_are_named(tmp_path):
    folder = model(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "part.safetensors"}}))
    assert refused(check_model, str(folder)).startswith(f"some.key: {folder / 'part.safetensors'}: there is no such")
    (folder / "config.json").write_text("no JSON")
    assert "config.json is no JSON" in refused(check_model, str(folder))
    (folder / "config.json").write_text("[]")
    assert "config.json is no JSON object" in refused(check_model, str(folder))


@pytest.mark.parametrize("name", ["absent", "someone/some", "someone/some@main", f"/absent@{COMMIT}", f"@{COMMIT}"])
def test_what_is_neither_a_folder_nor_a_commit_of_the_hub_is_refused(name):
    message = refused(check_model, name)
    assert message.startswith(f"some.key: '{name}'")
    assert "name@commit of the hub, the commit 40 hexadecimal digits" in message


def test_a_tokenizer_with_more_ids_than_embeddings_is_told_with_both_numbers(tmp_path):
    tokenizer = byte_pairs()
    size = tokenizer.get_vocab_size()
    check_tokenizer(str(model(tmp_path / "model", tokenizer, size)), "key")
    message = refused(check_tokenizer, str(model(tmp_path / "model", tokenizer, size - 1)))
    assert f"tokenizer.json has {size} ids, and config.json a vocab_size of {size - 1}; allowed" in message
    tokenizer.add_tokens(["<added>"])
    assert f"has {size + 1} ids" in refused(check_tokenizer, str(model(tmp_path / "model", tokenizer, size)))


def test_tokenizers_are_the_same_where_texts_get_the_same_ids(tmp_path):
    first = model(tmp_path / "first")
    assert same_tokenizer(first, model(tmp_path / "second"), "some.key")
    written = json.loads((first / "tokenizer.json").read_text())
    written["model"]["merges"] = [" ".join(pair) for pair in written["model"]["merges"]]  # as older versions write them
    written["pre_tokenizer"]["trim_offsets"] = not written["pre_tokenizer"]["trim_offsets"]
    written["version"] = "1.0"
    written["model"] |= {"continuing_subword_prefix": "", "end_of_word_suffix": ""}  # as others write none
    (first / "tokenizer.json").write_text(json.dumps(written, indent=7))
    assert same_tokenizer(first, tmp_path / "second", "some.key")
    fewer, normal, added, split, whole = byte_pairs(265), *(byte_pairs() for _ in range(4))
    normal.normalizer = normalizers.Lowercase()
    split.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    added.add_tokens([AddedToken("<added>")])
    whole.model.ignore_merges = True
    for other in (fewer, byte_pairs(texts=("a dog and a log",)), normal, added, split, whole):
        assert not same_tokenizer(first, model(tmp_path / "other", other), "some.key")


def test_an_unknown_token_of_id_0_is_not_none(tmp_path):
    with_unknown, without = (Tokenizer(models.Unigram([("a", -1.0), ("b", -2.0)], unknown)) for unknown in (0, None))
    assert not same_tokenizer(model(tmp_path / "one", with_unknown), model(tmp_path / "other", without), "some.key")


def test_contents_are_those_of_the_files_that_are_read(tmp_path):
    folder = model(tmp_path / "model")
    (folder / "README.md").write_text("not read")
    found = contents(str(folder))
    assert sorted(found) == [str(folder / name) for name in ("config.json", "model.safetensors", "tokenizer.json")]
    weights = folder / "model.safetensors"
    assert found[str(weights)] == sha256(b"weights").hexdigest()
    weights.write_bytes(b"others")
    changed = contents(folder)
    assert {path for path in found if found[path] != changed[path]} == {str(weights)}
    assert list(contents(weights)) == [str(weights)]
    assert contents(f"someone/some@{COMMIT}") == {}


def written(tmp_path, form):
    rows = [{"text": "a", "meta": {"set": "b", "of": {"it": 1}}, "copies": 2}]
    path = tmp_path / f"some.{form}"
    if form == "jsonl":
        path.write_text(json.dumps(rows[0]) + "\nno JSON, but nobody reads that far\n")
    else:
        pd.DataFrame(rows).to_parquet(path)
    return str(path)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_columns_that_a_file_lacks_are_told_with_those_that_it_has(tmp_path, form):
    path = written(tmp_path, form)
    check_texts(PLAIN | {"path": path, "data_type": "meta.set", "copies": "copies"}, "key")
    check_texts(PLAIN | {"path": path, "data_type": "meta.of.it"}, "key")
    for key, column in (("text", "body"), ("data_type", "meta.sets"), ("data_type", "text.set"), ("copies", "n")):
        message = refused(check_texts, PLAIN | {"path": path, key: column})
        assert message.startswith(f"some.key.{key}: {path} has no '{column}'; allowed: text, meta, ")
        assert message.endswith("copies")


def test_a_file_that_is_none_or_of_another_kind_is_refused(tmp_path):
    (tmp_path / "some.csv").write_text("text\na\n")
    for name, why in (
        ("some.csv", "is neither JSON Lines nor Parquet; allowed: .jsonl, .parquet"),
        ("absent.jsonl", "there is no such file"),
        ("no.jsonl", "is no JSON ("),
        ("list.jsonl", "is no JSON object"),
        ("empty.jsonl", "is no JSON ("),
        ("no.parquet", "cannot be read as Parquet"),
    ):
        if not name.startswith(("some", "absent")):
            (tmp_path / name).write_text({"no": "text", "list": "[1]", "empty": ""}[name.split(".")[0]])
        assert why in refused(check_texts, PLAIN | {"path": str(tmp_path / name)}), name


def test_texts_of_the_hub_need_a_commit_and_a_split():
    hub = PLAIN | {"repository": f"someone/some@{COMMIT}", "split": "train"}
    check_texts(hub, "key")
    assert refused(check_texts, hub | {"split": None}).startswith("some.key.split: missing")
    assert "40 hexadecimal digits" in refused(check_texts, hub | {"repository": "someone/some"})


def test_settings_that_cannot_go_together_are_refused(tmp_path):
    path = written(tmp_path, "jsonl")
    for settings, why in (
        ({}, "either path or repository"),
        ({"path": path, "repository": f"someone/some@{COMMIT}"}, "either path or repository"),
        ({"path": path, "tokens": "copies"}, "either text or tokens"),
        ({"path": path, "text": None}, "either text or tokens"),
        ({"path": path, "data_types": ["code"]}, "needs data_type"),
    ):
        assert why in refused(check_texts, PLAIN | settings)


def test_a_subset_that_the_pile_has_not_is_told_with_those_that_it_has():
    pile = PLAIN | {"repository": f"someone/pile@{COMMIT}", "split": "train", "data_type": "meta.pile_set_name"}
    check_texts(pile | {"data_types": list(PILE)}, "key")
    message = refused(check_texts, pile | {"data_types": ["ArXiv", "Arxiv"]})
    assert message == f"some.key.data_types: 'Arxiv' is not of the Pile; known: {', '.join(PILE)}"


def test_reading_the_configuration_imports_neither_torch_nor_transformers_nor_tokenizers():
    program = "import sys, memorization.extraction.sources; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "transformers", "tokenizers", "datasets", "pyarrow"}.isdisjoint(loaded)


def test_a_file_that_is_no_tokenizer_is_one_line_that_names_it(tmp_path):
    first, second = model(tmp_path / "first"), model(tmp_path / "second")
    (second / "tokenizer.json").write_text('{"model": {}}')
    assert f"{second}/tokenizer.json cannot be read as a tokenizer" in refused(same_tokenizer, first, second)
