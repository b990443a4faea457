import csv
import json
import subprocess
import sys
from itertools import islice

import datasets
import pandas as pd
import pytest

from memorization.data.text_rows import AT_ONCE, LONGEST, header_of, rows, source_of, value

COMMIT = "0123456789" * 4
ROWS = [
    {"text": 'a "quoted" word,\nand a line', "meta": {"set": "b", "of": {"it": 1}}, "copies": 2},
    {"text": "ä\r\n", "meta": {"set": "c", "of": {"it": 2}}, "copies": 0},
    {"text": None, "meta": {"set": "d", "of": {"it": 3}}, "copies": 1},
]


def jsonl(path, of=ROWS):
    path.write_text("".join(json.dumps(row) + "\n" for row in of), "utf-8")
    return str(path)


def of_file(path, *columns):
    return list(rows({"path": str(path)}, columns))


def test_a_json_lines_file_gives_its_rows_whole(tmp_path):
    path = tmp_path / "some.jsonl"
    jsonl(path)
    assert of_file(path, "text") == ROWS
    path.write_text(json.dumps(ROWS[0]) + "\n{'no': JSON}\n")
    with pytest.raises(ValueError, match=r"some\.jsonl: line 2 is no JSON \(") as error:
        of_file(path)
    assert "\n" not in str(error.value)


def test_a_parquet_file_gives_the_columns_that_are_asked_for_and_what_is_nested_in_them(tmp_path):
    path = tmp_path / "some.parquet"
    pd.DataFrame(ROWS).to_parquet(path)
    assert of_file(path, "text", "copies") == [{"text": row["text"], "copies": row["copies"]} for row in ROWS]
    found = of_file(path, "meta.of.it")
    assert found == [{"meta": {"of": row["meta"]["of"]}} for row in ROWS]
    assert [value(row, "meta.of.it", "here") for row in found] == [1, 2, 3]
    pd.DataFrame({"text": [str(n) for n in range(2 * AT_ONCE + 5)]}).to_parquet(path)
    assert [row["text"] for row in of_file(path, "text")] == [str(n) for n in range(2 * AT_ONCE + 5)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_csv_file_gives_text_by_the_names_of_its_header(tmp_path, end, mark):
    path = tmp_path / "some.csv"
    expected = [
        {"text": row["text"] or "", "meta.set": row["meta"]["set"], "copies": str(row["copies"])} for row in ROWS
    ]
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(mark)
        writer = csv.DictWriter(file, expected[0].keys(), lineterminator=end)
        writer.writeheader()
        writer.writerows(expected)
        file.write(end)  # no row
    assert header_of(path) == ["text", "meta.set", "copies"]
    assert of_file(path, "text") == expected
    assert [value(row, "meta.set", "here") for row in of_file(path)] == ["b", "c", "d"]
    path.write_text("text\n")
    assert of_file(path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('a,b\n"1\n\n2",3\n4\n', "line 5: fields: 1; allowed: as many as the header has, 2"),
        ("a,b\n1,2,3\n", "line 2: fields: 3; allowed: as many as the header has, 2"),
        ('a,b\n1,2\n\n"3,4\n5,6\n', "line 4 is no CSV in UTF-8 (unexpected end of data)"),
        ('a,b\n"1"2,3\n', "line 2 is no CSV in UTF-8 (',' expected after '\"')"),
        ("", "has no lines; allowed: a first one that names the columns"),
        ("\n\n", "has no lines; allowed: a first one that names the columns"),
        ("a,b,a\n1,2,3\n", "its first line names 'a' twice; allowed: each column once"),
    ],
)
def test_a_csv_file_that_is_malformed_is_one_line_that_says_where(tmp_path, content, message):
    path = tmp_path / "some.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"^[^\n]*$") as error:
        of_file(path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_a_csv_file_of_another_encoding_is_one_line(tmp_path):
    path = tmp_path / "some.csv"
    path.write_bytes("text\nä\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"some\.csv: line \d is no CSV in UTF-8 \('utf-8' codec [^\n]*$"):
        of_file(path)


def test_a_long_field_of_a_csv_file_is_read_and_the_limit_of_others_stays(tmp_path):
    path, before = tmp_path / "some.csv", csv.field_size_limit()
    path.write_text(f"text\n{'a' * (before + 1)}\nb\n")
    found = rows({"path": str(path)}, ["text"])
    assert len(next(found)["text"]) == before + 1 < LONGEST
    assert csv.field_size_limit() == before
    assert next(found) == {"text": "b"}
    path.write_text('text\n"a')
    with pytest.raises(ValueError, match="no CSV"):
        of_file(path)
    assert csv.field_size_limit() == before


def test_rows_are_read_when_they_are_asked_for(tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_text('{"text": "a"}\nno JSON\n')
    assert list(islice(rows({"path": str(path)}, ["text"]), 1)) == [{"text": "a"}]
    path = tmp_path / "some.csv"
    path.write_text("text\na\nb,c\n")
    assert list(islice(rows({"path": str(path)}, ["text"]), 1)) == [{"text": "a"}]


def test_a_value_is_of_a_column_or_of_what_is_nested_in_it():
    assert value({"a.b": 1, "a": {"b": 2}}, "a.b", "here") == 1
    assert value({"a": {"b": {"c": None}}}, "a.b.c", "here") is None
    for column in ("c", "a.c", "a.b.c"):
        with pytest.raises(ValueError, match=rf"^here: has no {column}; allowed: a, d, dots for nested ones$"):
            value({"a": {"b": 1}, "d": 2}, column, "here")


def test_a_source_is_called_as_its_file_or_as_the_hub_calls_it():
    assert source_of({"path": "folder/some.csv"}) == "some.csv"
    assert source_of({"path": None, "repository": f"someone/some@{COMMIT}"}) == "someone/some"


def test_the_hub_is_asked_for_one_commit_as_a_stream(tmp_path, monkeypatch):
    path, asked, real = jsonl(tmp_path / "hub.jsonl"), [], datasets.load_dataset
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "home")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)

    def load_dataset(*names, **options):
        asked.append((names, options))
        return real("json", data_files=path, split="train", streaming=True, revision=COMMIT)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    hub = {"repository": f"someone/some@{COMMIT}", "config": "ArXiv", "split": "train"}
    assert list(rows(hub, ["text"])) == ROWS
    assert asked == [(("someone/some", "ArXiv"), {"split": "train", "streaming": True, "revision": COMMIT})]
    with pytest.raises(ValueError, match="40 hexadecimal digits"):
        list(rows(hub | {"repository": "someone/some@main"}, ["text"]))


def test_what_the_hub_says_is_one_line(monkeypatch):
    def load_dataset(*_, **__):
        raise RuntimeError("BuilderConfig 'x' not found.\nAvailable: ['ArXiv']")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    hub = {"repository": f"someone/some@{COMMIT}", "config": "x", "split": "train"}
    with pytest.raises(
        ValueError, match=r"^someone/some@.*: cannot be read \(.* not found\. Available: \['ArXiv'\]\)$"
    ):
        list(rows(hub, ["text"]))


def test_reading_the_configuration_imports_none_of_the_libraries_that_read():
    program = "import sys, memorization.data.text_rows; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "datasets", "pyarrow"}.isdisjoint(loaded)
