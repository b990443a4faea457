import json
from functools import cache
from hashlib import sha256

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from sections import complete
from snakemake.exceptions import WorkflowError

from memorization.files import read_arrays, read_made_by, read_table
from memorization.memory_layer.ablation.run import part_tables, slot_tables
from memorization.memory_layer.attention import attend
from memorization.memory_layer.conditions import FOUND, OF_ALL, SETTINGS, STAGES, MemoryLayer
from memorization.memory_layer.data import kinds
from memorization.memory_layer.evaluation.run import run_tables
from memorization.memory_layer.intervention.run import intervention_tables
from memorization.memory_layer.routing.run import route_tables
from memorization.memory_layer.trained_run import TrainedRun
from memorization.memory_layer.training import FactLearner, Facts, train
from memorization.provenance import generator
from memorization.records import RECORD, RUN
from memorization.training.checkpoints import Unfinished, read_tensors, write_tensors

MEMORY_LAYER = MemoryLayer(complete("smoke")["memory_layer"])  # memory of two seeds, top_t from it on, five more
CONDITIONS = MEMORY_LAYER.section["conditions"]
RESULTS = "results/memory_layer"
DATA = f"{RESULTS}/datasets/{{}}/seed{{}}.parquet"
TOKENS = f"{RESULTS}/datasets/{{}}/seed{{}}_tokens.npz"
CHECKPOINT = f"{RESULTS}/checkpoints/{{}}/seed{{}}/step{{}}.safetensors"
TRAJECTORY = f"{RESULTS}/trajectories/{{}}/seed{{}}/step{{}}.npz"
MAKERS = {"ablate_slots": slot_tables, "ablate_parts": part_tables, "intervene": intervention_tables}
MAKERS |= {"route": route_tables, "attend": attend}
STAGE = f"{RESULTS}/{{}}/{{}}/seed0/{{}}.parquet"
FOLDERS = {"ablate_slots": "ablations", "ablate_parts": "ablations", "intervene": "interventions"}
FOLDERS |= {"route": "routing", "attend": "attention"}
EVALUATION = f"{RESULTS}/evaluations/{{}}/seed{{}}/{{}}.parquet"


@cache
def table(dataset, seed=0):
    return kinds.make(MEMORY_LAYER.datasets[dataset], generator("memory_layer", dataset, seed, "data"))


@cache
def tokens(dataset, seed=0):
    return kinds.tokens(table(dataset, seed), MEMORY_LAYER.datasets[dataset])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """``made.trained(condition, seed)``, a state and a trajectory; ``made.tables(condition, seed)``, all of a run."""

    class Made:
        folder = tmp_path_factory.mktemp("made")

        @staticmethod
        @cache
        def trained(name, seed=0):
            condition = MEMORY_LAYER.settings(name)
            facts = Facts(tokens(condition["dataset"], seed), "cpu")
            learner = FactLearner(condition, facts, seed, "cpu", Made.before(name, seed))
            unfinished = Unfinished(str(Made.folder / f"{name}{seed}.unfinished"), 1000)
            return train(learner, MEMORY_LAYER.section["evaluation"], condition["steps"], unfinished, 1000)

        @staticmethod
        def before(name, seed):
            """The path of the checkpoint that a run starts from, written anew, or None."""
            for each in MEMORY_LAYER.pretrained(name, seed):
                path = Made.folder / "{condition}_{seed}.safetensors".format(**each)
                write_tensors(path, Made.trained(each["condition"], seed)[0], {})
                return str(path)

        @staticmethod
        @cache
        def tables(name, seed=0):
            condition = MEMORY_LAYER.settings(name)
            data = condition["dataset"]
            state, trajectory = Made.trained(name, seed)
            run = (
                Made.before(name, seed),
                MEMORY_LAYER.earlier(name),
                MEMORY_LAYER.section["evaluation"]["n_examples"],
                name,
                seed,
                "cpu",
            )
            return run_tables(condition, table(data, seed), tokens(data, seed), trajectory, state, *run)

    return Made()


@pytest.fixture(scope="module")
def staged(made):
    """``staged(rule)``: the tables of the rule for a run of its first condition, as the package makes them."""

    class Staged:
        @staticmethod
        @cache
        def tables(rule):
            stage = rule.removeprefix("memory_layer_")
            settings, (name, *_) = MEMORY_LAYER.stage(stage), MEMORY_LAYER.analysed(stage)
            condition = MEMORY_LAYER.settings(name)
            data, state = condition["dataset"], made.trained(name)[0]
            found = MAKERS[stage](TrainedRun(condition, table(data), tokens(data), state, name, 0, "cpu"), settings)
            return found if stage != "attend" else dict(zip(("attention", "attention_examples"), found, strict=True))

    return Staged()


@pytest.fixture
def evaluations(given, made, staged):
    """``evaluations(kind)``: that table of the runs that have it in a figure or a pooled table, by path."""

    def write(kind, conditions=None):
        inputs = {}
        for stage, kinds_of_files in STAGES.items():
            if kind in kinds_of_files or (stage, kind) == ("attend", "attention_examples"):
                (name,) = MEMORY_LAYER.analysed(stage)
                of = staged.tables(f"memory_layer_{stage}")[kind]
                path = f"{RESULTS}/attention/{name}/seed0/examples.npz" if kind == "attention_examples" else None
                return given(path or STAGE.format(FOLDERS[stage], name, kind), of)
        for run in MEMORY_LAYER.runs(kind, conditions).wildcards:
            run = (run["condition"], run["seed"])
            inputs |= given(EVALUATION.format(*run, kind), made.tables(*run)[kind])
        return inputs

    return write


def of_figure(name):
    """The conditions that a figure shows."""
    (figure,) = (figure for figure in MEMORY_LAYER.figures if figure.name == name)
    return {kind: sorted({run["condition"] for run in of.wildcards}) for kind, of in figure.inputs().items()}


@pytest.fixture
def drawn(draw, evaluations):
    """``drawn(rule)``: the svg of a figure from the evaluations that it shows."""

    def run(rule):
        figure = rule.removesuffix("_figure")
        conditions = of_figure(figure.removeprefix("memory_layer_"))
        inputs = {path: file for kind, names in conditions.items() for path, file in evaluations(kind, names).items()}
        return draw(rule, figure, inputs)

    return run


@pytest.mark.parametrize(
    ("rule", "dataset"),
    [
        ("memory_layer_digit_lookup", "pairs"),
        ("memory_layer_synthetic_qa", "frequencies"),
        ("memory_layer_two_hop", "two_hop"),
        ("memory_layer_hash_hop", "one_hop"),
        ("memory_layer_word_problems", "word_problems"),
    ],
)
def test_data_are_those_of_their_seed_and_open_as_a_dataset(run_rule, tmp_path, monkeypatch, rule, dataset):
    path = run_rule(rule, DATA.format(dataset, 1))
    pd.testing.assert_frame_equal(read_table(str(path)), table(dataset, 1))
    made_by = read_made_by(path)
    assert made_by["rule"] == rule
    assert made_by["params"]["dataset"] == MEMORY_LAYER.datasets[dataset]
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "home")  # nothing below the user's HF_HOME
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    opened = datasets.load_dataset("parquet", data_files=str(path), cache_dir=str(tmp_path / "cache"), split="train")
    assert opened.num_rows == len(table(dataset, 1))
    assert opened["text"] == table(dataset, 1)["text"].tolist()
    assert opened.features["answer_start"].dtype == "int64"

    arrays = read_arrays(tmp_path / TOKENS.format(dataset, 1))
    assert arrays.keys() == tokens(dataset, 1).keys()
    for name, array in tokens(dataset, 1).items():
        np.testing.assert_array_equal(arrays[name], array)
    consistency = pd.read_parquet(tmp_path / f"{RESULTS}/datasets/{dataset}/seed1_consistency.parquet")
    assert consistency["consistent"].all()
    assert len(consistency)


def test_a_text_of_one_s_own_is_read_and_its_contents_are_noted(run_rule, tmp_path):
    text = tmp_path / "mine.jsonl"
    problems = [{"question": f"{n} + 1?", "answer": f"{n + 1}"} for n in range(30)]
    text.write_text("".join(json.dumps(each) + "\n" for each in problems))
    data = MEMORY_LAYER.datasets["word_problems"] | {"path": str(text)}
    others = [each for name, each in MEMORY_LAYER.datasets.items() if name != "word_problems"]
    config = {"memory_layer": {"datasets": [*others, data]}}
    path = run_rule("memory_layer_word_problems", DATA.format("word_problems", 0), config=config)
    assert set(read_table(str(path))["text"]) <= {f"{n} + 1?\n{n + 1}\n" for n in range(30)}
    noted = read_made_by(path)["params"]["dataset"]["contents"]
    assert noted == {str(text): sha256(text.read_bytes()).hexdigest()}


def test_a_training_starts_from_a_checkpoint_of_one_s_own(run_rule, given, made, tmp_path):
    mine = tmp_path / "mine.pt"
    torch.save(made.trained("memory")[0], mine)
    changed = [each | {"pretrained": {"path": str(mine)}} if each["name"] == "top_t" else each for each in CONDITIONS]
    inputs = given(TOKENS.format("pairs", 0), tokens("pairs"))
    config = {"memory_layer": {"conditions": changed}}
    path = run_rule("memory_layer_train", CHECKPOINT.format("top_t", 0, 8), inputs, config=config)
    assert "started from" in (tmp_path / "logs/memory_layer/train/top_t/seed0/step8.log").read_text()
    assert list(read_made_by(path)["params"]["condition"]["contents"]) == [str(mine)]


def test_training_learns_and_says_what_made_it(run_rule, given, tmp_path):
    inputs = given(TOKENS.format("pairs", 0), tokens("pairs"))
    path = run_rule("memory_layer_train", TRAJECTORY.format("memory", 0, 8), inputs, as_in_a_run=True)
    arrays = read_arrays(path)
    assert arrays["step"][[0, -1]].tolist() == [0, 8]
    assert arrays["loss"].shape == (8,)
    assert arrays["nll"][-1].sum() < arrays["nll"][0].sum()
    assert arrays["use_splits"].tolist() == ["new", "novel", "train"]
    made_by = read_made_by(path)
    assert made_by["params"].keys() == {"condition", "evaluation"}
    assert made_by["params"]["condition"] == MEMORY_LAYER.settings("memory")
    assert made_by["params"]["evaluation"] == {"n_records": 3, "n_items": 4}
    assert made_by["made_from"].keys() == inputs.keys()
    assert "matplotlib" not in made_by["versions"]
    assert not list(path.parent.glob("*.unfinished"))
    assert "step 8/8  loss" in (tmp_path / "logs/memory_layer/train/memory/seed0/step8.log").read_text()
    checkpoint = tmp_path / CHECKPOINT.format("memory", 0, 8)
    assert read_made_by(checkpoint)["params"]["condition"]["arm"] == "memory"
    assert read_tensors(checkpoint)["layers.0.feed_forward.values.weight"].shape == (64, 16)


def test_a_training_may_stop_earlier_and_is_the_beginning_of_the_whole(run_rule, given, made, tmp_path):
    inputs = given(TOKENS.format("pairs", 0), tokens("pairs"))
    arrays = read_arrays(run_rule("memory_layer_train", TRAJECTORY.format("memory", 0, 3), inputs))
    whole = made.trained("memory")[1]
    np.testing.assert_allclose(arrays["loss"], whole["loss"][:3], rtol=1e-5)
    assert arrays["step"][-1] == 3
    assert (tmp_path / CHECKPOINT.format("memory", 0, 3)).exists()


def test_a_second_training_starts_from_the_checkpoint_of_the_first_and_moves_few_rows(run_rule, given, made, tmp_path):
    before = made.trained("memory")[0]
    inputs = given(TOKENS.format("pairs", 0), tokens("pairs")) | given(CHECKPOINT.format("memory", 0, 8), before)
    path = run_rule("memory_layer_train", CHECKPOINT.format("top_t", 0, 8), inputs)
    assert read_made_by(path)["made_from"].keys() == inputs.keys()
    after = read_tensors(path)
    frozen = {"token_embedding.weight", "head.weight", "head.bias"}
    assert {name for name in before if before[name].equal(after[name])} == frozen
    moved = (before["layers.0.feed_forward.values.weight"] != after["layers.0.feed_forward.values.weight"]).any(dim=1)
    assert 1 <= moved.sum() <= 8 * 4  # top_t of each step
    assert "started from" in (tmp_path / "logs/memory_layer/train/top_t/seed0/step8.log").read_text()


def test_training_refuses_damaged_tokens_by_name(run_rule, given, tmp_path):
    inputs = given(TOKENS.format("pairs", 0), tokens("pairs"))
    (path, file) = next(iter(inputs.items()))
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(WorkflowError):
        run_rule("memory_layer_train", TRAJECTORY.format("memory", 0, 8), inputs)
    last = (tmp_path / "logs/memory_layer/train/memory/seed0/step8.log").read_text().splitlines()[-1]
    assert f"{path}: damaged" in last


@pytest.mark.parametrize("name", ["top_t", "two_hop"])
def test_evaluation_makes_the_tables_of_a_run(run_rule, given, made, tmp_path, name):
    data = MEMORY_LAYER.condition(name)["dataset"]
    state, trajectory = made.trained(name)
    inputs = given(DATA.format(data, 0), table(data)) | given(TOKENS.format(data, 0), tokens(data))
    inputs |= given(CHECKPOINT.format(name, 0, 8), state) | given(TRAJECTORY.format(name, 0, 8), trajectory)
    for each in MEMORY_LAYER.pretrained(name, 0):
        inputs |= given(CHECKPOINT.format(*each.values()), made.trained(each["condition"])[0])
    path = run_rule("memory_layer_evaluate", EVALUATION.format(name, 0, "recall"), inputs)
    assert read_made_by(path)["made_from"].keys() == inputs.keys()
    tables = {kind: pd.read_parquet(tmp_path / EVALUATION.format(name, 0, kind)) for kind in MEMORY_LAYER.evaluations}
    assert tables.keys() == made.tables(name).keys()
    assert list(tables["records"]) == list(RECORD)
    assert list(tables["runs"]) == list(RUN)
    assert len(tables["records"]) == len(table(data))
    assert tables["recall"]["n"].sum() == len(table(data))
    assert tables["errors"]["n"].sum() == len(table(data))
    assert tables["losses"]["step"].tolist() == list(range(1, 9))
    assert not any(tables[kind].empty for kind in ("usage", "value_norms", "activations"))
    forgotten = tables["forgetting"]
    assert len(forgotten) == (24 if name == "top_t" else 0)  # the old pairs
    if name == "top_t":
        assert forgotten["overlap"].between(0, 64).all()
        assert {*tables["records"]["phase"]} == {"before_switch", "after_switch", "held_out"}


def test_shares_of_an_evaluation_are_its_whole(run_rule, given, made, tmp_path):
    state, trajectory = made.trained("one_hop")
    inputs = given(TOKENS.format("one_hop", 0), tokens("one_hop")) | given(CHECKPOINT.format("one_hop", 0, 8), state)
    parts = [f"{RESULTS}/answers/one_hop/seed0/shard{n}{what}" for n in range(2) for what in (".parquet", "_use.npz")]
    for n in range(2):
        run_rule("memory_layer_answer", parts[2 * n], inputs)
    more = given(DATA.format("one_hop", 0), table("one_hop")) | given(TRAJECTORY.format("one_hop", 0, 8), trajectory)
    path = run_rule("memory_layer_evaluate", EVALUATION.format("one_hop", 0, "recall"), inputs | more)
    assert read_made_by(path)["made_from"].keys() == {*inputs, *more, *parts}
    for kind in ("recall", "value_norms", "records"):
        there = pd.read_parquet(tmp_path / EVALUATION.format("one_hop", 0, kind))
        pd.testing.assert_frame_equal(there, made.tables("one_hop")[kind], rtol=1e-4)


def test_a_checkpoint_has_flat_keys_too(run_rule, given, made, tmp_path):
    state = made.trained("memory")[0]
    inputs = given(CHECKPOINT.format("memory", 0, 8), state)
    path = run_rule("memory_layer_convert", f"{RESULTS}/converted/memory/seed0/flat.safetensors", inputs)
    keys = read_tensors(path)["layers.0.feed_forward.keys"]
    assert keys.shape[1] == len(state["layers.0.feed_forward.values.weight"])
    assert read_made_by(path)["params"]["condition"] == MEMORY_LAYER.settings("memory")


@pytest.mark.parametrize(
    "rule",
    [
        "memory_layer_ablate_slots",
        "memory_layer_ablate_parts",
        "memory_layer_intervene",
        "memory_layer_route",
        "memory_layer_attend",
    ],
)
def test_a_stage_makes_its_tables_from_a_checkpoint(run_rule, given, made, staged, tmp_path, rule):
    stage = rule.removeprefix("memory_layer_")
    (name,) = MEMORY_LAYER.analysed(stage)
    data = MEMORY_LAYER.condition(name)["dataset"]
    inputs = given(DATA.format(data, 0), table(data)) | given(TOKENS.format(data, 0), tokens(data))
    inputs |= given(CHECKPOINT.format(name, 0, MEMORY_LAYER.condition(name)["steps"]), made.trained(name)[0])
    expected = staged.tables(rule)
    path = run_rule(rule, STAGE.format(FOLDERS[stage], name, STAGES[stage][0]), inputs)
    made_by = read_made_by(path)
    assert made_by["made_from"].keys() == inputs.keys()
    assert made_by["params"] == {
        "condition": MEMORY_LAYER.settings(name),
        SETTINGS[stage][0]: MEMORY_LAYER.stage(stage),
    }
    for kind in STAGES[stage]:
        there = pd.read_parquet(tmp_path / STAGE.format(FOLDERS[stage], name, kind))
        pd.testing.assert_frame_equal(there, expected[kind], rtol=1e-4, check_dtype=False)
        assert {"condition", "seed"} <= {*there}
    if stage == "attend":
        folder = tmp_path / f"{RESULTS}/attention/{name}/seed0"
        assert read_arrays(folder / "examples.npz").keys() == expected["attention_examples"].keys()
        assert len(json.loads((folder / "examples.json").read_text()))


def test_every_attention_head_has_a_picture(run_rule, given, staged, tmp_path):
    (name,) = MEMORY_LAYER.analysed("attend")
    tables = staged.tables("memory_layer_attend")
    inputs = given(STAGE.format("attention", name, "attention"), tables["attention"])
    inputs |= given(f"{RESULTS}/attention/{name}/seed0/examples.npz", tables["attention_examples"])
    folder = run_rule("memory_layer_attention_heads", f"{RESULTS}/attention/{name}/seed0/heads", inputs)
    assert len(list(folder.glob("*.png"))) >= 2  # heads of one layer


def test_tables_hold_all_runs(run_rule, evaluations, tmp_path):
    (pooled, _) = MEMORY_LAYER.tables
    inputs = {}
    for kind, of in pooled.inputs().items():
        inputs |= evaluations(kind, sorted({run["condition"] for run in of.wildcards}))
    run_rule("memory_layer_runs_table", "results/tables/memory_layer_recall.parquet", inputs)
    runs = {}
    for kind in pooled.files:
        rows = pd.read_parquet(tmp_path / f"results/tables/memory_layer_{kind}.parquet")
        runs[kind] = rows[["condition", "seed"]].drop_duplicates().to_numpy().tolist()
    every = [[name, seed] for name in sorted(MEMORY_LAYER.names) for seed in MEMORY_LAYER.seeds(name)]
    assert all(runs[kind] == every for kind in OF_ALL)
    assert runs["usage"] == every
    assert runs["forgetting"] == [["top_t", 0]]


def test_findings_are_made_of_pooled_tables_alone(run_rule, given, made, staged):
    inputs = {}
    for kind in ("recall", "value_norms", "parameters", "forgetting"):
        runs = [(name, seed) for name in sorted(MEMORY_LAYER.names) for seed in MEMORY_LAYER.seeds(name)]
        parts = [part for run in runs if len(part := made.tables(*run)[kind])]
        inputs |= given(f"results/tables/memory_layer_{kind}.parquet", pd.concat(parts, ignore_index=True))
    for stage, kinds_of_tables in STAGES.items():
        for kind in {*FOUND} & {*kinds_of_tables}:
            inputs |= given(f"results/tables/memory_layer_{kind}.parquet", staged.tables(f"memory_layer_{stage}")[kind])
    hops = made.tables("one_hop")["hops"]
    inputs |= given("results/tables/memory_layer_hops.parquet", hops)
    path = run_rule("memory_layer_findings_table", "results/tables/memory_layer_findings.csv", inputs)
    values = pd.read_csv(path).set_index(["finding", "condition"])["value"]
    total = made.tables("memory")["parameters"]["total"].item()
    assert values["parameters, total", "memory"] == total
    assert values["exact match after the second training, old facts", "top_t"] >= 0
    assert ("exact match at the end, train, difference", "two_hop - memory") in values.index
    assert ("chains answered, easy, 1 hops, query", "one_hop") in values.index
    assert ("own answer kept when values are swapped", "frequency") in values.index
    assert read_made_by(path.with_suffix(".parquet"))["made_from"].keys() == inputs.keys()


@pytest.mark.parametrize(
    ("rule", "there"),
    [
        ("memory_layer_recall_figure", ["guessing", "novel", "exact match at the end"]),
        ("memory_layer_frequency_figure", ["times that a fact stands in a pass", "never trained"]),
        ("memory_layer_loss_figure", ["nats per answer token", "two_hop"]),
        ("memory_layer_retention_figure", ["exact match, old facts", "foretold", "top_t, "]),
        ("memory_layer_logits_figure", ["rank of the right token", "share of tokens right"]),
        ("memory_layer_errors_figure", ["share of items", "one_hop, 1"]),
        ("memory_layer_parameters_figure", ["parameters that a token uses", "memory"]),
        ("memory_layer_usage_figure", ["slots used, share", "two_hop"]),
        ("memory_layer_value_norms_figure", ["norm of a value, mean", "memory"]),
        ("memory_layer_activations_figure", ["largest weight of a slot", "novel "]),
        ("memory_layer_ablation_figure", ["frequency"]),
        ("memory_layer_cuts_figure", ["slots"]),
        ("memory_layer_swap_figure", ["frequency"]),
        ("memory_layer_predictions_figure", ["partner"]),
        ("memory_layer_routing_figure", ["Jaccard"]),
        ("memory_layer_key_statistics_figure", ["silhouette"]),
        ("memory_layer_repeating_digits_figure", ["Spearman"]),
        ("memory_layer_attention_figure", ["layer"]),
    ],
)
def test_a_figure_is_drawn_from_evaluations(drawn, rule, there):
    svg = drawn(rule)
    for text in there:
        assert text in svg
