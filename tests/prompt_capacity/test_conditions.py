import copy
import json
import platform

import numpy as np
import pytest
import torch
from sections import SCALES, complete
from tokenizers import Tokenizer, models

from memorization.configuration import merged
from memorization.models.language_model import build
from memorization.models.language_model_size import forward_flops
from memorization.models.shape import TRAINING
from memorization.prompt_capacity.conditions import PromptCapacity
from memorization.prompt_capacity.layouts import layout_of
from memorization.prompt_capacity.texts import Pool, as_arrays
from memorization.text_learner import steps_of

SECTION = complete()["prompt_capacity"]
PROMPTS = PromptCapacity(SECTION)
COMMIT = "0123456789" * 4
SCALE = pytest.mark.parametrize("scale", SCALES)
WHOLE = {"conditions": [{"name": "a", "task": "rule", "progressive": True}]}  # everything
BARE = {"conditions": [{"name": "a", "progressive": False}], "memorization": {"learning_rates": [0.1]}}  # nothing more


def of(**change):
    return PromptCapacity(merged(copy.deepcopy(SECTION), change))


@pytest.fixture
def elsewhere(tmp_path):
    """A model in a folder and texts in a file: the changes of a section by which there is no other model."""
    folder, texts = tmp_path / "model", tmp_path / "texts.csv"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt_neox", "vocab_size": 9}))
    Tokenizer(models.WordLevel({"a": 0, "b": 8}, unk_token="a")).save(str(folder / "tokenizer.json"))
    (folder / "model.safetensors").write_bytes(b"weights")
    texts.write_text("text\na b\n")
    model = {"name": "pythia", "model": str(folder), "dataset": "mine"}
    data = {"name": "mine", "kind": "texts", "path": str(texts)}
    return {"conditions": [], "datasets": [data], "pretrained": [model]}


def figures(family):
    return {figure.name: figure for figure in family.figures}


def tables(family):
    return {table.name: table for table in family.tables}


@SCALE
def test_every_condition_s_model_has_as_many_parameters_as_its_size_says(scale):
    family = PromptCapacity(complete(scale)["prompt_capacity"])
    for name in family.names:
        with torch.device("meta"):
            model = build(family.settings(name), family.dataset(name)["vocabulary"])
        assert type(model).__name__ == "LlamaForCausalLM"
        assert family.training_size(name)["parameters"] == sum(each.numel() for each in model.parameters()), name


@SCALE
def test_the_configuration_that_stands_is_sound(scale):
    PromptCapacity(complete(scale)["prompt_capacity"]).check()


def test_a_base_model_sees_each_row_once():
    size, condition = PROMPTS.training_size("llama_128"), PROMPTS.settings("llama_128")
    data = PROMPTS.dataset("llama_128")
    rows = data["tokens"] // data["row_length"]
    assert size["steps"] == steps_of(rows, condition["batch_size"])
    assert size["jobs"] == 3
    assert size["flops"] == 3 * rows * TRAINING * forward_flops(condition, data["vocabulary"], data["row_length"])


def test_the_default_has_as_many_trials_as_a_test_of_signs_needs():
    """At least eight pairs of kind text over all seeds."""
    assert SECTION["memorization"]["trials"] * len(PROMPTS.seeds("llama_128")) >= 8


def test_what_a_prompt_is_trained_on_is_no_setting_of_its_base_model():
    apart = {"prompt_lengths": [3], "lengths": [5], "progressive": False, "task": None, "mem_mb": 1, "runtime": 1}
    assert of(defaults=apart).settings("llama_64") == PROMPTS.settings("llama_64")
    assert of(defaults={"learning_rate": 1.0}).settings("llama_64") != PROMPTS.settings("llama_64")
    assert of(memorization={"steps": 7}).settings("llama_64") == PROMPTS.settings("llama_64")
    assert PROMPTS.settings("llama_64")["architecture"] == "llama"


def test_longer_texts_make_all_cells_anew_and_shorter_ones_none():
    """A cell's texts are the beginnings of the longest ones."""
    one = of(conditions=[{"name": "a", "lengths": [4, 32]}])
    more, longer = (of(conditions=[{"name": "a", "lengths": lengths}]) for lengths in ([4, 8, 32], [4, 33]))
    assert more.memorized("a") == one.memorized("a")
    assert longer.memorized("a") != one.memorized("a")
    assert one.memorized("a")["longest"] == 32


def test_models_of_one_data_set_have_the_same_texts_and_those_of_another_their_own():
    """Drawn at the longest of all their lengths, so that no model's trials are another's control."""
    other = SECTION["datasets"][0] | {"name": "other"}
    models = [{"name": "a", "lengths": [4]}, {"name": "b", "lengths": [40]}, {"name": "c", "dataset": "other"}]
    family = of(datasets=[SECTION["datasets"][0], other], conditions=models)
    assert [family.memorized(name)["longest"] for name in "abc"] == [40, 40, 32]
    for name in "abc":
        assert family.tuned(name)["longest"] == family.grown(name)["longest"] == family.memorized(name)["longest"]


def test_texts_are_counted_from_a_model_s_first_seed_on():
    """The lowest one, wherever it stands."""
    family = of(conditions=[{"name": "a"}, {"name": "b", "seeds": [48, 47]}])
    for settings in (family.memorized, family.tuned, family.grown):
        assert (settings("a")["first_seed"], settings("b")["first_seed"]) == (0, 47)


def test_a_job_knows_the_keys_that_it_uses_alone():
    steps, tuning = of(memorization={"steps": 7}), of(memorization={"tuning": {"steps": 7}})
    assert steps.memorized("llama_64") != PROMPTS.memorized("llama_64")
    assert steps.tuned("llama_64") == PROMPTS.tuned("llama_64")
    assert steps.grown("llama_64") == PROMPTS.grown("llama_64")
    assert tuning.memorized("llama_64") == PROMPTS.memorized("llama_64")
    assert tuning.tuned("llama_64") != PROMPTS.tuned("llama_64")
    grown = of(progressive={"patience": 7})
    assert grown.grown("llama_64") != PROMPTS.grown("llama_64")
    assert grown.memorized("llama_64") == PROMPTS.memorized("llama_64")
    measures = of(memorization={"quantization": [32, 3], "control_texts": 9})
    assert measures.grown("llama_64") == PROMPTS.grown("llama_64")
    assert measures.tuned("llama_64") == PROMPTS.tuned("llama_64")
    random = of(memorization={"random_trials": 7})
    assert random.memorized("llama_64") != PROMPTS.memorized("llama_64")
    assert random.tuned("llama_64") == PROMPTS.tuned("llama_64")
    assert random.grown("llama_64") == PROMPTS.grown("llama_64")
    stopped = of(memorization={"stop_perplexity": 1.5, "evaluate_every": 3})
    assert stopped.tuned("llama_64") != PROMPTS.tuned("llama_64")
    assert stopped.grown("llama_64") == PROMPTS.grown("llama_64")
    trials = of(memorization={"trials": 9})  # whose documents the others leave alone
    for settings in ("memorized", "tuned", "grown"):
        assert getattr(trials, settings)("llama_64")["n_trials"] == 9


def test_settings_of_texts_that_grow_are_their_own_and_otherwise_those_of_memorization():
    found = of(progressive={"trials": 9, "batch_size": 3}).grown("llama_128")
    assert (found["trials"], found["batch_size"], found["steps"]) == (9, 3, SECTION["progressive"]["steps"])
    assert (found["n_trials"], found["group_size"]) == (4, 1)
    assert found["id_method"] == SECTION["memorization"]["id_method"]


def test_a_pool_draws_by_the_settings_of_each_job():
    """What is handed to the jobs is all that ``Pool.trials`` takes; no purpose has the texts of another."""
    tokenizer = Tokenizer(models.WordLevel({str(n): n for n in range(100)}, unk_token="0"))
    documents = [np.arange(60, dtype=np.int32) + 1000 * n for n in range(80)]
    pool = Pool(as_arrays(documents, tokenizer.to_str(), 100))
    memorized, tuned, grown = (getattr(PROMPTS, name)("llama_128") for name in ("memorized", "tuned", "grown"))
    wanted, seeds = tuned["tuning"], PROMPTS.seeds("llama_128")
    tuned |= {"trials": wanted["trials"], "random_trials": 0}
    trials = [pool.trials(memorized, memorized["longest"], seed) for seed in seeds]
    tuning = [pool.trials(tuned, wanted["length"], seed, "tuning") for seed in seeds]
    control = [
        pool.trials(memorized | {"trials": memorized["control_texts"]}, memorized["longest"], seed, "control")
        for seed in seeds
    ]
    texts = [pool.trials(grown, grown["max_length"], seed, "growing") for seed in seeds]
    rows = [
        np.array([each.of("text").texts[..., 0].ravel() // 1000 for each in purpose])
        for purpose in (trials, tuning, control, texts)
    ]
    assert [each.shape for each in rows] == [(3, 4), (3, wanted["trials"]), (3, 4), (3, 4)]
    assert len({*rows[0].ravel()}) == 12  # no trials of two seeds have a document in common
    of_purposes = [{*each.ravel()} for each in rows]
    assert len(set.union(*of_purposes)) == sum(map(len, of_purposes))
    assert (trials[0].texts.shape[2], tuning[0].texts.shape[2], texts[0].texts.shape[2]) == (32, 8, 48)


def test_cells_are_of_each_seed_length_of_prompts_and_length_of_texts():
    found = PROMPTS.cells("llama_64")
    assert len(found) == 3 * 1 * len(PROMPTS.condition("llama_64")["lengths"])
    assert found[0] == {
        "condition": "llama_64",
        "seed": 0,
        "k": 1,
        "length": PROMPTS.condition("llama_64")["lengths"][0],
    }
    assert len(PROMPTS.cells("llama_128")) == 3 * 3 * 4
    assert {cell["seed"] for cell in PROMPTS.cells("llama_128", [2])} == {2}


def test_a_model_from_elsewhere_has_seeds_of_its_own_and_its_folder_s_digests(elsewhere):
    family = of(**elsewhere)
    family.check()
    assert family.models == family.pretrained == ["pythia"]
    assert family.names == []
    assert family.seeds("pythia") == [0, 1, 2]
    assert of(**elsewhere | {"pretrained": [elsewhere["pretrained"][0] | {"seeds": [4]}]}).seeds("pythia") == [4]
    assert family.trained_run("pythia", 0) == []
    assert PROMPTS.trained_run("llama_64", 0) == [{"condition": "llama_64", "seed": 0}]
    found, path = family.settings("pythia"), elsewhere["pretrained"][0]["model"]
    assert {*found["contents"]} == {f"{path}/{file}" for file in ("config.json", "tokenizer.json", "model.safetensors")}
    assert found["dtype"] == "float32"
    with open(f"{path}/model.safetensors", "a") as opened:
        opened.write(" ")
    assert of(**elsewhere).settings("pythia") != found


def test_texts_are_made_anew_for_other_contents_and_not_for_another_place(elsewhere):
    before, data = of(**elsewhere).text_settings("mine"), elsewhere["datasets"][0]
    assert before["tokenizer"] == elsewhere["pretrained"][0]["model"]
    assert {*before["contents"]} == {data["path"], f"{before['tokenizer']}/tokenizer.json"}
    moved = of(**elsewhere | {"datasets": [data | {"start_index": 3, "stride": 7}]})
    assert moved.text_settings("mine") == before
    assert moved.memorized("pythia")["place"] == {"start_index": 3, "stride": 7}
    assert of(**elsewhere).memorized("pythia")["place"]["start_index"] is None
    assert of(**elsewhere | {"datasets": [data | {"limit": 7}]}).text_settings("mine") != before
    with open(data["path"], "a") as opened:
        opened.write("c\n")
    assert of(**elsewhere).text_settings("mine") != before


def test_a_task_of_a_file_says_what_the_file_holds(tmp_path):
    path, test = tmp_path / "train.jsonl", tmp_path / "test.jsonl"
    for each in (path, test):
        each.write_text('{"question": "a?", "answer": "#### 1"}\n')
    gsm = {"name": "gsm", "kind": "questions", "path": str(path), "test_path": str(test)}
    family = of(
        tasks=[*SECTION["tasks"], gsm], conditions=[{"name": "a", "task": "gsm"}, {"name": "b", "task": "rule"}]
    )
    family.check()
    assert {*family.questions("a")["contents"]} == {str(path), str(test)}
    assert family.questions("a")["limit"] == 100_000
    assert "contents" not in family.questions("b")
    assert family.generalizing == ["a", "b"]


def test_a_corpus_is_of_one_version_of_python_and_of_its_task(monkeypatch):
    before = PROMPTS.corpus_settings("local")
    assert before["python"] == platform.python_version()
    assert before["task"] == SECTION["tasks"][0]
    monkeypatch.setattr(platform, "python_version", lambda: "2.7.18")
    assert PROMPTS.corpus_settings("local") == before | {"python": "2.7.18"}
    assert of(tasks=[SECTION["tasks"][0] | {"digits": 2}]).corpus_settings("local") != PROMPTS.corpus_settings("local")
    assert of(datasets=[SECTION["datasets"][0] | {"task": None}]).corpus_settings("local")["task"] is None
    assert PROMPTS.datasets_of("python") == ["local"]
    assert PROMPTS.datasets_of("texts") == []


def test_learning_rates_are_chosen_where_there_are_several():
    assert of(**WHOLE).is_tuned
    assert not of(**BARE).is_tuned


def test_learning_rates_are_chosen_once_a_model_for_its_first_seed(elsewhere):
    family = of(conditions=[{"name": "b"}, {"name": "a", "seeds": [47, 48]}])
    assert tables(family)["runs"].inputs()["rates"].wildcards == [{"condition": "a"}, {"condition": "b"}]
    assert family.first_trained_run("a") == [{"condition": "a", "seed": 47}]
    assert family.first_trained_run("b") == [{"condition": "b", "seed": 0}]
    assert of(**elsewhere).first_trained_run("pythia") == []
    assert "rates" not in tables(of(**BARE))["runs"].inputs()


OF_CELLS = ["memorization", "survival", "vectors", "records", "runs"]


@pytest.mark.parametrize(
    ("change", "more"),
    [
        (BARE, []),
        (merged(copy.deepcopy(BARE), {"memorization": {"learning_rates": [0.1, 0.3]}}), ["rates"]),
        (BARE | {"conditions": [{"name": "a", "progressive": True}]}, ["horizon"]),
        (BARE | {"conditions": [{"name": "a", "progressive": False, "task": "rule"}]}, ["generalization"]),
        (WHOLE, ["horizon", "generalization", "rates"]),
    ],
    ids=["bare", "tuned", "grown", "asked", "whole"],
)
def test_the_tables_are_those_of_what_is_made(change, more):
    family = of(**change)
    family.check()
    found = tables(family)
    assert [*found] == ["runs", "capacity", "layouts", "summary", "findings"]
    assert {*found["runs"].files} == {*OF_CELLS, *more}
    assert {*found["capacity"].inputs()} == {"memorization", *({"horizon"} & {*more})}
    expected = {"capacity", "layouts", "survival", "memorization", *({"horizon", "generalization"} & {*more})}
    assert {*found["findings"].inputs()} == expected
    assert found["summary"].outputs == {"summary": "summary.parquet", "summary_csv": "summary.csv"}
    files = found["runs"].inputs()
    assert files["memorization"].wildcards == family.cells("a")
    assert files["records"].wildcards == [{"condition": "a", "seed": seed} for seed in range(3)]
    drawn = figures(family)
    assert [*drawn] == ["length", "survival", "layout", "dynamics", "dimension"] + ["samples"] * (
        "generalization" in more
    )
    assert drawn.keys() <= SECTION["figures"].keys()


def test_everything_is_drawn_by_default():
    assert figures(PROMPTS).keys() == SECTION["figures"].keys()
    assert {*tables(PROMPTS)["runs"].files} == {*OF_CELLS, "rates", "horizon", "generalization"}


def test_what_is_asked_is_of_each_seed_and_layout_of_the_models_with_a_task():
    family = of(**WHOLE, generalization={"layouts": ["suffix", 2]})
    assert family.asked == [
        {"condition": "a", "seed": seed, "layout": layout} for seed in range(3) for layout in ("suffix", "offset2")
    ]
    assert tables(family)["runs"].inputs()["generalization"].wildcards == family.asked
    assert [layout_of(each["layout"]) for each in family.asked[:2]] == ["suffix", 2]


def test_horizons_are_of_the_models_whose_texts_grow():
    family = of(conditions=[{"name": "b", "progressive": False}, {"name": "a", "progressive": True}])
    assert family.progressive == ["a"]
    found = tables(family)["runs"].inputs()["horizon"].wildcards
    assert found == [{"condition": "a", "seed": seed} for seed in range(3)]


def test_dynamics_are_of_the_first_model_s_longest_prompt_and_all_its_seeds():
    found = figures(PROMPTS)["dynamics"].inputs()["runs"]
    assert found.kind == "trajectory"
    assert {(cell["condition"], cell["k"]) for cell in found.wildcards} == {("llama_128", 8)}
    assert {cell["seed"] for cell in found.wildcards} == {0, 1, 2}
    assert {cell["length"] for cell in found.wildcards} == {*PROMPTS.condition("llama_128")["lengths"]}


def test_figures_know_models_and_layouts_in_their_order_and_read_in_another():
    family = of(
        conditions=[{"name": "b"}, {"name": "a"}],
        memorization={"layouts": ["infix", "prefix", 1]},
        progressive={"layouts": ["infix"]},
    )
    family.check()
    drawn = figures(family)["length"].settings()
    assert drawn["conditions"] == ["b", "a"]
    assert drawn["layouts"] == ["infix", "prefix", "offset1"]
    assert tables(family)["runs"].inputs()["memorization"].wildcards[0]["condition"] == "a"


def test_models_of_both_kinds_stand_side_by_side(elsewhere):
    elsewhere |= {"conditions": SECTION["conditions"], "datasets": SECTION["datasets"] + elsewhere["datasets"]}
    family = of(**elsewhere)
    family.check()
    assert family.models == ["pythia", *PROMPTS.names]
    assert figures(family)["length"].settings()["conditions"] == family.models
    assert {cell["condition"] for cell in figures(family)["dynamics"].inputs()["runs"].wildcards} == {"pythia"}
    assert {"condition": "pythia", "seed": 0} in tables(family)["runs"].inputs()["records"].wildcards
    assert family.of_data("pythia") == {"dataset": "mine"}
    assert family.of_data("llama_64") == {"dataset": "local"}
    assert family.condition("pythia")["lengths"] == SECTION["pretrained_defaults"]["lengths"]
