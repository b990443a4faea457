"""What holds for the data sets of all kinds."""

import json
import subprocess
import sys

import datasets
import pandas as pd
import pyarrow.parquet as pq
import pytest

from memorization.configuration import ConfigurationError
from memorization.files import read_made_by, read_table, write_table
from memorization.memory_layer.data import kinds
from memorization.memory_layer.data.examples import COLUMNS, check_disjoint, examples, held_out, huggingface
from memorization.provenance import generator

CHAINS = {"num_samples": 9, "eval_samples": 2, "n_chains": 3, "n_queries": 2, "hops": [1, 2], "hash_length": 5}
CHAINS |= {"alphabet": "hex", "hashes": "digest", "chain_of_thought": True, "context": True, "labels": "chain"}
SETTINGS = {
    "synthetic_qa": {"num_pairs": 40, "template": "question", "val": 0.1, "test": 0.1},
    "digit_lookup": {"size": 30, "new": 4, "novel": 5, "copies": 2},
    "two_hop": {"num_chains": 10, "known": 0.5, "chain_of_thought": True, "name_length": 4, "n_prefixes": 0},
    "hash_hop": CHAINS,
    "word_problems": {"count": 20, "val": 0.2, "max_length": 400},
}
TASK = {
    "synthetic_qa": {"key": "large_string", "answer": "large_string"},
    "digit_lookup": {"key": "large_string", "answer": "large_string"},
    "two_hop": {"kind": "large_string", "chain": "int64", "answer": "large_string"},
    "hash_hop": {
        "kind": "large_string",
        "hops": "int64",
        "chain_of_thought": "bool",
        "difficulty": "large_string",
        "sample": "int64",
        "exact_chance": "float64",
    },
    "word_problems": {"template": "large_string", "steps": "int64"},
}
TWO = {"text": ["a:b ", "c:d "], "answer_start": [2, 2], "answer_end": [3, 3], "split": ["train", "val"]}
TWO |= {"item": ["a", "c"], "copies": [1, 0], "bucket": 1, "chance": 0.5, "prior_bits": 1.0}


@pytest.fixture(scope="module", params=SETTINGS)
def kind(request):
    return request.param


def made(kind, seed=0):
    settings = SETTINGS[kind] | {"kind": kind}
    kinds.check(settings, "data")
    return kinds.make(settings, generator("test", seed, "examples"))


def written(kind, path):
    table = made(kind)
    write_table(str(path), table, {"rule": "test"}, huggingface=huggingface(table))
    return table


def test_every_kind_opens_as_a_dataset(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "home")  # nothing below the user's HF_HOME
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    table = written(kind, tmp_path / "x.parquet")
    opened = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "x.parquet"), cache_dir=str(tmp_path / "cache"), split="train"
    )
    plain = {name: {"str": "large_string"}.get(dtype, dtype) for name, dtype in COLUMNS.items()}
    assert {name: feature.dtype for name, feature in opened.features.items()} == plain | TASK[kind]
    assert opened.num_rows == len(table)
    row, expected = opened[3], table.iloc[3]
    assert row["text"] == expected["text"]
    assert row["text"][row["answer_start"] : row["answer_end"]].strip()
    assert row["item"] == expected["item"]


def test_the_features_that_the_file_tells_are_those_that_datasets_would_write(kind, tmp_path):
    table = written(kind, tmp_path / "x.parquet")
    told = json.loads(pq.read_schema(tmp_path / "x.parquet").metadata[b"huggingface"])
    features = datasets.Features.from_dict(told["info"]["features"])
    assert features.arrow_schema.remove_metadata() == pq.read_schema(tmp_path / "x.parquet").remove_metadata()
    pd.testing.assert_frame_equal(read_table(str(tmp_path / "x.parquet")), table)
    assert read_made_by(tmp_path / "x.parquet")["rule"] == "test"


def test_the_same_stream_gives_the_same_bytes(kind, tmp_path):
    for name in ("one", "two"):
        written(kind, tmp_path / f"{name}.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert not made(kind, seed=1)["text"].equals(made(kind)["text"])


def test_all_have_the_same_columns(kind):
    table = made(kind)
    assert {name: str(dtype) for name, dtype in table.dtypes.items() if name in COLUMNS} == COLUMNS
    assert list(table)[: len(COLUMNS)] == list(COLUMNS)
    assert {"train"} < set(table["split"])
    assert (table.groupby("split")["copies"].max() > 0)["train"]
    assert set("".join(table["text"])) <= set(kinds.characters(SETTINGS[kind] | {"kind": kind}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer_end": [3, 5]}, "'c:d ': no answer at characters 2 to 5"),
        ({"answer_end": [2, 3]}, "'a:b ': no answer at characters 2 to 2"),
        ({"answer_start": [-1, 2]}, "'a:b ': no answer at characters -1 to 3"),
        ({"item": "a", "split": "train"}, "train: 'a' stands there twice; allowed: each item once"),
        ({"item": "a"}, "examples: 1 in training are held out too, such as 'a'; allowed: sets that share none"),
    ],
)
def test_examples_that_cannot_be_are_refused(change, message):
    assert len(examples(TWO)) == 2
    with pytest.raises(ValueError, match="^" + message):
        examples(TWO | change)


def test_overlapping_sets_are_one_line():
    check_disjoint(["a", "b"], ["c"], "data")
    with pytest.raises(ValueError, match="data") as error:
        check_disjoint(["a", "b", "c"], ["c", "b"], "data")
    assert str(error.value) == ("data: 2 in training are held out too, such as 'b'; allowed: sets that share none")


def test_a_share_holds_out_one_at_least():
    assert [held_out(10, share) for share in (0, 0.001, 0.26, 1)] == [0, 1, 3, 10]


def test_an_unknown_kind_is_refused():
    with pytest.raises(ConfigurationError, match=r"^data\.kind: 'music' is not allowed; allowed: synthetic_qa, "):
        kinds.check({"kind": "music"}, "data")


def test_the_configuration_is_checked_without_heavy_libraries():
    code = "import sys; from memorization.memory_layer.data import kinds; print(*sys.modules)"
    environment = {"PYTHONPATH": str(next(path for path in sys.path if path.endswith("/src")))}
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert not {"torch", "pandas", "transformers", "pyarrow"} & set(found.stdout.split())
    assert "numpy" in found.stdout.split()
