import copy
import json
import platform

import numpy as np
import pandas as pd
import pytest
import torch
from language_models import non_embedding_parameters
from sections import SCALES, complete
from tokenizers import Tokenizer, models

from memorization.configuration import ConfigurationError, merged
from memorization.extraction.checks import ALIKE
from memorization.extraction.conditions import Extraction, packed_rows
from memorization.extraction.packing import copies_of, pack
from memorization.models.language_model import build
from memorization.models.language_model_size import forward_flops, non_embedding
from memorization.models.shape import TRAINING
from memorization.provenance import generator
from memorization.text_learner import steps_of

SECTION = complete()["extraction"]
EXTRACTION = Extraction(SECTION)
COMMIT = "0123456789" * 4
SCALE = pytest.mark.parametrize("scale", SCALES)


def of(**change):
    return Extraction(merged(copy.deepcopy(SECTION), change))


@pytest.fixture
def elsewhere(tmp_path):
    """A model in a folder and texts in a file: the changes of a section by which nothing else is attacked."""
    folder, texts = tmp_path / "model", tmp_path / "texts.jsonl"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt_neox", "vocab_size": 9}))
    Tokenizer(models.WordLevel({"a": 0, "b": 8}, unk_token="a")).save(str(folder / "tokenizer.json"))
    (folder / "model.safetensors").write_bytes(b"weights")
    texts.write_text('{"text": "a b", "seen": 3}\n')
    model = {"name": "pythia", "model": str(folder), "dataset": "mine"}
    data = {"name": "mine", "kind": "texts", "path": str(texts)}
    return {"conditions": [], "datasets": [data], "pretrained": [model]}


def figures(family):
    return [figure.name for figure in family.figures]


def tables(family):
    return {table.name: table for table in family.tables}


def wildcards(figure, name="runs"):
    return figure.inputs()[name].wildcards


@SCALE
def test_every_condition_s_model_has_as_many_parameters_as_its_size_says(scale):
    extraction = Extraction(complete(scale)["extraction"])
    for name in extraction.names:
        condition, vocabulary = extraction.condition(name), extraction.dataset(name)["vocabulary"]
        with torch.device("meta"):
            model = build(condition, vocabulary)
        assert extraction.training_size(name)["parameters"] == sum(each.numel() for each in model.parameters()), name
        assert non_embedding(condition) == non_embedding_parameters(model), name


@SCALE
def test_the_configuration_that_stands_is_sound(scale):
    Extraction(complete(scale)["extraction"]).check()


@SCALE
def test_pairs_of_models_that_are_trained_are_alike(scale):
    extraction = Extraction(complete(scale)["extraction"])
    for pair in extraction.pairs:
        if not {*pair["conditions"]} <= {*extraction.names}:
            continue
        one, other = (extraction.condition(name) for name in pair["conditions"])
        assert {one["architecture"], other["architecture"]} == {"mamba", "neox"}
        assert abs(non_embedding(one) - non_embedding(other)) <= ALIKE * non_embedding(one), pair["name"]


def test_the_default_compares_each_mamba_with_the_neox_of_its_size():
    """About two Mamba blocks for a transformer layer; of the vocabulary nothing counts."""
    assert [pair["conditions"] for pair in EXTRACTION.pairs] == [["mamba_s", "neox_s"], ["mamba_m", "neox_m"]]
    assert [pair["name"] for pair in EXTRACTION.pairs] == ["mamba_s − neox_s", "mamba_m − neox_m"]
    assert EXTRACTION.sizes == EXTRACTION.forecasts == [["neox_s", "neox_m"], ["mamba_s", "mamba_m"]]
    small, large = (non_embedding(EXTRACTION.condition(f"neox_{size}")) for size in "sm")
    assert small == pytest.approx(0.16e6, rel=0.1)
    assert large == pytest.approx(0.93e6, rel=0.1)


def test_a_seed_s_rows_are_as_many_as_its_packing_has():
    """Of windows that are as many as the section says."""
    data = EXTRACTION.dataset("neox_s") | {"background": 12_345, "copies": [1, 2, 5], "per_type": 18}
    windows = pd.DataFrame({"data_type": np.repeat(data["data_types"], 18), "group": np.arange(54) % 3})
    windows["role"] = "planted"
    tokens, background = np.zeros((54, 64), np.int32), np.zeros(12_345, np.int32)
    for seed in range(3):
        copies = copies_of(windows, seed, data["copies"])
        packing = pack(tokens, copies, background, data["row_length"], generator("test", seed, "packing"))
        assert packed_rows(data) == len(packing["rows"])


def test_a_training_sees_each_row_once():
    data = EXTRACTION.dataset("mamba_m")
    size, rows = EXTRACTION.training_size("mamba_m"), packed_rows(data)
    assert rows == (3 * 32 * 255 // 8 * 64 + data["background"]) // 320
    assert size["steps"] == steps_of(rows, 2)
    condition = EXTRACTION.condition("mamba_m")
    assert size["flops"] == 3 * rows * TRAINING * forward_flops(condition, 1024, 320)
    assert size["jobs"] == 3


def seeds_of_twins(seeds, seed):
    twins = of(seeds=seeds).twins("neox_m", seed)
    assert {twin["condition"] for twin in twins} <= {"neox_m"}
    return [twin["seed"] for twin in twins]


@pytest.mark.parametrize("seeds", [3, [5, 6, 7], [2, 1, 0], 7, [4, 8, 12, 1]])
def test_twins_have_left_out_each_group_that_a_run_has_not_exactly_once(seeds):
    for seed in of(seeds=seeds).seeds("neox_m"):
        groups = [twin % 3 for twin in seeds_of_twins(seeds, seed)]
        assert sorted([*groups, seed % 3]) == [0, 1, 2]


def test_of_several_twins_for_a_group_the_first_counts():
    assert seeds_of_twins(7, 6) == [1, 2]
    assert seeds_of_twins([5, 6, 7], 6) == [7, 5]
    assert seeds_of_twins([5, 6, 7], "5") == [6, 7]  # a wildcard is text


def test_with_fewer_than_three_seeds_there_are_fewer_twins():
    assert seeds_of_twins(1, 0) == []
    assert seeds_of_twins(2, 1) == [0]
    assert seeds_of_twins([0, 3, 6], 3) == []  # all leave out the same group


def test_shares_and_those_of_the_smaller_model_are_of_the_seed():
    extraction = of(
        conditions=[{"name": "s", "shards": 2, "seeds": [0, 4]}, {"name": "m", "d_model": 160, "small": "s"}]
    )
    assert extraction.shards("s", 4) == [{"condition": "s", "seed": 4, "shard": n} for n in range(2)]
    assert extraction.small("m", 0) == extraction.shards("s", 0)
    assert extraction.small("m", "0") == extraction.shards("s", "0")
    assert extraction.small("m", 1) == []
    assert extraction.small("s", 0) == []


def test_what_changes_no_result_is_no_setting_of_a_model():
    apart = {"shards": 4, "small": None, "pair": None, "stages": [], "mem_mb": 1, "runtime": 1}
    one, other = of(defaults=apart), of(defaults={"learning_rate": 1.0})
    assert one.settings("neox_m") == EXTRACTION.settings("neox_m")
    assert other.settings("neox_m") != EXTRACTION.settings("neox_m")


def test_a_model_from_elsewhere_has_one_seed_and_what_its_folder_says(elsewhere):
    extraction = of(**elsewhere)
    extraction.check()
    assert extraction.models == extraction.pretrained == ["pythia"]
    assert extraction.names == []
    assert extraction.seeds("pythia") == [0]
    assert extraction.runs_of("pythia") == [{"condition": "pythia", "seed": 0}]
    assert extraction.condition("pythia")["architecture"] == "neox"
    assert extraction.trained_run("pythia", 0) == []
    assert EXTRACTION.trained_run("neox_s", 0) == [{"condition": "neox_s", "seed": 0}]
    assert extraction.attack("pythia")["lengths"] == SECTION["text_defaults"]["lengths"]


def test_settings_say_what_files_from_elsewhere_hold(elsewhere):
    """Windows of texts are made of the texts and the tokenizer; other weights cut no windows anew."""
    model, texts = elsewhere["pretrained"][0]["model"], elsewhere["datasets"][0]["path"]
    before = of(**elsewhere)
    held = [before.settings("pythia"), before.text_settings("mine"), before.about("pythia")]
    assert {*held[0]["contents"]} == {
        f"{model}/{file}" for file in ("config.json", "tokenizer.json", "model.safetensors")
    }
    assert {*held[1]["contents"]} == {texts, f"{model}/tokenizer.json"}
    assert held[1]["tokenizer"] == model
    assert all(len(digest) == 64 for each in held[:2] for digest in each["contents"].values())
    assert [of(**elsewhere).settings("pythia"), of(**elsewhere).text_settings("mine")] == held[:2]
    for file in ("model.safetensors", "config.json"):
        with open(f"{model}/{file}", "a") as opened:
            opened.write(" ")
    after = of(**elsewhere)
    assert after.settings("pythia") != held[0]
    assert after.about("pythia")["revision"] != held[2]["revision"]
    assert len(held[2]["revision"]) == 12
    assert after.text_settings("mine") == held[1]
    for path in (texts, f"{model}/tokenizer.json"):
        with open(path, "a") as opened:
            opened.write("\n")
        changed = of(**elsewhere).text_settings("mine")["contents"]
        assert [each for each, digest in changed.items() if digest != held[1]["contents"][each]] == [path]
        held[1] = of(**elsewhere).text_settings("mine")


def test_windows_are_made_anew_where_they_are_longer_and_not_for_other_prompts_in_them(elsewhere):
    lengths = {"same": [[5, 3], [48, 16]], "longer": [[48, 17]]}
    for family, settings, dataset in (
        (EXTRACTION, "corpus_settings", "local"),
        (of(**elsewhere), "text_settings", "mine"),
    ):
        found = {}
        for name, pairs in lengths.items():
            changed = Extraction(copy.deepcopy(family.section))
            for data in changed.section["datasets"]:
                data["lengths"] = pairs
            found[name] = getattr(changed, settings)(dataset)
        own = getattr(family, settings)(dataset)
        assert own["window"] == 64
        assert found["same"] == own
        assert found["longer"] == own | {"window": 65}


@pytest.mark.parametrize(
    ("key", "value", "anew"),
    [("background", 90_000, True), ("controls", 7, True), ("copies", [1, 2], False), ("row_length", 160, False)],
)
def test_a_corpus_is_made_anew_for_other_text_and_not_for_another_packing(key, value, anew):
    changed = of(datasets=[SECTION["datasets"][0] | {key: value}]).corpus_settings("local")
    assert (changed != EXTRACTION.corpus_settings("local")) == anew


def test_a_corpus_is_of_one_version_of_python(monkeypatch):
    before = EXTRACTION.corpus_settings("local")
    assert before["python"] == platform.python_version()
    monkeypatch.setattr(platform, "python_version", lambda: "2.7.18")
    assert EXTRACTION.corpus_settings("local") == before | {"python": "2.7.18"}


def test_a_training_is_of_the_longest_prompt_alone():
    """Shorter ones beside it are asked without training anew."""
    assert EXTRACTION.scored("neox_s") == {"prefix": 48, "suffix": 16}
    more = of(datasets=[SECTION["datasets"][0] | {"lengths": [[48, 16], [3, 7]]}])
    assert more.scored("neox_s") == EXTRACTION.scored("neox_s")
    assert more.attack("neox_s") != EXTRACTION.attack("neox_s")


def test_stages_know_of_the_attack_no_more_than_they_use():
    asked = EXTRACTION.asked("neox_s")
    assert asked == {
        "lengths": SECTION["datasets"][0]["lengths"], "temperature": 1.0, "top_k": 40, "batch_tokens": 4096
    }  # fmt: skip
    others = {"min_k": 0.5, "window_min": 9, "verify_generate": 3, "n_controls": 5}
    assert of(attack=others).asked("neox_s") == asked
    assert of(attack=others).attack("neox_s").items() >= others.items()


def test_tables_name_a_model_and_the_commit_of_one_of_the_hub(elsewhere):
    elsewhere["pretrained"][0] |= {"model": f"someone/some@{COMMIT}", "architecture": "neox"}
    extraction = of(**elsewhere)
    assert extraction.about("pythia") == {"model": "pythia", "revision": COMMIT}
    assert EXTRACTION.about("neox_s") == {"model": "neox_s", "revision": ""}
    assert "contents" not in extraction.settings("pythia")


def test_a_data_set_of_python_and_a_model_of_it_have_no_digests():
    assert EXTRACTION.data_settings("local") == SECTION["datasets"][0]
    assert "contents" not in EXTRACTION.corpus_settings("local")
    assert "contents" not in EXTRACTION.settings("neox_s")
    assert EXTRACTION.datasets_of("python") == ["local"]
    assert EXTRACTION.datasets_of("texts") == []


def test_a_model_is_known_where_the_copies_of_its_windows_are(elsewhere):
    elsewhere["datasets"].append(elsewhere["datasets"][0] | {"name": "planted", "copies": "seen"})
    elsewhere["pretrained"].append(elsewhere["pretrained"][0] | {"name": "hubble", "dataset": "planted"})
    assert of(**elsewhere).known == ["hubble"]
    assert EXTRACTION.known == EXTRACTION.names
    elsewhere["datasets"].append(SECTION["datasets"][0])  # of which a model from elsewhere has seen nobody knows what
    elsewhere["pretrained"].append(elsewhere["pretrained"][0] | {"name": "other", "dataset": "local"})
    assert of(**elsewhere | {"conditions": [{"name": "trained"}]}).known == ["trained", "hubble"]


def test_everything_is_drawn_by_default_and_reads_the_runs_that_it_shows():
    of_name = {figure.name: figure for figure in EXTRACTION.figures}
    assert of_name.keys() == SECTION["figures"].keys()
    every = [{"condition": name, "seed": seed} for name in sorted(EXTRACTION.names) for seed in range(3)]
    for name in ("copies", "prefix", "size", "data_type", "interference", "near_verbatim"):
        assert wildcards(of_name[name]) == every, name
    assert wildcards(of_name["map"]) == [{"condition": name, "seed": 0} for name in EXTRACTION.names]
    for name in ("membership", "difference", "forecast"):
        assert of_name[name].inputs()[name].kind == f"{name}_table"
    drawn = of_name["copies"].settings()
    assert drawn["conditions"] == EXTRACTION.names
    assert drawn["architectures"]["mamba_m"] == "mamba"
    assert drawn["pairs"] == EXTRACTION.pairs
    assert list(tables(EXTRACTION)) == ["runs", "attack", "membership", "forecast", "findings"]
    assert {*tables(EXTRACTION)["runs"].files} == {
        "rates",
        "scores",
        "records",
        "runs",
        "near_verbatim",
        "interference",
    }


def test_an_order_of_conditions_changes_what_is_drawn_but_not_what_is_read():
    other = of(conditions=SECTION["conditions"][::-1])
    one, two = ({figure.name: figure for figure in family.figures}["copies"] for family in (EXTRACTION, other))
    assert wildcards(one) == wildcards(two)
    assert one.settings() != two.settings()


def test_with_models_from_elsewhere_alone_there_is_no_more_than_their_attack(elsewhere):
    extraction = of(**elsewhere)
    assert figures(extraction) == ["prefix", "size", "data_type"]
    every = tables(extraction)
    assert list(every) == ["runs", "attack", "findings"]
    assert {*every["runs"].files} == {"rates", "scores"}
    assert every["attack"].files == ("intervals", "fits")
    assert {*every["findings"].inputs()} == {"rates", "scores", "fits"}
    assert wildcards(extraction.figures[0]) == [{"condition": "pythia", "seed": 0}]


@pytest.mark.parametrize(
    ("change", "more"),
    [
        ({"stages": ["near_verbatim"]}, "near_verbatim"),
        ({"stages": ["interference"]}, "interference"),
        ({"pair": "mamba"}, "difference"),
    ],
)
def test_what_is_asked_of_a_model_from_elsewhere_is_drawn_too(elsewhere, change, more):
    model = elsewhere["pretrained"][0]
    elsewhere["pretrained"] = [model | change, model | {"name": "mamba"}]
    extraction = of(**elsewhere)
    extraction.check()
    assert figures(extraction) == sorted(["prefix", "size", "data_type", more], key=[*SECTION["figures"]].index)
    assert more in [table for each in extraction.tables for table in each.files]
    assert more in tables(extraction)["findings"].inputs()


def test_what_takes_known_copies_is_of_the_models_that_have_them(elsewhere):
    elsewhere["datasets"].append(elsewhere["datasets"][0] | {"name": "planted", "copies": "seen"})
    elsewhere["pretrained"].append(elsewhere["pretrained"][0] | {"name": "hubble", "dataset": "planted"})
    extraction = of(**elsewhere)
    assert figures(extraction) == ["copies", "prefix", "size", "data_type", "membership"]
    assert wildcards(extraction.figures[0]) == [{"condition": "hubble", "seed": 0}]
    membership = tables(extraction)["membership"]
    assert membership.settings() == {"datasets": {"planted": ["hubble"]}}
    assert membership.inputs()["windows"].wildcards == [{"dataset": "planted"}]
    assert membership.inputs()["scores"].wildcards == [{"condition": "hubble", "seed": 0}]


def test_a_forecast_is_of_models_that_are_trained_here(elsewhere):
    model = elsewhere["pretrained"][0]
    extraction = of(**elsewhere | {"pretrained": [model, model | {"name": "large", "small": "pythia"}]})
    extraction.check()
    assert extraction.sizes == [["pythia", "large"]]
    assert extraction.forecasts == []
    assert "forecast" not in tables(extraction)


def test_models_of_both_kinds_stand_side_by_side(elsewhere):
    elsewhere |= {"conditions": SECTION["conditions"], "datasets": SECTION["datasets"] + elsewhere["datasets"]}
    extraction = of(**elsewhere)
    extraction.check()
    assert extraction.models == [*EXTRACTION.names, "pythia"]
    assert extraction.known == EXTRACTION.names
    assert {*figures(extraction)} == {*figures(EXTRACTION)}
    runs = tables(extraction)["runs"].inputs()
    assert {"condition": "pythia", "seed": 0} in runs["rates"].wildcards
    assert {"condition": "pythia", "seed": 0} not in runs["records"].wildcards


@pytest.mark.parametrize(("n_layers", "alike"), [(3, True), (4, False), (2, False)])
def test_a_pair_is_alike_within_a_tenth(n_layers, alike):
    extraction = of(
        conditions=[
            {"name": "n"},
            {"name": "m", "architecture": "mamba", "d_model": 84, "n_layers": n_layers, "pair": "n"},
        ]
    )
    if alike:
        extraction.check()
        return
    with pytest.raises(
        ConfigurationError, match=r"^extraction\.conditions\[m\]\.pair: n has \d+ parameters .*within 10%$"
    ):
        extraction.check()
