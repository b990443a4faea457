"""Models, texts and questions of one's own: a few lines of configuration, and the family's tables and figures."""

import csv
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from in_process import make
from tokenizers import Tokenizer

from memorization.configuration import ConfigurationError
from memorization.data.byte_pairs import train_byte_pairs
from memorization.families import complete, configured
from memorization.files import read_arrays, read_made_by
from memorization.models.language_model import build
from memorization.provenance import generator

OVERLAY = """
prompt_capacity:
  datasets: [{name: mine, kind: texts, path: texts.csv}]
  conditions: []
  pretrained: [&m {name: mine, model: llama, dataset: mine}, {<<: *m, name: neox, model: neox},
               {<<: *m, name: mamba, model: mamba}]
  memorization: {layouts: [prefix, infix, solo]}
"""
TASK = """
prompt_capacity:
  tasks: [{name: mine, kind: questions, path: questions.jsonl}]
  pretrained_defaults: {task: mine, prompt_lengths: [2], lengths: [3, 5], progressive: true}
  progressive: {prompt_length: 2}
"""  # and smaller than by default
SHAPE = {
    "n_layers": 1, "d_model": 16, "n_heads": 2, "rotary_share": 0.25, "state_size": 4, "max_length": 128,
    "init_std": 0.2, "scan": "own",
}  # fmt: skip
CHATTING = (
    "{% for message in messages %}{{ message['role'] }} {{ message['content'] }}<|endoftext|>{% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)
NAMES, VOCABULARY, N = ("mamba", "mine", "neox"), 280, 30
FAMILY = "results/prompt_capacity"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models as ``save_pretrained`` writes them, one that chats, their tokenizer, texts and questions.

    Their embeddings are padded.
    """
    folder, words = tmp_path_factory.mktemp("mine"), ["AMBER", "birch", "CORAL", "delta", "EMBER", "grüße", "日本"]
    texts = []
    for n in range(N):
        rng = generator("test", n, "text")
        texts.append("\n".join(f"{words[rng.integers(7)]}, {rng.integers(10**6)}" for _ in range(6)))
    with (folder / "texts.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["n", "text"], *enumerate(texts)])
    asked = [{"question": f"{n} birch?", "answer": f"{n},000 of them\n#### {n},000"} for n in range(1, 17)]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked), "utf-8")
    tokenizer = train_byte_pairs(texts, VOCABULARY)
    for name, architecture in (("llama", "llama"), ("neox", "neox"), ("mamba", "mamba")):
        build(SHAPE | {"architecture": architecture}, VOCABULARY + 8).save_pretrained(folder / name)
        (folder / name / "tokenizer.json").write_text(tokenizer, "utf-8")
    (folder / "llama/tokenizer_config.json").write_text(json.dumps({"chat_template": CHATTING}))
    (folder / "mine.yaml").write_text(OVERLAY)
    (folder / "task.yaml").write_text(TASK)
    return folder


@pytest.fixture(scope="module")
def made(folder):
    """The folder once the family is made in it, its scripts run in this process."""
    make(folder, [folder / "mine.yaml", folder / "task.yaml"], ["prompt_capacity"])
    return folder


def table(made, name):
    return pd.read_parquet(made / f"results/tables/prompt_capacity_{name}.parquet")


def test_prompts_are_trained_for_models_of_one_s_own_on_one_s_own_texts(made):
    found = table(made, "memorization")
    assert tuple(found["condition"].unique()) == NAMES
    assert set(found["layout"]) == {"prefix", "infix", "solo"}
    assert set(found["length"]) == {3, 5}
    assert set(found["d_model"]) == {16}
    # untrained models know nothing of the texts, but P does
    assert found["nll_without_bits"].sum() > 0.8 * (found["length"] * np.log2(VOCABULARY)).sum()
    assert (found.groupby("condition")["gain_bits"].mean() > 0).all()
    assert (found["nll_bits"] <= found["nll_without_bits"] + 1e-3).mean() > 0.8


@pytest.mark.parametrize("name", ["llama", "neox", "mamba"])
def test_a_model_s_files_are_as_they_were(made, name):
    condition = "mine" if name == "llama" else name
    cell = made / f"{FAMILY}/cells/{condition}/seed0/k2_length3/memorization.parquet"
    contents = read_made_by(cell)["params"]["condition"]["contents"]
    assert f"{name}/model.safetensors" in contents
    found = read_made_by(cell)["params"]["condition"]
    configuration = configured(complete(yaml.safe_load(OVERLAY)))["prompt_capacity"]
    assert found == configuration.settings(condition)


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)


def test_texts_of_a_csv_are_cut_by_the_models_tokenizer(made):
    found = read_arrays(made / f"{FAMILY}/datasets/mine/texts.npz")
    tokenizer = Tokenizer.from_file(str(made / "llama/tokenizer.json"))
    documents = [tokenizer.decode(each.tolist()) for each in np.split(found["documents"], found["ends"][:-1])]
    assert documents == list(csv_texts(made))
    assert found["vocabulary"] == VOCABULARY


def csv_texts(made):
    with (made / "texts.csv").open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


def test_questions_of_one_s_own_are_asked_with_and_without_a_prompt(made):
    found = table(made, "generalization")
    assert {*found["condition"]} == {*NAMES}
    assert {*found["task"]} == {"mine"}
    assert {*found["layout"]} == {"none", "prefix", "infix"}
    assert (found["exact"] <= found["complies"]).all()
    assert np.isfinite(found["bits_per_token"]).all()


def test_a_model_that_chats_reads_questions_by_its_template(made):
    """Its questions have other tokens than those of the others, which read lines."""
    found = table(made, "generalization")
    alone = found[found["layout"] == "none"].groupby("condition")["bits_per_token"].agg(["min", "max"])
    assert (alone["min"] == alone["max"]).all()
    log = made / "logs/prompt_capacity/generalize/mine/seed0/prefix.log"
    assert "16 of 16 questions fit into 128 tokens" in log.read_text()


def test_texts_grow_and_records_are_there_for_all_models(made):
    assert {*table(made, "horizon")["condition"]} == {*NAMES}
    for kind in ("records", "runs", "survival", "vectors", "rates", "capacity", "layouts"):
        assert {*table(made, kind)["condition"]} == {*NAMES}, kind


def test_all_figures_and_findings_are_made(made):
    figures = {path.stem for path in (made / "results/figures").glob("prompt_capacity_*.pdf")}
    names = ("length", "survival", "layout", "dynamics", "dimension", "samples")
    assert figures == {f"prompt_capacity_{name}" for name in names}
    findings = pd.read_csv(made / "results/tables/prompt_capacity_findings.csv")
    for name in NAMES:
        assert findings["condition"].str.contains(name).any()
    summary = pd.read_csv(made / "results/tables/prompt_capacity_summary.csv")
    assert {*summary["condition"]} == {*NAMES}


WRONG = {
    "no such folder": (
        "pretrained: [{name: mine, model: lama, dataset: mine}]",
        "prompt_capacity.pretrained[mine].model: 'lama': there is no such folder, and no commit behind a name; all",
    ),
    "no such texts": (
        "datasets: [{name: mine, kind: texts, path: text.csv}]",
        "prompt_capacity.datasets[mine].path: text.csv: there is no such file; allowed: a .jsonl, .csv or .parquet",
    ),
    "no column of texts": (
        "datasets: [{name: mine, kind: texts, path: texts.csv, text: body}]",
        "prompt_capacity.datasets[mine].text: texts.csv has no 'body'; allowed: n, text",
    ),
    "another data set": (
        "pretrained: [{name: mine, model: llama, dataset: theirs}]",
        "prompt_capacity.pretrained[mine].dataset: there is no 'theirs'; allowed: mine",
    ),
    "a mask before a Mamba": (
        "memorization: {layouts: [prefix, infix, infix_masked]}",
        "prompt_capacity.memorization.layouts: infix_masked, but mamba is a Mamba, without attention to be masked",
    ),
    "texts that are too long": (
        "pretrained: [{name: mine, model: llama, dataset: mine, lengths: [128]}]",
        "prompt_capacity.pretrained[mine]: takes at most 128 tokens, but P, ID and text have 137; allowed: shorter "
        "ones",
    ),
    "a tokenizer that does not fit": (
        "pretrained: [{name: mine, model: larger, dataset: mine}]",
        f"prompt_capacity.pretrained[mine].model: larger: tokenizer.json has {VOCABULARY + 20} ids, and config.json a "
        f"vocab_size of {VOCABULARY + 8}; allowed: at least as many as ids",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_one_line_before_any_job(folder, name):
    change, message = WRONG[name]
    if name == "a tokenizer that does not fit" and not (folder / "larger").exists():
        shutil.copytree(folder / "llama", folder / "larger")
        tokenizer = json.loads((folder / "larger/tokenizer.json").read_text("utf-8"))
        tokenizer["added_tokens"][0]["id"] = VOCABULARY + 19
        (folder / "larger/tokenizer.json").write_text(json.dumps(tokenizer))
    overlay = yaml.safe_load(OVERLAY)
    configured(complete(overlay))  # as it stands it is right
    overlay = yaml.safe_load(OVERLAY)
    overlay["prompt_capacity"] |= yaml.safe_load(change)
    with pytest.raises(ConfigurationError) as error:
        configured(complete(overlay))
    (line,) = str(error.value).splitlines()
    assert line.startswith(message)
