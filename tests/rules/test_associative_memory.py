import numpy as np
import pandas as pd
import pytest
import torch
from sections import complete

from memorization.associative_memory.conditions import AssociativeMemory
from memorization.data.sequences import following_set, sample_sequences, zipf_probabilities
from memorization.files import read_arrays, read_made_by
from memorization.provenance import generator
from memorization.random_sequences.measures import evaluate
from memorization.records import RECORD, RUN
from memorization.training.checkpoints import read_tensors

MEMORY = AssociativeMemory(complete("smoke")["associative_memory"])  # heads_2 of two seeds, and resample after it
COUNT, LENGTH = 80, 12
FOLDER = "results/associative_memory"
SEQUENCES, FOLLOWING = (f"{FOLDER}/sequences/smoke/seed0{ending}.npz" for ending in ("", "_resample1"))
TRAJECTORY = f"{FOLDER}/trajectories/{{}}/seed0/step{{}}.npz"
CHECKPOINT = f"{FOLDER}/checkpoints/{{}}/seed0/step{{}}.safetensors"
EVALUATION = f"{FOLDER}/evaluations/{{}}/seed{{}}/{{}}.parquet"


@pytest.fixture
def sequences(given):
    first = sample_sequences(COUNT, LENGTH, generator("smoke", 0, "sequences"))
    second = following_set(first[None], "resample", np.random.default_rng(0))
    inputs, p = {}, zipf_probabilities(COUNT, 1.0)
    for path, sequences in ((SEQUENCES, first), (FOLLOWING, second)):
        inputs |= given(path, {"sequences": sequences, "probabilities": p})
    return inputs


@pytest.fixture
def evaluations(given):
    """``evaluations(kind, *conditions)``: tables of their smoke runs, which differ by condition."""
    sequences, p = sample_sequences(COUNT, LENGTH, np.random.default_rng(0)), zipf_probabilities(COUNT, 1.0)

    def of(kind, *conditions):
        inputs = {}
        for run in MEMORY.runs(kind, conditions).wildcards:
            first, sets = (40, 2) if run["condition"] == "resample" else (0, 1)
            step, rank = np.repeat([first, first + 5, first + 20], COUNT), np.tile(np.arange(COUNT), 3)
            trajectory = {"step": step, "rank": rank, "set": np.full(len(step), sets - 1), "last_exposure_step": step}
            trajectory |= {"exposures": (step - first) * (1 + run["seed"]) + 1}
            nll = np.repeat(0.7 / (1 + step[:, None]), LENGTH, axis=1).astype(np.float32)
            weighted = {"weighted_step": np.unique(step), "weighted_loss": np.full(3, 0.3)}
            columns = run | {"architecture": "associative_memory", "n_heads": 2, "eta": 10.0}
            tables = evaluate([trajectory | weighted | {"nll": nll}], np.stack([sequences] * sets), p, 1, columns)
            table = dict(zip(("by_sequence", "summary"), tables, strict=True))[kind]
            inputs |= given(EVALUATION.format(run["condition"], run["seed"], kind), table)
        return inputs

    return of


def test_training_fills_the_queue_and_goes_on_after_a_switch(run_rule, sequences, tmp_path):
    checkpoint = run_rule("associative_memory_train", CHECKPOINT.format("heads_2", 40), sequences)
    state = read_tensors(checkpoint)
    assert state["model.stored"] == 40 * 64
    assert (state["model.queue"] >= 0).all()
    assert state["model.queue"].shape == (640,)
    trajectory = read_arrays(tmp_path / TRAJECTORY.format("heads_2", 40))
    assert trajectory["parameters"] == 2 * 12 * 11 // 2 + 2 * 12
    assert trajectory["weighted_loss"][-1] < trajectory["weighted_loss"][0] - 0.02
    assert not list(checkpoint.parent.glob("*.unfinished"))
    after = read_tensors(run_rule("associative_memory_train", CHECKPOINT.format("resample", 60)))
    assert after["model.stored"] == 60 * 64
    assert after["exposures"].sum(dim=1).tolist() == [40 * 64, 20 * 64]


def test_evaluation_tells_heads_temperature_and_memory(run_rule, sequences, given, tmp_path):
    trajectory = {name: np.zeros(COUNT, int) for name in ("step", "set", "exposures", "last_exposure_step")}
    trajectory |= {"rank": np.arange(COUNT), "nll": np.full((COUNT, LENGTH), 0.1, np.float32)}
    trajectory |= {"parameters": np.array(312), "trainable": np.array(312)}
    trajectory |= {"weighted_step": np.array([0]), "weighted_loss": np.array([0.1])}
    inputs = sequences | given(TRAJECTORY.format("heads_2", 40), trajectory)
    path = run_rule("associative_memory_evaluate", EVALUATION.format("heads_2", 0, "by_sequence"), inputs)
    table = pd.read_parquet(path)
    assert table[["n_heads", "eta", "memory_size"]].drop_duplicates().to_numpy().tolist() == [[2, 10.0, 640]]
    records, runs = (pd.read_parquet(tmp_path / EVALUATION.format("heads_2", 0, name)) for name in ("records", "runs"))
    assert list(records) == list(RECORD)
    assert set(records["arm"]) == {"associative_memory"}
    assert list(runs) == list(RUN)
    assert runs["state_bits"].tolist() == [32 * 312 + 640 * LENGTH]  # the queue is state


def test_tables_hold_all_runs(run_rule, given, tmp_path):
    inputs, kinds = {}, ("by_sequence", "summary", "records", "runs")
    for kind in kinds:
        for run in MEMORY.runs(kind).wildcards:
            table = pd.DataFrame([run | {"kind": kind}])
            inputs |= given(EVALUATION.format(run["condition"], run["seed"], kind), table)
    run_rule("associative_memory_runs_table", "results/tables/associative_memory_summary.parquet", inputs)
    for kind in kinds:
        path = tmp_path / f"results/tables/associative_memory_{kind}.parquet"
        table = pd.read_parquet(path)
        assert set(table["kind"]) == {kind}
        assert list(zip(table["condition"], table["seed"], strict=True)) == [
            ("heads_2", 0), ("heads_2", 1), ("resample", 0),
        ]  # fmt: skip
        assert len(read_made_by(path)["made_from"]) == 3


@pytest.mark.parametrize(
    ("rule", "kind", "conditions", "shown"),
    [
        ("associative_memory_loss_figure", "by_sequence", ["heads_2"], "rank 30"),
        ("associative_memory_accuracy_figure", "by_sequence", ["heads_2"], "Bayes ceiling"),
        ("associative_memory_switch_figure", "summary", ["heads_2", "resample"], "old sequences have left the queue"),
        ("associative_memory_heads_figure", "summary", ["heads_2"], "attention heads, H"),
    ],
)
def test_figures_are_drawn_from_the_evaluations_alone(draw, evaluations, rule, kind, conditions, shown):
    assert shown in draw(rule, rule.removesuffix("_figure"), evaluations(kind, *conditions))


def test_attention_maps_are_drawn_from_a_checkpoint_alone(draw, given):
    state = {"model.attention_logits": torch.zeros(12, 2, 12), "model.memory_logits": torch.zeros(2, 12)}
    inputs = given(CHECKPOINT.format("heads_2", 40), state)
    svg = draw("associative_memory_attention_figure", "associative_memory_attention", inputs)
    assert "A(n), n = 4" in svg
    assert "heads_2, seed 0" in svg


def test_findings_are_made_of_the_pooled_tables_alone(run_rule, evaluations, given):
    inputs = {}
    for kind in ("summary", "by_sequence"):
        tables = [pd.read_parquet(file) for file in evaluations(kind, "heads_2", "resample").values()]
        old = [
            table.assign(set=0, phase="before_switch", switch_start_step=0)
            for table in tables
            if table["condition"].iloc[0] == "resample"
        ]
        inputs |= given(f"results/tables/associative_memory_{kind}.parquet", pd.concat(tables + old, ignore_index=True))
    path = run_rule("associative_memory_findings_table", "results/tables/associative_memory_findings.csv", inputs)
    table = pd.read_csv(path).set_index(["finding", "condition"])
    assert table.loc[("suffix accuracy, at the end", "heads_2"), "n"] == 2
    assert ("old set, suffix accuracy when old sequences have left the queue", "resample") in table.index
    assert read_made_by(path.with_suffix(".parquet"))["made_from"].keys() == inputs.keys()
