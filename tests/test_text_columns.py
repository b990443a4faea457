import json
import subprocess
import sys

import pandas as pd
import pytest

from memorization.configuration import ConfigurationError
from memorization.text_columns import check_text_file, check_text_source

COMMIT = "0123456789" * 4


def refused(check, *arguments):
    with pytest.raises(ConfigurationError) as error:
        check(*arguments, "some.key")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("some.key")
    return str(error.value)


def written(folder, form):
    """A file of one row; of it no more is read than says its columns."""
    row, path = {"text": "a", "meta": {"set": "b", "of": {"it": 1}}, "copies": 2}, folder / f"some.{form}"
    if form == "jsonl":
        path.write_text(json.dumps(row) + "\nno JSON, but nobody reads that far\n")
    else:
        pd.DataFrame([row]).to_parquet(path)
    return str(path)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_columns_that_a_file_lacks_are_told_with_those_that_it_has(tmp_path, form):
    path = written(tmp_path, form)
    check_text_file(path, {"text": "text", "kind": "meta.set", "copies": None}, "key")
    check_text_file(path, {"kind": "meta.of.it"}, "key")
    for key, column in (("text", "body"), ("kind", "meta.sets"), ("kind", "text.set"), ("copies", "n")):
        message = refused(check_text_file, path, {"other": "text", key: column})
        assert message.startswith(f"some.key.{key}: {path} has no '{column}'; allowed: text, meta, meta.set, ")
        assert message.endswith("copies")


def test_columns_of_a_csv_file_are_those_of_its_header_whatever_comes_behind(tmp_path):
    path = tmp_path / "some.csv"
    path.write_text('text,"meta.set","of\ntwo, lines"\n"a row that does not end')
    check_text_file(path, {"text": "text", "kind": "meta.set", "other": "of\ntwo, lines"}, "key")
    path.write_text("text,kind\n")
    message = refused(check_text_file, path, {"text": "body"})
    assert message == f"some.key.text: {path} has no 'body'; allowed: text, kind"


def test_a_file_that_is_none_or_of_another_kind_is_refused(tmp_path):
    for name, content, why in (
        ("some.txt", "text", "is none of JSON Lines, CSV and Parquet; allowed: .jsonl, .csv, .parquet"),
        ("absent.jsonl", None, "there is no such file; allowed: a .jsonl, .csv or .parquet file"),
        ("no.jsonl", "text", "is no JSON ("),
        ("list.jsonl", "[1]", "is no JSON object"),
        ("empty.jsonl", "", "is no JSON ("),
        ("no.parquet", "text", "cannot be read as Parquet"),
        ("empty.csv", "", "has no lines; allowed: a first one that names the columns"),
        ("no.csv", '"text', "line 1 is no CSV in UTF-8 ("),
        ("twice.csv", "text,text\n", "its first line names 'text' twice"),
    ):
        if content is not None:
            (tmp_path / name).write_text(content)
        message = refused(check_text_file, tmp_path / name, {"text": "text"})
        assert message.startswith("some.key.path: "), name
        assert f"{tmp_path / name}" in message, name
        assert why in message, name


def test_texts_of_the_hub_need_a_commit_and_a_split():
    hub = {"path": None, "repository": f"someone/some@{COMMIT}", "config": None, "split": "train"}
    check_text_source(hub, "key")
    assert refused(check_text_source, hub | {"split": None}).startswith("some.key.split: missing")
    message = refused(check_text_source, hub | {"repository": "someone/some"})
    assert message.startswith("some.key.repository: 'someone/some'")
    assert "40 hexadecimal digits" in message


def test_texts_are_of_a_path_or_of_a_repository():
    check_text_source({"path": "some.csv"}, "key")
    hub = {"repository": f"someone/some@{COMMIT}", "split": "train"}
    for settings in ({}, {"path": None, "repository": None}, hub | {"path": "some.csv"}):
        assert refused(check_text_source, settings) == "some.key: allowed: either path or repository, the other null"


def test_reading_the_configuration_imports_neither_torch_nor_transformers_nor_tokenizers():
    program = "import sys, memorization.text_columns; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "transformers", "tokenizers", "datasets", "pyarrow"}.isdisjoint(loaded)
