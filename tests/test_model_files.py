import json
import subprocess
import sys
from hashlib import sha256

import pytest
from tokenizers import Tokenizer, models

from memorization.configuration import ConfigurationError
from memorization.model_files import (
    architecture_of,
    check_hub,
    check_model,
    check_tokenizer,
    check_tokenizer_file,
    contents,
    max_length_of,
    same_tokenizer,
)

COMMIT = "0123456789" * 4


def words(n=300, first="w0"):
    """One token a word."""
    names = [first, *(f"w{n}" for n in range(1, n))]
    return Tokenizer(models.WordLevel({name: n for n, name in enumerate(names)}, unk_token=first))


def model(folder, tokenizer=None, vocab_size=320):
    """A folder as a model's, with nothing in its weights."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "mamba", "vocab_size": vocab_size}))
    (folder / "model.safetensors").write_bytes(b"weights")
    (tokenizer or words()).save(str(folder / "tokenizer.json"))
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


def test_a_name_of_the_hub_is_told_what_else_it_may_be():
    check_hub(f"someone/some@{COMMIT}", "key", "anything")
    for name in ("absent", "someone/some@main", f"/absent@{COMMIT}", f"some/one/some@{COMMIT}", f"@{COMMIT}"):
        with pytest.raises(ConfigurationError, match=r"^some\.key: .*allowed: this$"):
            check_hub(name, "some.key", "this")


def test_a_tokenizer_alone_needs_its_file_or_a_commit(tmp_path):
    (tmp_path / "tokenizer.json").write_text(words().to_str())
    check_tokenizer_file(str(tmp_path), "key")
    check_tokenizer_file(f"someone/some@{COMMIT}", "key")
    assert "; allowed: a folder with tokenizer.json, or name@commit" in refused(check_tokenizer_file, "absent")
    (tmp_path / "tokenizer.json").unlink()
    assert f"{tmp_path / 'tokenizer.json'}: there is no such file" in refused(check_tokenizer_file, str(tmp_path))


def test_what_a_folder_says_of_its_model(tmp_path):
    for settings, architecture, longest in (
        ({"model_type": "gpt_neox", "max_position_embeddings": 8}, "neox", 8),
        ({"model_type": "mamba", "max_position_embeddings": 8}, "mamba", None),
        ({"model_type": "llama"}, "llama", None),
        ([], None, None),
    ):
        (tmp_path / "config.json").write_text(json.dumps(settings))
        assert architecture_of(str(tmp_path)) == architecture
        assert max_length_of(str(tmp_path)) == longest
    assert architecture_of(f"someone/some@{COMMIT}") is None


def test_a_tokenizer_with_more_ids_than_embeddings_is_told_with_both_numbers(tmp_path):
    tokenizer = words()
    size = tokenizer.get_vocab_size()
    check_tokenizer(str(model(tmp_path / "model", tokenizer, size)), "key")
    message = refused(check_tokenizer, str(model(tmp_path / "model", tokenizer, size - 1)))
    assert f"tokenizer.json has {size} ids, and config.json a vocab_size of {size - 1}; allowed" in message
    tokenizer.add_tokens(["<added>"])
    assert f"has {size + 1} ids" in refused(check_tokenizer, str(model(tmp_path / "model", tokenizer, size)))


def test_tokenizers_of_two_folders_are_compared(tmp_path):
    first, second = model(tmp_path / "first"), model(tmp_path / "second")
    assert same_tokenizer(str(first), first, "some.key")
    assert same_tokenizer(first, second, "some.key")
    (second / "tokenizer.json").write_text(json.dumps(json.loads((second / "tokenizer.json").read_text()), indent=7))
    assert same_tokenizer(first, second, "some.key")
    assert not same_tokenizer(first, model(tmp_path / "other", words(first="x")), "some.key")


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


def test_a_file_that_is_no_tokenizer_is_one_line_that_names_it(tmp_path):
    first, second = model(tmp_path / "first"), model(tmp_path / "second")
    (second / "tokenizer.json").write_text('{"model": {}}')
    assert f"{second}/tokenizer.json cannot be read as a tokenizer" in refused(same_tokenizer, first, second)


def test_reading_the_configuration_imports_neither_torch_nor_transformers_nor_tokenizers():
    program = "import sys, memorization.model_files; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "transformers", "tokenizers", "datasets", "pyarrow"}.isdisjoint(loaded)
