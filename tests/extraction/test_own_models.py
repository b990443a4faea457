"""Models and texts of one's own: five lines of configuration, and the family's tables and figures."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from command_line import ROOT, snakemake
from tokenizers import Tokenizer

from memorization.configuration import ConfigurationError
from memorization.data.byte_pairs import train_byte_pairs
from memorization.extraction.source_format import COLUMNS as OF_SOURCE
from memorization.families import complete, configured
from memorization.models.language_model import build
from memorization.provenance import generator

OVERLAY = """
extraction:
  datasets: [{name: mine, kind: texts, path: texts.jsonl, per_type: 40}]
  conditions: []
  pretrained: [{name: mine, model: model, dataset: mine}, {name: other, model: mamba, dataset: mine, pair: mine}]
"""
SHAPE = {
    "n_layers": 1, "d_model": 16, "n_heads": 2, "rotary_share": 0.25, "state_size": 4, "max_length": 64,
    "init_std": 0.2, "scan": "own",
}  # fmt: skip
N, VOCABULARY = 40, 280
FIGURES = ("prefix", "size", "data_type", "difference")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two models as ``save_pretrained`` writes them, their tokenizer, and texts.

    The embeddings are padded; by the models' own settings, generation ends early and what was said is less likely.
    """
    folder, words = tmp_path_factory.mktemp("mine"), ["AMBER", "birch", "CORAL", "delta", "EMBER", "grüße", "日本"]
    texts = []
    for n in range(N):
        rng = generator("test", n, "text")
        texts.append(" ".join(f"{words[rng.integers(7)]} {rng.integers(10**6)}" for _ in range(12 + n % 5)))
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    tokenizer = train_byte_pairs(texts, VOCABULARY)
    for name, architecture in (("model", "neox"), ("mamba", "mamba")):
        model = build(SHAPE | {"architecture": architecture}, VOCABULARY + 8)
        model.generation_config.repetition_penalty, model.generation_config.eos_token_id = 1.3, list(range(100))
        model.save_pretrained(folder / name)
        (folder / name / "tokenizer.json").write_text(tokenizer, "utf-8")
    (folder / "mine.yaml").write_text(OVERLAY)
    return folder


@pytest.fixture(scope="module")
def made(folder):
    """The folder once the family is made in it by one command."""
    snakemake(
        *("--cores", "2", "extraction", "--configfile", str(folder / "mine.yaml"), "--config", "device=cpu"),
        *("--directory", str(folder)),
        root=ROOT,
    )
    return folder


def of_run(made, name):
    return made / f"results/extraction/evaluations/{name}/seed0"


@pytest.mark.parametrize(("name", "architecture"), [("mine", "neox"), ("other", "mamba")])
def test_a_model_of_one_s_own_is_attacked_with_one_s_own_texts(made, name, architecture):
    texts = [json.loads(line)["text"] for line in (made / "texts.jsonl").read_text("utf-8").splitlines()]
    prompts = pd.read_parquet(of_run(made, name) / "prompts.parquet")
    assert len(prompts) == N * 12
    about = prompts[["architecture", "model", "seed", "role", "data_type", "copies", "scheme"]].drop_duplicates()
    assert about.to_numpy().tolist() == [[architecture, name, 0, "text", "text", -1, "uniform"]]
    (revision,) = set(prompts["revision"])  # a digest of the folder
    assert len(revision) == 12
    windows = pd.read_parquet(made / "results/extraction/datasets/mine/windows.parquet")
    for row in windows.itertuples():
        assert row.text.strip("\ufffd") in texts[int(row.document.rpartition(":")[2])]
    assert (prompts["continuation"] != "").all()
    assert prompts["exact"].mean() < 0.2  # it has never seen them
    scores = pd.read_parquet(of_run(made, name) / "scores.parquet")
    assert scores["nll"].between(0.8 * np.log(VOCABULARY), 3 * np.log(VOCABULARY)).mean() > 0.9
    assert scores["small_large_ratio"].isna().all()
    lower = Tokenizer.from_file(str(made / "model/tokenizer.json")).encode_batch(windows["text"].str.lower().tolist())
    assert max(len(text.ids) for text in lower) > SHAPE["max_length"]  # of which NeoX is given the beginning
    assert np.isfinite(scores["lowercase_ratio"]).all()
    log = (made / f"logs/extraction/attack/{name}/seed0/shard0.log").read_text()
    assert "generated 20 prompts token by token" in log


@pytest.mark.parametrize("name", ["mine", "other"])
def test_the_csv_files_have_the_rows_and_texts_of_prompts_and_windows(made, name):
    expected = pd.read_parquet(of_run(made, name) / "prompts.parquet")
    prompts = pd.read_csv(of_run(made, name) / "prompts.csv", keep_default_na=False)
    assert len(prompts) == len(expected)
    for column in ("window", "exact", "matched_run", "prefix", "suffix", "continuation"):
        assert prompts[column].tolist() == expected[column].tolist()
    scores, expected = (
        pd.read_csv(of_run(made, name) / "scores.csv"),
        pd.read_parquet(of_run(made, name) / "scores.parquet"),
    )
    pd.testing.assert_frame_equal(scores, expected, check_dtype=False)


def test_the_source_s_csv_and_its_report_are_there(made):
    source = pd.read_csv(of_run(made, "mine") / "source.csv")
    assert list(source) == OF_SOURCE
    assert len(source) == N
    assert set(source["memorized"]) <= {0, 1}
    report = (of_run(made, "mine") / "source.txt").read_text("utf-8")
    assert "======== top sample by XL perplexity: ========" in report
    assert "PPL-S=" not in report.partition("lower-case")[2]


def test_figures_and_findings_are_those_that_the_models_allow(made):
    figures = {path.stem for path in (made / "results/figures").glob("extraction_*.pdf")}
    assert figures == {f"extraction_{name}" for name in FIGURES}
    findings = pd.read_csv(made / "results/tables/extraction_findings.csv").set_index(["finding", "condition"])["value"]
    for name in ("mine", "other"):
        assert 0 <= findings["exact, uniform, all", name] < 0.2
    assert np.isfinite(findings["exact, all, difference", "other - mine"])


WRONG = {
    "no such folder": (
        "pretrained: [{name: mine, model: modell, dataset: mine}]",
        "extraction.pretrained[mine].model: 'modell': there is no such folder, and no commit behind a name; allowed: ",
    ),
    "no such texts": (
        "datasets: [{name: mine, kind: texts, path: text.jsonl}]",
        "extraction.datasets[mine].path: text.jsonl: there is no such file; allowed: a .jsonl, .csv or .parquet file",
    ),
    "texts of another format": (
        "datasets: [{name: mine, kind: texts, path: texts.txt}]",
        "extraction.datasets[mine].path: texts.txt is none of JSON Lines, CSV and Parquet; allowed: .jsonl, "
        ".csv, .parquet",
    ),
    "numbers of a format of texts": (
        "datasets: [{name: mine, kind: texts, path: texts.csv, copies: text}]",
        "extraction.datasets[mine].copies: texts.csv has only text; allowed: a .jsonl or .parquet file",
    ),
    "no column of texts": (
        "datasets: [{name: mine, kind: texts, path: texts.jsonl, text: body}]",
        "extraction.datasets[mine].text: texts.jsonl has no 'body'; allowed: text",
    ),
    "another data set": (
        "pretrained: [{name: mine, model: model, dataset: mine}, {name: other, model: model, dataset: theirs}]",
        "extraction.pretrained[other].dataset: there is no 'theirs'; allowed: mine",
    ),
    "no model at all": (
        "pretrained: []",
        "extraction.conditions: there is no model; allowed: one here or in pretrained",
    ),
    "a tokenizer that does not fit": (
        "pretrained: [{name: mine, model: larger, dataset: mine}]",
        f"extraction.pretrained[mine].model: larger: tokenizer.json has {VOCABULARY + 20} ids, and config.json a "
        f"vocab_size of {VOCABULARY + 8}; allowed: at least as many as ids",
    ),
}


def refused(overlay):
    with pytest.raises(ConfigurationError) as error:
        configured(complete(overlay))
    (line,) = str(error.value).splitlines()
    return line


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_one_line_before_any_job(folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    (folder / "texts.csv").write_text("text\na\n")
    if name == "a tokenizer that does not fit" and not (folder / "larger").exists():
        shutil.copytree(folder / "model", folder / "larger")
        tokenizer = json.loads((folder / "larger/tokenizer.json").read_text("utf-8"))
        tokenizer["added_tokens"][0]["id"] = VOCABULARY + 19
        (folder / "larger/tokenizer.json").write_text(json.dumps(tokenizer))
    change, message = WRONG[name]
    overlay = yaml.safe_load(OVERLAY)
    overlay["extraction"] |= yaml.safe_load(change)
    assert refused(overlay).startswith(message)
    configured(complete(yaml.safe_load(OVERLAY)))  # as it stands it is right
