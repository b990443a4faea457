import json
from functools import cache
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sections import complete
from snakemake.exceptions import WorkflowError
from tokenizers import Tokenizer

from memorization.data.byte_pairs import BytePairs, train_byte_pairs
from memorization.files import read_arrays, read_made_by, read_table
from memorization.models.pretrained_models import load
from memorization.prompt_capacity.capacity import capacity_table, layouts_table
from memorization.prompt_capacity.cells import trained_cell
from memorization.prompt_capacity.chat import format_of
from memorization.prompt_capacity.conditions import PromptCapacity
from memorization.prompt_capacity.frozen import opened
from memorization.prompt_capacity.generalizing import QuestionLearner, generalization_table, generalize, split
from memorization.prompt_capacity.growing import grown_texts
from memorization.prompt_capacity.layouts import layout_of
from memorization.prompt_capacity.reading import questions_of
from memorization.prompt_capacity.recording import prompt_records, prompt_runs
from memorization.prompt_capacity.source_format import log_text, summary_table
from memorization.prompt_capacity.texts import Pool, as_arrays
from memorization.prompt_capacity.training import base_learner, train
from memorization.prompt_capacity.tuning import rates_table
from memorization.provenance import generator
from memorization.records import RECORD, RUN
from memorization.training.checkpoints import Unfinished, read_tensors

SECTION = complete("smoke")["prompt_capacity"]
ALIKE = [{key: of[key] for key in of if key != "seeds"} for of in SECTION["conditions"]]
PROMPTS = PromptCapacity(SECTION | {"conditions": ALIKE})  # llama_128 with all that there is, llama_64, of one seed
DATA = PROMPTS.data_settings("local")
VOCABULARY = DATA["vocabulary"]
RESULTS = "results/prompt_capacity"
TEXTS, ROWS = f"{RESULTS}/datasets/{{}}/texts.npz", f"{RESULTS}/datasets/{{}}/rows.npz"
MODEL = f"{RESULTS}/models/{{}}/seed0/model.safetensors"
RUNS = f"{RESULTS}/runs/{{}}/seed0/{{}}.parquet"
RATES = f"{RESULTS}/rates/{{}}.parquet"
CELL = f"{RESULTS}/cells/{{condition}}/seed{{seed}}/k{{k}}_length{{length}}"
ASKED = f"{RESULTS}/generalization/{{condition}}/seed{{seed}}/{{layout}}.parquet"
TABLE = "results/tables/prompt_capacity_{}.parquet"
CELLS = ("memorization", "survival", "vectors")


@cache
def texts():
    """Lists of words and numbers."""
    words = ["amber", "birch", "coral", "delta", "ember", "flint", "grove"]
    found = []
    for n in range(40):
        rng = generator("test", n, "document")
        found.append(" ".join(f"{words[rng.integers(7)]} {rng.integers(10**6)}" for _ in range(20)))
    return found


@cache
def tokenizer():
    return train_byte_pairs(texts(), VOCABULARY)


@cache
def arrays():
    return as_arrays(BytePairs(tokenizer()).encode(texts()), tokenizer(), VOCABULARY)


@cache
def rows():
    tokens = np.concatenate(BytePairs(tokenizer()).encode(texts()))
    length = DATA["row_length"]
    return tokens[: 60 * length].reshape(60, length)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What the package makes of a run, each once."""
    folder = tmp_path_factory.mktemp("made")

    def unfinished(*names):
        return Unfinished(folder / f"{'_'.join(map(str, names))}.a.unfinished", 1000)

    class Made:
        pool = Pool(arrays())

        @staticmethod
        @cache
        def state(name):
            return train(base_learner(PROMPTS.settings(name), rows(), VOCABULARY, 0, "cpu"), unfinished(name), 1000)

        @staticmethod
        @cache
        def model(name):
            return opened(
                PROMPTS.settings(name), [Made.state(name)], VOCABULARY, Tokenizer.from_str(tokenizer()), "cpu"
            )

        @staticmethod
        @cache
        def rates(name):
            table = rates_table(Made.model(name), Made.pool, PROMPTS.tuned(name), 0)
            return table.assign(condition=name, seed=0)

        @staticmethod
        @cache
        def cell(name, k, length):
            of = Made.model(name), Made.pool, PROMPTS.memorized(name), (k, length), (name, 0, [Made.rates(name)])
            return trained_cell(*of, unfinished(name, k, length), 1000)

        @staticmethod
        def cells(name):
            return [Made.cell(name, cell["k"], cell["length"]) for cell in PROMPTS.cells(name)]

        @staticmethod
        @cache
        def horizon(name):
            settings = PROMPTS.grown(name)
            of_run = Made.model(name), Made.pool, settings, (name, 0, [Made.rates(name)])
            return grown_texts(*of_run, unfinished(name, "grown"), 1000)

        @staticmethod
        @cache
        def generalization(name, layout):
            settings, task = SECTION["generalization"], PROMPTS.questions(name)
            every, test = questions_of(task, settings)
            questions = split(every, settings, 0, task["name"], test)
            form = format_of(None, Made.pool.tokenizer, Made.model(name).end)
            learner = QuestionLearner(Made.model(name), form, questions, settings, layout_of(layout), 0)
            generalize(learner, unfinished(name, layout), 1000)
            return generalization_table(learner, questions.test, {"condition": name, "seed": 0, "task": task["name"]})

        @staticmethod
        @cache
        def records(name):
            cells = [cell.trajectory for cell in Made.cells(name)]
            tables = [cell.tables["memorization"] for cell in Made.cells(name)]
            return {"records": prompt_records(cells, tables, name, 0), "runs": prompt_runs(cells, name, 0)}

        @staticmethod
        @cache
        def pooled(kind):
            if kind == "generalization":
                parts = [Made.generalization(each["condition"], each["layout"]) for each in PROMPTS.asked]
            elif kind == "horizon":
                parts = [Made.horizon(name) for name in PROMPTS.progressive]
            elif kind == "capacity":
                return capacity_table(Made.pooled("memorization"), Made.pooled("horizon"))
            elif kind == "layouts":
                return layouts_table(Made.pooled("memorization"))
            else:
                parts = [cell.tables[kind] for name in sorted(PROMPTS.names) for cell in Made.cells(name)]
            return pd.concat(parts, ignore_index=True)

    return Made


@pytest.fixture
def run_rule(run_rule):
    """At smoke scale, but all conditions of one seed."""

    def run(*arguments, config=None, **options):
        section = {"conditions": ALIKE} | (config or {}).get("prompt_capacity", {})
        return run_rule(*arguments, config={"prompt_capacity": section}, **options)

    return run


@pytest.fixture
def data(given):
    return given(TEXTS.format("local"), arrays())


@pytest.fixture
def inputs(given, data, made):
    """``inputs(name)``: what each stage of a model takes, by path."""
    return lambda name: data | given(MODEL.format(name), made.state(name)) | given(RATES.format(name), made.rates(name))


@pytest.fixture
def of_cells(given, made):
    """``of_cells(kind, names)``: of each cell a table or the trajectory, by path."""

    def write(kind, names=PROMPTS.names):
        found = {}
        for name in names:
            for wildcards, cell in zip(PROMPTS.cells(name), made.cells(name), strict=True):
                path = CELL.format(**wildcards)
                of = (
                    (f"{path}/trajectory.npz", cell.trajectory)
                    if kind == "trajectory"
                    else (f"{path}/{kind}.parquet", cell.tables[kind])
                )
                found |= given(*of)
        return found

    return write


def same(path, table):
    pd.testing.assert_frame_equal(read_table(str(path)), table, check_dtype=False, rtol=1e-4, atol=1e-5)


def test_a_corpus_is_rows_to_train_on_and_documents_of_this_machine_that_are_held_out(run_rule, tmp_path):
    path = run_rule("prompt_capacity_corpus", TEXTS.format("local"))
    pool, found = Pool(read_arrays(path)), read_arrays(tmp_path / ROWS.format("local"))["rows"]
    assert found.shape == (sum(int(DATA["tokens"] * share) // DATA["row_length"] for share in (0.8, 0.2)), 32)
    assert found.max() < pool.vocabulary == VOCABULARY
    said = [pool.tokenizer.decode(row.tolist()) for row in found]
    assert sum("question" in text or "answer" in text for text in said) == 600 // 32
    longest = max(pool.documents, key=len)
    assert pool.tokenizer.decode(longest[:40].tolist()) not in "".join(said)
    made_by = read_made_by(path)
    assert made_by["params"] == {"dataset": PROMPTS.corpus_settings("local")}


def test_texts_of_one_s_own_say_of_which_contents_they_are(run_rule, tmp_path):
    text, folder = tmp_path / "mine.csv", tmp_path / "mine"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(tokenizer())
    (folder / "model.safetensors").write_bytes(b"weights")  # which cut no texts
    text.write_text('body,n\n"amber, birch",1\n"coral\ndelta",2\nember,3\n')
    mine = {"name": "mine", "kind": "texts", "path": str(text), "text": "body", "tokenizer": str(folder), "limit": 2}
    config = {"prompt_capacity": {"datasets": [DATA, mine]}}
    path = run_rule("prompt_capacity_texts", TEXTS.format("mine"), config=config)
    pool = Pool(read_arrays(path))
    assert [pool.tokenizer.decode(each.tolist()) for each in pool.documents] == ["amber, birch", "coral\ndelta"]
    assert pool.vocabulary == VOCABULARY
    assert pool.tokenizer.to_str() == Tokenizer.from_str(tokenizer()).to_str()
    noted = read_made_by(path)["params"]["dataset"]
    assert "stride" not in noted
    read = (text, folder / "tokenizer.json")
    assert noted["contents"] == {str(each): sha256(each.read_bytes()).hexdigest() for each in read}


def test_a_base_model_is_trained_and_its_folder_can_be_loaded(run_rule, given, data, made, tmp_path):
    inputs = data | given(ROWS.format("local"), {"rows": rows()})
    path = run_rule("prompt_capacity_train", MODEL.format("llama_128"), inputs, as_in_a_run=True)
    state, expected = read_tensors(path), made.state("llama_128")
    assert state.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(state[name], values)
    made_by = read_made_by(path)
    assert made_by["params"] == {"condition": PROMPTS.settings("llama_128")}
    assert made_by["made_from"].keys() == inputs.keys()
    assert "matplotlib" not in made_by["versions"]
    assert not list(path.parent.glob("*.unfinished"))
    assert "step 8/8  loss" in (tmp_path / "logs/prompt_capacity/train/llama_128/seed0.log").read_text()
    loaded = load(str(path.parent), "cpu", "float32")
    tokens = torch.from_numpy(rows()[:2].astype(np.int64))
    mine = made.model("llama_128").model(input_ids=tokens).logits
    torch.testing.assert_close(loaded.logits(tokens), mine, rtol=1e-4, atol=1e-5)
    assert (path.parent / "tokenizer.json").read_text() == tokenizer()


def test_training_refuses_damaged_rows_by_name(run_rule, given, data, tmp_path):
    damaged = given(ROWS.format("local"), {"rows": rows()})
    ((path, file),) = damaged.items()
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(WorkflowError):
        run_rule("prompt_capacity_train", MODEL.format("llama_64"), data | damaged)
    last = (tmp_path / "logs/prompt_capacity/train/llama_64/seed0.log").read_text().splitlines()[-1]
    assert f"{path}: damaged" in last


def test_learning_rates_are_chosen_for_each_layout(run_rule, given, data, made):
    inputs = data | given(MODEL.format("llama_64"), made.state("llama_64"))
    path = run_rule("prompt_capacity_tune", RATES.format("llama_64"), inputs)
    same(path, made.rates("llama_64"))
    table = read_table(str(path))
    layouts = SECTION["memorization"]["layouts"]
    assert table.groupby("layout")["chosen"].sum().to_dict() == dict.fromkeys(layouts, 1)
    assert set(table["learning_rate"]) == {0.1, 0.3}
    assert read_made_by(path)["made_from"].keys() == inputs.keys()
    assert read_made_by(path)["params"]["tuning"] == PROMPTS.tuned("llama_64")
    assert read_made_by(path)["params"]["seed"] == 0


def test_learning_rates_of_all_seeds_are_those_of_the_first(run_rule, given, data, made):
    """Whatever its number: the base model is that seed's."""
    conditions = [of | {"seeds": [47, 48]} if of["name"] == "llama_64" else of for of in ALIKE]
    model = {MODEL.format("llama_64").replace("seed0", "seed47"): made.state("llama_64")}
    inputs = data | {path: file for each in model.items() for path, file in given(*each).items()}
    path = run_rule(
        "prompt_capacity_tune",
        RATES.format("llama_64"),
        inputs,
        config={"prompt_capacity": {"conditions": conditions}},
    )
    table, made_by = read_table(str(path)), read_made_by(path)
    assert set(table["seed"]) == {47}
    assert made_by["params"]["seed"] == made_by["params"]["tuning"]["first_seed"] == 47
    assert made_by["made_from"].keys() == inputs.keys()
    settings = PROMPTS.tuned("llama_64") | {"first_seed": 47}
    expected = rates_table(made.model("llama_64"), made.pool, settings, 47)
    same(path, expected.assign(condition="llama_64", seed=47))


def test_a_cell_s_prompts_are_trained_and_measured(run_rule, inputs, made, tmp_path):
    (wildcards,) = PROMPTS.cells("llama_64")
    of, expected = inputs("llama_64"), made.cell("llama_64", 1, 4)
    folder = CELL.format(**wildcards)
    path = run_rule("prompt_capacity_memorize", f"{folder}/memorization.parquet", of)
    for kind in CELLS:
        same(path.with_name(f"{kind}.parquet"), expected.tables[kind])
    found = read_arrays(path.with_name("trajectory.npz"))
    assert found.keys() == expected.trajectory.keys()
    for name, values in expected.trajectory.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-4)
        else:
            np.testing.assert_array_equal(found[name], values)
    prompts = load_file(path.with_name("prompts.safetensors"))["prompts"]
    torch.testing.assert_close(prompts, expected.prompts, rtol=1e-3, atol=1e-4)
    assert path.with_suffix(".txt").read_text() == log_text(found, read_table(str(path)))
    made_by = read_made_by(path)
    assert made_by["params"] == {
        "condition": PROMPTS.settings("llama_64"),
        "memorization": PROMPTS.memorized("llama_64"),
    }
    assert made_by["made_from"].keys() == of.keys()
    assert not list(path.parent.glob("*.unfinished"))
    log = (tmp_path / "logs/prompt_capacity/memorize/llama_64/seed0/k1_length4.log").read_text()
    assert f"step {SECTION['memorization']['steps']}/" in log


def test_with_one_learning_rate_there_is_no_table_of_them(run_rule, given, data, made):
    inputs = data | given(MODEL.format("llama_64"), made.state("llama_64"))
    config = {"prompt_capacity": {"memorization": {"learning_rates": [0.2], "layouts": ["infix", 1]}}}
    config["prompt_capacity"] |= {"progressive": {"layouts": ["infix"]}}
    path = f"{RESULTS}/cells/llama_64/seed0/k1_length4/memorization.parquet"
    table = read_table(str(run_rule("prompt_capacity_memorize", path, inputs, config=config)))
    assert set(table["learning_rate"]) == {0.2}
    one, other = (table[table["layout"] == layout].reset_index(drop=True) for layout in ("infix", "offset1"))
    pd.testing.assert_frame_equal(one.drop(columns="layout"), other.drop(columns="layout"), rtol=1e-3)


def test_texts_are_grown(run_rule, inputs, made):
    of = inputs("llama_128")
    path = run_rule("prompt_capacity_grow", RUNS.format("llama_128", "horizon"), of)
    same(path, made.horizon("llama_128"))
    table = read_table(str(path))
    assert len(table) == len(SECTION["progressive"]["layouts"]) * SECTION["progressive"]["trials"]
    assert table["horizon"].between(0, SECTION["progressive"]["max_length"]).all()
    assert read_made_by(path)["made_from"].keys() == of.keys()
    assert read_made_by(path)["params"]["progressive"] == PROMPTS.grown("llama_128")
    assert not list(path.parent.glob("*.unfinished"))


def test_a_prompt_is_trained_for_a_task(run_rule, given, data, made, tmp_path):
    inputs = data | given(MODEL.format("llama_128"), made.state("llama_128"))
    path = run_rule("prompt_capacity_generalize", ASKED.format(condition="llama_128", seed=0, layout="infix"), inputs)
    same(path, made.generalization("llama_128", "infix"))
    table = read_table(str(path))
    assert table[["layout", "training_samples", "budget", "updates"]].to_numpy().tolist() == [
        ["none", 0, "none", 0],
        ["infix", 4, "epochs", 1],
        ["infix", 4, "updates", 3],
        ["infix", 8, "epochs", 2],
        ["infix", 8, "updates", 3],
    ]
    prompts = load_file(path.with_suffix(".safetensors"))["prompts"]
    assert prompts.shape == (4, SECTION["generalization"]["prompt_length"], 24)
    made_by = read_made_by(path)
    assert made_by["made_from"].keys() == inputs.keys()
    assert made_by["params"]["task"] == PROMPTS.questions("llama_128")
    assert "layouts" not in made_by["params"]["generalization"]
    assert not list(path.parent.glob("*.unfinished"))
    assert (
        "questions fit into 64 tokens"
        in (tmp_path / "logs/prompt_capacity/generalize/llama_128/seed0/infix.log").read_text()
    )


def test_a_task_of_a_file_is_asked_by_its_path(run_rule, given, data, made, tmp_path):
    """In GSM8K's format, test questions apart."""
    rows = [{"question": f"amber {n}?", "answer": f"birch {n}\n#### {n}"} for n in range(16)]
    for name, part in (("train", rows[:12]), ("test", rows[12:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    task = {"name": "gsm", "kind": "questions"}
    task |= {"path": str(tmp_path / "train.jsonl"), "test_path": str(tmp_path / "test.jsonl")}
    conditions = [{**of, "task": "gsm"} if "task" in of else of for of in ALIKE]
    config = {"prompt_capacity": {"tasks": [*SECTION["tasks"], task], "conditions": conditions}}
    inputs = data | given(MODEL.format("llama_128"), made.state("llama_128"))
    path = ASKED.format(condition="llama_128", seed=0, layout="prefix")
    path = run_rule("prompt_capacity_generalize", path, inputs, config=config)
    table = read_table(str(path))
    assert set(table["task"]) == {"gsm"}
    assert set(table["n_test"]) == {4}
    noted = read_made_by(path)["params"]["task"]["contents"]
    assert {*noted} == {task["path"], task["test_path"]}


def test_records_and_the_run_row_are_of_all_cells(run_rule, of_cells, made):
    inputs = of_cells("trajectory", ["llama_128"]) | of_cells("memorization", ["llama_128"])
    path = run_rule("prompt_capacity_record", RUNS.format("llama_128", "records"), inputs)
    same(path, made.records("llama_128")["records"])
    same(path.with_name("runs.parquet"), made.records("llama_128")["runs"])
    found = pd.read_parquet(path)
    assert list(found) == list(RECORD)
    assert not found.duplicated(["item", "step"]).any()
    assert {item.partition("_k")[2].rpartition("_")[0] for item in found["item"]} == {"2_length2", "2_length4"}
    assert list(pd.read_parquet(path.with_name("runs.parquet"))) == list(RUN)
    assert read_made_by(path)["made_from"].keys() == inputs.keys()


def test_tables_hold_all_runs(run_rule, given, of_cells, made, tmp_path):
    inputs = {path: file for kind in CELLS for path, file in of_cells(kind).items()}
    for name in PROMPTS.names:
        for kind, table in made.records(name).items():
            inputs |= given(RUNS.format(name, kind), table)
        inputs |= given(RATES.format(name), made.rates(name))
    inputs |= given(RUNS.format("llama_128", "horizon"), made.horizon("llama_128"))
    for each in PROMPTS.asked:
        inputs |= given(ASKED.format(**each), made.generalization(each["condition"], each["layout"]))
    run_rule("prompt_capacity_runs_table", TABLE.format("memorization"), inputs)
    for kind in (*CELLS, "records", "runs", "rates"):
        table = pd.read_parquet(tmp_path / TABLE.format(kind))
        assert table["condition"].unique().tolist() == ["llama_128", "llama_64"]
    for kind in (*CELLS, "horizon", "generalization"):
        same(tmp_path / TABLE.format(kind), made.pooled(kind))


def test_capacity_is_of_memorization_and_horizons(run_rule, given, made):
    inputs = {}
    for name in ("memorization", "horizon"):
        inputs |= given(TABLE.format(name), made.pooled(name))
    path = run_rule("prompt_capacity_capacity_table", TABLE.format("capacity"), inputs)
    same(path, made.pooled("capacity"))
    assert read_made_by(path)["made_from"].keys() == inputs.keys()


def test_layouts_are_compared(run_rule, given, made):
    inputs = given(TABLE.format("memorization"), made.pooled("memorization"))
    path = run_rule("prompt_capacity_layouts_table", TABLE.format("layouts"), inputs)
    same(path, made.pooled("layouts"))
    table = read_table(str(path))
    assert ("infix", "prefix") in {*zip(table["layout"], table["other"], strict=True)}
    assert read_made_by(path)["made_from"].keys() == inputs.keys()


def test_a_summary_is_there_for_people_too(run_rule, given, made):
    inputs = given(TABLE.format("memorization"), made.pooled("memorization"))
    path = run_rule("prompt_capacity_summary_table", TABLE.format("summary"), inputs)
    expected = summary_table(made.pooled("memorization"))
    same(path, expected)
    csv = pd.read_csv(path.with_suffix(".csv"), keep_default_na=False)
    assert list(csv) == list(expected)
    assert csv["values"].astype(str).tolist() == expected["values"].tolist()
    assert set(csv["source_position"]) == {"before", "after", ""}


def test_findings_are_made_of_pooled_tables_alone(run_rule, given, made):
    names = ("capacity", "layouts", "survival", "memorization", "horizon", "generalization")
    inputs = {path: file for name in names for path, file in given(TABLE.format(name), made.pooled(name)).items()}
    path = run_rule("prompt_capacity_findings_table", "results/tables/prompt_capacity_findings.csv", inputs)
    found = pd.read_csv(path)
    assert {"finding", "condition", "value", "low", "high", "n", "unit"} <= {*found}
    assert len(found) > 20
    assert not found.duplicated(["finding", "condition"]).any()
    assert any("llama_64" in condition for condition in found["condition"])
    assert read_made_by(path.with_suffix(".parquet"))["made_from"].keys() == inputs.keys()


@pytest.mark.parametrize(
    ("rule", "kinds", "there"),
    [
        ("prompt_capacity_length_figure", ["memorization"], ["prefix", "infix", "tokens"]),
        ("prompt_capacity_survival_figure", ["survival"], ["bits"]),
        ("prompt_capacity_layout_figure", ["layouts"], ["infix"]),
        ("prompt_capacity_dimension_figure", ["memorization", "horizon"], ["prefix"]),
        ("prompt_capacity_samples_figure", ["generalization"], ["prefix", "infix", "examples"]),
    ],
)
def test_a_figure_is_drawn_of_pooled_tables(draw, given, made, rule, kinds, there):
    inputs = {path: file for kind in kinds for path, file in given(TABLE.format(kind), made.pooled(kind)).items()}
    svg = draw(rule, rule.removesuffix("_figure"), inputs)
    for text in there:
        assert text in svg


def test_dynamics_are_drawn_of_the_first_model_s_cells(draw, of_cells):
    svg = draw("prompt_capacity_dynamics_figure", "prompt_capacity_dynamics", of_cells("trajectory", ["llama_128"]))
    for text in ("loss", "norm", "prefix"):
        assert text in svg
