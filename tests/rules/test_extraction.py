import json
from functools import cache
from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
import torch
from sections import complete
from snakemake.exceptions import WorkflowError

from memorization.data.texts import Document
from memorization.extraction.analysis.forecast import forecast_table
from memorization.extraction.analysis.rates import rates
from memorization.extraction.analysis.tables import attack_tables, memberships
from memorization.extraction.attacked_shard import Shard, attacked
from memorization.extraction.conditions import Extraction
from memorization.extraction.corpus import corpus_of
from memorization.extraction.evaluation import Evaluated, joined
from memorization.extraction.model import opened
from memorization.extraction.packing import copies_of, pack
from memorization.extraction.prompts import tokens_needed
from memorization.extraction.recording import extraction_records, extraction_runs
from memorization.extraction.source_format import COLUMNS as OF_SOURCE
from memorization.extraction.stages import AttackedRun
from memorization.extraction.training import initial_weights, train
from memorization.extraction.windows import (
    as_arrays,
    documents_as_arrays,
    followed,
    planted_documents,
    tokenizer_of,
    tokenizer_text,
)
from memorization.files import read_arrays, read_made_by, read_table
from memorization.models.pretrained_models import load
from memorization.provenance import generator
from memorization.records import RECORD, RUN
from memorization.text_learner import TextLearner
from memorization.training.checkpoints import Unfinished, read_tensors

SECTION = complete("smoke")["extraction"]
ALIKE = [{key: of[key] for key in of if key not in ("seeds", "stages")} for of in SECTION["conditions"]]
EXTRACTION = Extraction(SECTION | {"conditions": ALIKE})  # neox_s, neox_m, mamba_m in two shares, of one seed
DATA = EXTRACTION.data_settings("local")
CONTROLS = 3  # that are followed in training; another number is continued
RESULTS = "results/extraction"
WINDOWS, TOKENS = f"{RESULTS}/datasets/{{}}/windows.parquet", f"{RESULTS}/datasets/{{}}/windows.npz"
BACKGROUND = f"{RESULTS}/datasets/local/background.npz"
PACKING = f"{RESULTS}/datasets/local/seed{{}}_packing.npz"
MODEL = f"{RESULTS}/models/{{}}/seed{{}}/model.safetensors"
TRAJECTORY = f"{RESULTS}/trajectories/{{}}/seed{{}}.npz"
SHARD = f"{RESULTS}/attacks/{{}}/seed0/shard{{}}.npz"
EVALUATION = f"{RESULTS}/evaluations/{{}}/seed{{}}/{{}}"
TABLE = "results/tables/extraction_{}.parquet"
STAGES = ("near_verbatim", "interference", "map")


@cache
def corpus():
    """Windows of lists of words and numbers."""
    found, words = [], ["amber", "birch", "coral", "delta", "ember", "flint", "grove"]
    for n in range(8):
        rng = generator("test", n, "document")
        text = " ".join(f"{words[rng.integers(7)]} {rng.integers(10**6)}" for _ in range(120))
        found.append(Document(f"list_{n}", "structured", text, f"digest of {n}"))
    return corpus_of(found, DATA | {"window": tokens_needed(DATA["lengths"])})


@cache
def arrays():
    return as_arrays(corpus().tokens, corpus().tokenizer, corpus().vocabulary)


@cache
def packing(seed=0):
    rng = generator("extraction", "local", seed, "packing")
    copies = copies_of(corpus().windows, seed, DATA["copies"])
    return pack(corpus().tokens, copies, corpus().background, DATA["row_length"], rng)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What the package makes of a run, each once."""

    class Made:
        folder = tmp_path_factory.mktemp("made")

        @staticmethod
        @cache
        def trained(name, seed=0):
            """A state and a trajectory."""
            of_text = packing(seed)["rows"], corpus().vocabulary, initial_weights(seed)
            learner = TextLearner(EXTRACTION.settings(name), *of_text, "cpu")
            rows = followed(corpus().windows, CONTROLS)
            unfinished = Unfinished(str(Made.folder / f"{name}{seed}.unfinished"), 1000)
            options = {"unfinished": unfinished, "report_seconds": 1000, "n_records": 3}
            return train(learner, corpus().tokens, rows, **EXTRACTION.scored(name), **options)

        @staticmethod
        @cache
        def attacked(name, shards=1):
            """The shares of an attack."""
            condition, windows = EXTRACTION.settings(name), corpus().windows
            model = opened(condition, [Made.trained(name)[0]], arrays(), "cpu")
            shares = [Shard(windows, arrays(), EXTRACTION.attack(name), n, shards, 0) for n in range(shards)]
            return [attacked(share, lambda _: model, condition) for share in shares]

        @staticmethod
        @cache
        def tables(name):
            """Tables by kind."""
            run = Evaluated(
                corpus().windows, arrays(), packing(), DATA["lengths"], EXTRACTION.about(name) | {"seed": 0}
            )
            small = EXTRACTION.condition(name)["small"]
            found, other = joined(Made.attacked(name)), joined(Made.attacked(small)) if small else None
            prompts, of_run = run.prompts(found), (EXTRACTION.condition(name)["architecture"], name, 0)
            trajectory, batch_size = Made.trained(name)[1], EXTRACTION.condition(name)["batch_size"]
            tables = {"prompts": prompts, "scores": run.scores(found, other), "rates": rates(prompts)}
            tables["records"] = extraction_records(trajectory, packing(), [], corpus().windows, *of_run, batch_size)
            return tables | {"runs": extraction_runs(trajectory, *of_run)}

        @staticmethod
        @cache
        def staged(name, stage):
            """The table of a stage."""
            state, data = Made.trained(name)[0], (corpus().windows, arrays(), [packing()])
            of_run = EXTRACTION.asked(name), (name, 0), "cpu"
            settings = EXTRACTION.section
            run = AttackedRun.opened(EXTRACTION.settings(name), [state], *data, *of_run)
            documents = [corpus().planted] if stage == "map" else []
            exact = {"exact": True} if stage == "near_verbatim" else {}  # of a model that is trained here
            return getattr(run, stage)(*documents, **settings[stage], **exact)

        @staticmethod
        def table(name, kind):
            return Made.staged(name, kind) if kind in STAGES else Made.tables(name)[kind]

        @staticmethod
        def pooled(kind, names=EXTRACTION.names):
            return pd.concat([Made.table(name, kind) for name in sorted(names)], ignore_index=True)

        @staticmethod
        @cache
        def of_all():
            """Tables of all runs that are made of others, by name."""
            tables = attack_tables(Made.pooled("prompts"), EXTRACTION.pairs)
            names = {"local": EXTRACTION.names}
            tables["membership"] = memberships(Made.pooled("scores"), [corpus().windows], [arrays()], names)
            tables["forecast"] = forecast_table(Made.pooled("records"), EXTRACTION.sizes)
            kinds = ("rates", "scores", "records", "near_verbatim", "interference")
            return tables | {kind: Made.pooled(kind) for kind in kinds}

    return Made()


@pytest.fixture
def run_rule(run_rule):
    """At smoke scale, but all conditions of one seed and with all stages."""

    def run(*arguments, config=None, **options):
        section = {"conditions": ALIKE} | (config or {}).get("extraction", {})
        return run_rule(*arguments, config={"extraction": section}, **options)

    return run


@pytest.fixture
def data(given):
    """The windows, by path."""
    return given(WINDOWS.format("local"), corpus().windows) | given(TOKENS.format("local"), arrays())


@pytest.fixture
def evaluations(given, made):
    """``evaluations(kind, names)``: that table of runs, by path."""

    def write(kind, names=EXTRACTION.names):
        inputs = {}
        for name in names:
            inputs |= given(EVALUATION.format(name, 0, f"{kind}.parquet"), made.table(name, kind))
        return inputs

    return write


@pytest.fixture
def background(given):
    return given(BACKGROUND, documents_as_arrays(corpus().background, corpus().planted))


def test_a_corpus_is_windows_background_and_documents_of_this_machine(run_rule, tmp_path):
    path = run_rule("extraction_corpus", WINDOWS.format("local"))
    windows, found = read_table(str(path)), read_arrays(tmp_path / TOKENS.format("local"))
    assert windows["role"].value_counts().to_dict() == {"control": 12, "planted": 6}
    assert set(windows["data_type"]) == {"structured"}
    assert found["tokens"].shape == (18, tokens_needed(DATA["lengths"]))
    assert found["vocabulary"] == DATA["vocabulary"]
    assert tokenizer_of(found).decode(found["tokens"][0].tolist()) == windows["text"][0]
    background = read_arrays(tmp_path / BACKGROUND)
    assert len(background["background"]) == DATA["background"]
    documents = planted_documents(background)
    for row, tokens in zip(windows.itertuples(), found["tokens"], strict=True):
        if row.role == "planted":
            np.testing.assert_array_equal(documents[row.document][row.start :][: len(tokens)], tokens)
    listed = pd.read_parquet(tmp_path / f"{RESULTS}/datasets/local/documents.parquet").set_index("document")
    assert set(listed.loc[windows["document"], "part"]) == {"held_out"}
    made_by = read_made_by(path)
    assert (made_by["rule"], made_by["params"]["dataset"]) == ("extraction_corpus", EXTRACTION.corpus_settings("local"))


def test_windows_of_texts_of_one_s_own_say_of_which_contents_they_are(run_rule, tmp_path):
    text, folder = tmp_path / "mine.jsonl", tmp_path / "mine"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(corpus().tokenizer)
    (folder / "model.safetensors").write_bytes(b"weights")  # which cut no windows
    lines = [f"{n} amber birch, {n * n} coral, {n**3} delta" for n in range(5)]
    text.write_text("".join(json.dumps({"body": line, "kind": "list", "n": 3}) + "\n" for line in lines))
    mine = {"name": "mine", "kind": "texts", "path": str(text), "text": "body", "data_type": "kind", "copies": "n"}
    mine |= {"tokenizer": str(folder), "lengths": [[4, 4]], "per_type": 4}
    config = {"extraction": {"datasets": [DATA, mine]}}
    path = run_rule("extraction_texts", WINDOWS.format("mine"), config=config)
    windows, found = read_table(str(path)), read_arrays(tmp_path / TOKENS.format("mine"))
    assert windows[["data_type", "role", "copies"]].drop_duplicates().to_numpy().tolist() == [["list", "text", 3]]
    assert found["tokens"].shape == (4, 8)
    for row in windows.itertuples():
        assert row.text in lines[int(row.document.rpartition(":")[2])]
    assert (
        tokenizer_text(found)
        == tokenizer_of({"tokenizer": np.frombuffer(corpus().tokenizer.encode(), np.uint8)}).to_str()
    )
    noted = read_made_by(path)["params"]["dataset"]
    assert (noted["window"], "lengths" in noted) == (8, False)
    read = (text, folder / "tokenizer.json")
    assert noted["contents"] == {str(each): sha256(each.read_bytes()).hexdigest() for each in read}


def test_a_seed_plants_its_own_windows_at_its_own_places(run_rule, data, background):
    first, second = (run_rule("extraction_pack", PACKING.format(seed), data | background) for seed in (0, 1))
    assert read_made_by(first)["made_from"].keys() == {*data, *background}
    for seed, path in enumerate((first, second)):
        found = read_arrays(path)
        assert found.keys() == packing(seed).keys()
        for name, array in packing(seed).items():
            np.testing.assert_array_equal(found[name], array)
    assert (packing(0)["copies"] != packing(1)["copies"]).any()


def test_training_learns_and_leaves_a_folder_that_can_be_loaded(run_rule, given, data, tmp_path):
    inputs = data | given(PACKING.format(0), packing())
    config = {"extraction": {"evaluation": {"n_controls": CONTROLS}}}
    path = run_rule("extraction_train", TRAJECTORY.format("neox_m", 0), inputs, config=config, as_in_a_run=True)
    found = read_arrays(path)
    steps = EXTRACTION.training_size("neox_m")["steps"]
    assert found["step"][[0, -1]].tolist() == [0, steps]
    assert found["loss"].shape == (steps,)
    assert found["loss"][-3:].mean() < found["loss"][:3].mean() - 0.5
    assert found["nll"].shape == found["right"].shape == (len(found["step"]), 6 + CONTROLS)
    made_by = read_made_by(path)
    assert made_by["params"] == {
        "condition": EXTRACTION.settings("neox_m"),
        "scored": {"prefix": 8, "suffix": 4},
        "evaluation": {"n_records": 3, "n_controls": CONTROLS},
    }
    assert made_by["made_from"].keys() == inputs.keys()
    assert "matplotlib" not in made_by["versions"]
    model = tmp_path / MODEL.format("neox_m", 0)
    assert not list(model.parent.glob("*.unfinished"))
    assert f"step {steps}/{steps}  loss" in (tmp_path / "logs/extraction/train/neox_m/seed0.log").read_text()

    loaded = load(str(model.parent), "cpu", "float32")
    mine = opened(EXTRACTION.settings("neox_m"), [read_tensors(model)], arrays(), "cpu")
    tokens = torch.from_numpy(corpus().tokens[:2].astype(np.int64))
    torch.testing.assert_close(loaded.logits(tokens), mine.logits(tokens))
    assert (model.parent / "tokenizer.json").read_text() == corpus().tokenizer
    assert read_made_by(model)["params"] == made_by["params"]


def test_training_refuses_a_damaged_packing_by_name(run_rule, given, data, tmp_path):
    damaged = given(PACKING.format(0), packing())
    (path, file) = next(iter(damaged.items()))
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(WorkflowError):
        run_rule("extraction_train", TRAJECTORY.format("neox_s", 0), data | damaged)
    last = (tmp_path / "logs/extraction/train/neox_s/seed0.log").read_text().splitlines()[-1]
    assert f"{path}: damaged" in last


def test_shares_of_an_attack_are_its_whole(run_rule, given, data, made, tmp_path):
    inputs = data | given(MODEL.format("mamba_m", 0), made.trained("mamba_m")[0])
    paths = [run_rule("extraction_attack", SHARD.format("mamba_m", n), inputs) for n in range(2)]
    found, (expected,) = joined(list(map(read_arrays, paths))), made.attacked("mamba_m")
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-6)
        else:
            np.testing.assert_array_equal(found[name], values)
    made_by = read_made_by(paths[0])
    assert made_by["made_from"].keys() == inputs.keys()
    assert made_by["params"]["attack"] == EXTRACTION.attack("mamba_m")
    log = (tmp_path / "logs/extraction/attack/mamba_m/seed0/shard0.log").read_text()
    assert "window 9/9" in log
    assert "generated 2 prompts token by token: all as in one pass" in log
    assert not list(paths[0].parent.glob("*.unfinished"))


def test_evaluation_makes_the_tables_of_a_run(run_rule, given, data, made, tmp_path):
    inputs = data | given(PACKING.format(0), packing())
    for name in ("neox_s", "neox_m"):
        inputs |= given(SHARD.format(name, 0), made.attacked(name)[0])
    path = run_rule("extraction_evaluate", EVALUATION.format("neox_m", 0, "prompts.parquet"), inputs)
    assert read_made_by(path)["made_from"].keys() == inputs.keys()
    about = {"model": "neox_m", "revision": ""}
    assert read_made_by(path)["params"] == {"about": about, "lengths": DATA["lengths"]}
    expected = made.tables("neox_m")
    for kind in ("prompts", "scores", "rates"):
        pd.testing.assert_frame_equal(read_table(str(path.with_name(f"{kind}.parquet"))), expected[kind])
    assert len(expected["prompts"]) == 18 * 4 - 10  # those with a fixed suffix of controls that are not continued
    assert expected["scores"]["small_large_ratio"].notna().all()
    csv = pd.read_csv(path.with_suffix(".csv"), keep_default_na=False)
    assert list(csv) == list(expected["prompts"])
    assert csv["prefix"].tolist() == expected["prompts"]["prefix"].tolist()
    scores = pd.read_csv(path.with_name("scores.csv"))
    pd.testing.assert_frame_equal(scores, expected["scores"], check_dtype=False)
    source = pd.read_csv(path.with_name("source.csv"))
    assert list(source) == list(pd.read_parquet(path.with_name("source.parquet"))) == OF_SOURCE
    np.testing.assert_allclose(source["PPL_S"], made.tables("neox_s")["scores"]["perplexity"], rtol=1e-5)
    assert path.with_name("source.txt").read_text().count("======== top sample by ") == 4


def test_records_know_what_a_window_costs_those_that_never_had_it(run_rule, given, data, made):
    inputs = given(WINDOWS.format("local"), corpus().windows)
    for seed in range(3):
        inputs |= given(PACKING.format(seed), packing(seed))
        inputs |= given(TRAJECTORY.format("neox_s", seed), made.trained("neox_s", seed)[1])
    path = EVALUATION.format("neox_s", 0, "records.parquet")
    path = run_rule("extraction_record", path, inputs, config={"extraction": {"seeds": 3}})
    assert read_made_by(path)["made_from"].keys() == inputs.keys()
    records = pd.read_parquet(path)
    assert list(records) == list(RECORD)
    planted = records[records["phase"] == "train"].drop_duplicates("item").set_index("item")
    assert len(planted) == 4
    for item, row in planted.iterrows():
        place = corpus().windows["window"].tolist().index(item)
        (unseen,) = [seed for seed in (1, 2) if not packing(seed)["copies"][place]]
        of_twin = made.trained("neox_s", unseen)[1]
        nll = of_twin["nll"][-1, of_twin["rows"].tolist().index(place)]
        assert row["prior_bits"] == pytest.approx(nll / np.log(2), rel=1e-6)
    last = records[records["step"] == records["step"].max()].set_index("item")["exposures"]
    assert last[planted.index].tolist() == [packing()["copies"][int(item[-3:])] for item in planted.index]
    runs = pd.read_parquet(path.with_name("runs.parquet"))
    assert list(runs) == list(RUN)
    assert runs["parameters"].item() == made.trained("neox_s")[1]["parameters"]


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ("extraction_near_verbatim", "near_verbatim"),
        ("extraction_interfere", "interference"),
        ("extraction_map", "map"),
    ],
)
def test_a_stage_makes_its_table(run_rule, given, data, background, made, rule, kind):
    inputs = data | given(PACKING.format(0), packing()) | given(MODEL.format("mamba_m", 0), made.trained("mamba_m")[0])
    inputs |= background if kind == "map" else {}
    path = run_rule(rule, EVALUATION.format("mamba_m", 0, f"{kind}.parquet"), inputs)
    pd.testing.assert_frame_equal(read_table(str(path)), made.staged("mamba_m", kind), rtol=1e-4)
    made_by = read_made_by(path)
    assert made_by["made_from"].keys() == inputs.keys()
    assert made_by["params"].keys() == {"condition", "attack", "stage"}
    assert made_by["params"]["attack"] == EXTRACTION.asked("mamba_m")
    assert made_by["params"]["stage"].items() >= EXTRACTION.section[kind].items()


def test_samples_are_a_page_that_shows_texts_as_they_are(run_rule, given, made):
    prompts = made.tables("neox_m")["prompts"].copy()
    prompts.loc[prompts["window"] == "structured_000", "prefix"] = "<script>amber</script>"
    inputs = given(EVALUATION.format("neox_m", 0, "prompts.parquet"), prompts)
    page = run_rule("extraction_sample", f"{RESULTS}/samples/neox_m/seed0.html", inputs).read_text()
    assert "Samples of neox_m, seed 0" in page
    assert "&lt;script&gt;amber" in page
    assert "<script>" not in page
    assert "control" in page
    assert "extraction_sample" in page  # it says what made it


def test_tables_hold_all_runs(run_rule, evaluations, tmp_path):
    kinds = ("rates", "scores", "records", "runs", "near_verbatim", "interference")
    inputs = {path: file for kind in kinds for path, file in evaluations(kind).items()}
    run_rule("extraction_runs_table", TABLE.format("rates"), inputs)
    for kind in kinds:
        table = pd.read_parquet(tmp_path / TABLE.format(kind))
        assert table["model" if kind == "rates" else "condition"].unique().tolist() == ["mamba_m", "neox_m", "neox_s"]


def test_rates_over_seeds_fits_and_differences_are_made_of_prompts(run_rule, evaluations, made, tmp_path):
    inputs = evaluations("prompts")
    path = run_rule("extraction_attack_table", TABLE.format("difference"), inputs)
    assert read_made_by(path)["made_from"].keys() == inputs.keys()
    expected = attack_tables(made.pooled("prompts"), EXTRACTION.pairs)
    assert expected.keys() == {"intervals", "fits", "difference", "difference_intervals"}
    for name, table in expected.items():
        pd.testing.assert_frame_equal(read_table(str(tmp_path / TABLE.format(name))), table)
    assert set(expected["difference"]["comparison"]) == {"mamba_m − neox_m"}


def test_membership_is_told_by_each_score_of_each_run(run_rule, evaluations, data):
    inputs = evaluations("scores") | data
    path = run_rule("extraction_membership_table", TABLE.format("membership"), inputs)
    assert read_made_by(path)["made_from"].keys() == inputs.keys()
    table = pd.read_parquet(path)
    assert set(table["condition"]) == {*EXTRACTION.names}
    assert {"loss", "zlib_ratio", "min_k", "blind"} <= {*table["score"]}
    assert set(table.loc[table["score"] == "small_large_ratio", "condition"]) == {"neox_m"}
    over_all = table[table["copies"] == -1]
    assert set(over_all["n_members"]) == {4}
    assert set(over_all["n_non_members"]) == {12}


def test_forecasts_are_made_of_the_pooled_records_alone(run_rule, given, made):
    records = made.pooled("records")
    records.loc[(records["step"] == records["step"].max()) & records["item"].eq("structured_002"), "exact"] = True
    path = run_rule("extraction_forecast_table", TABLE.format("forecast"), given(TABLE.format("records"), records))
    table = pd.read_parquet(path)
    assert set(table["condition"]) == {"neox_m"}
    by_small = table[table["predictor"] == "neox_s"].iloc[0]
    assert (by_small["precision"], by_small["recall"], by_small["n_items"]) == (1, 1, 4)


def test_findings_are_made_of_pooled_tables_alone(run_rule, given, made):
    names = ("rates", "scores", "fits", "difference", "membership", "forecast", "interference", "near_verbatim")
    inputs = {path: file for name in names for path, file in given(TABLE.format(name), made.of_all()[name]).items()}
    path = run_rule("extraction_findings_table", "results/tables/extraction_findings.csv", inputs)
    values = pd.read_csv(path).set_index(["finding", "condition"])["value"]
    assert 0 <= values["exact, uniform, all", "mamba_m"] <= 1
    assert ("exact, uniform, all, difference", "neox_m - neox_s") in values.index
    assert ("exact, all trained on, difference", "mamba_m - neox_m") in values.index
    for found in ("exact, 8 copies", "exact, controls", "AUC of blind", "exact behind 12 tokens less behind 0"):
        assert (found, "neox_m") in values.index
    assert read_made_by(path.with_suffix(".parquet"))["made_from"].keys() == inputs.keys()


@pytest.mark.parametrize(
    ("rule", "kind", "there"),
    [
        ("extraction_copies_figure", "rates", ["copies in training", "controls, never trained on"]),
        ("extraction_prefix_figure", "rates", ["tokens of the prefix", "fixed suffix"]),
        ("extraction_size_figure", "rates", ["parameters", "each window once"]),
        ("extraction_data_type_figure", "rates", ["structured"]),
        ("extraction_interference_figure", "interference", ["unrelated tokens before the window"]),
        ("extraction_near_verbatim_figure", "near_verbatim", ["mass within one token"]),
        ("extraction_map_figure", "map", ["token of the document", "around a planted window"]),
    ],
)
def test_a_figure_is_drawn_of_all_models(draw, evaluations, rule, kind, there):
    svg = draw(rule, rule.removesuffix("_figure"), evaluations(kind))
    for text in there:
        assert text in svg
    if kind != "rates":
        assert all(name in svg for name in EXTRACTION.names)


@pytest.mark.parametrize(
    ("rule", "there"),
    [
        ("extraction_membership_figure", ["loss", "blind"]),
        ("extraction_difference_figure", ["mamba_m more", "neox_m more"]),
        ("extraction_forecast_figure", ["precision", "share of training at the forecast"]),
    ],
)
def test_a_figure_is_drawn_of_a_pooled_table(draw, given, made, rule, there):
    name = rule.removeprefix("extraction_").removesuffix("_figure")
    svg = draw(rule, f"extraction_{name}", given(TABLE.format(name), made.of_all()[name]))
    for text in there:
        assert text in svg
