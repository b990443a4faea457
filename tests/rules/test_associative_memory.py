import numpy as np
import pandas as pd
import pytest
import torch

from memorization.data.sequences import following_set, sample_sequences, zipf_probabilities
from memorization.files import read_arrays, write_arrays, write_table
from memorization.provenance import generator
from memorization.random_sequences.measures import evaluate
from memorization.records import RECORD, RUN
from memorization.training.checkpoints import read_tensors, write_tensors

COUNT, LENGTH = 80, 12  # of config/smoke.yaml
FAMILY = "results/associative_memory"
SEQUENCES, FOLLOWING = (f"{FAMILY}/sequences/smoke/seed0{ending}.npz" for ending in ("", "_resample1"))
TRAJECTORY = f"{FAMILY}/trajectories/{{}}/seed0/step{{}}.npz"
CHECKPOINT = f"{FAMILY}/checkpoints/{{}}/seed0/step{{}}.safetensors"
CONDITIONS = ("heads_1", "heads_2", "linear_readout")


@pytest.fixture
def given(tmp_path):
    first = sample_sequences(COUNT, LENGTH, generator("smoke", 0, "sequences"))
    second = following_set(first[None], "resample", np.random.default_rng(0))
    paths = {SEQUENCES: tmp_path / "first.npz", FOLLOWING: tmp_path / "second.npz"}
    for path, sequences in zip(paths.values(), (first, second), strict=True):
        write_arrays(path, {"sequences": sequences, "probabilities": zipf_probabilities(COUNT, 1.0)}, {})
    return paths


@pytest.fixture
def evaluations(tmp_path):
    """Tables of smoke runs, of this family and of zipf's small, that differ by condition."""
    paths = {}
    sequences, p = sample_sequences(COUNT, LENGTH, np.random.default_rng(0)), zipf_probabilities(COUNT, 1.0)
    for condition in (*CONDITIONS, "resample", "small"):
        begin, sets = (40, 2) if condition == "resample" else (0, 1)
        for seed in (0, 1):
            step = np.repeat([begin, begin + 5, begin + 20], COUNT)
            rank = np.tile(np.arange(COUNT), 3)
            trajectory = {"step": step, "rank": rank, "set": np.full(len(step), sets - 1), "last_exposure_step": step}
            trajectory |= {"exposures": (step - begin) * (1 + seed) + 1}
            nll = np.repeat(0.7 / (1 + step[:, None]), LENGTH, axis=1).astype(np.float32)
            weighted = {"weighted_step": np.unique(step), "weighted_loss": np.full(3, 0.3)}
            run = {"condition": condition, "model": "x", "seed": seed, "n_heads": len(condition), "eta": 10.0}
            tables = evaluate([trajectory | weighted | {"nll": nll}], np.stack([sequences] * sets), p, 1, run)
            family = "results/zipf" if condition == "small" else FAMILY
            for name, table in zip(("by_sequence", "summary"), tables, strict=True):
                file = tmp_path / f"{condition}{seed}{name}.parquet"
                write_table(file, table, {})
                paths[f"{family}/evaluations/{condition}/seed{seed}/{name}.parquet"] = file
    return paths


def test_training_fills_the_queue_and_goes_on_after_a_switch(run_rule, given, tmp_path):
    checkpoint = run_rule("associative_memory_train", CHECKPOINT.format("heads_2", 40), {SEQUENCES: given[SEQUENCES]})
    state = read_tensors(checkpoint)
    assert state["model.stored"] == 40 * 64
    assert (state["model.queue"] >= 0).all()
    assert state["model.queue"].shape == (640,)
    trajectory = read_arrays(tmp_path / TRAJECTORY.format("heads_2", 40))
    assert trajectory["parameters"] == 2 * 12 * 11 // 2 + 2 * 12
    assert trajectory["weighted_loss"][-1] < trajectory["weighted_loss"][0] - 0.02
    following = {FOLLOWING: given[FOLLOWING]}
    after = read_tensors(run_rule("associative_memory_train", CHECKPOINT.format("resample", 60), following))
    assert after["model.stored"] == 60 * 64
    assert after["exposures"].sum(dim=1).tolist() == [40 * 64, 20 * 64]


def test_evaluation_tells_heads_temperature_and_memory(run_rule, given, tmp_path):
    trajectory = {name: np.zeros(COUNT, int) for name in ("step", "set", "exposures", "last_exposure_step")}
    trajectory |= {"rank": np.arange(COUNT), "nll": np.full((COUNT, LENGTH), 0.1, np.float32)}
    trajectory |= {"parameters": np.array(312), "trainable": np.array(312)}
    write_arrays(
        tmp_path / "t.npz", trajectory | {"weighted_step": np.array([0]), "weighted_loss": np.array([0.1])}, {}
    )
    inputs = {SEQUENCES: given[SEQUENCES], TRAJECTORY.format("heads_2", 40): tmp_path / "t.npz"}
    run = tmp_path / f"{FAMILY}/evaluations/heads_2/seed0"
    table = pd.read_parquet(
        run_rule("associative_memory_evaluate", f"{FAMILY}/evaluations/heads_2/seed0/by_sequence.parquet", inputs)
    )
    assert table[["n_heads", "eta", "memory_size"]].drop_duplicates().to_numpy().tolist() == [[2, 10.0, 640]]
    records, runs = (pd.read_parquet(run / f"{name}.parquet") for name in ("records", "runs"))
    assert list(records) == list(RECORD)
    assert set(records["arm"]) == {"associative_memory"}
    assert list(runs) == list(RUN)
    assert runs["state_bits"].tolist() == [32 * 312 + 640 * LENGTH]  # the queue is state


def test_table_holds_all_runs(run_rule, evaluations):
    wanted = {path: file for path, file in evaluations.items() if "summary" in path and FAMILY in path}
    table = pd.read_parquet(
        run_rule("associative_memory_table", "results/tables/associative_memory_summary.parquet", wanted)
    )
    assert table.groupby(["condition", "seed"]).ngroups == 8


@pytest.mark.parametrize(
    ("figure", "table", "conditions"),
    [
        ("loss", "by_sequence", ["heads_1", "heads_2"]),
        ("switch", "summary", ["heads_2", "resample"]),
        ("heads", "summary", ["heads_1", "heads_2"]),
        ("comparison", "by_sequence", ["heads_1", "heads_2", "small"]),
    ],
)
def test_figures_are_drawn_from_the_evaluations_alone(run_rule, evaluations, figure, table, conditions):
    rule = {"loss": "associative_memory_curves_figure", "switch": "associative_memory_switch_figure"}.get(figure)
    rule = (
        rule
        or {"heads": "associative_memory_heads_figure", "comparison": "associative_memory_comparison_figure"}[figure]
    )
    wanted = {
        path: file
        for path, file in evaluations.items()
        if path.endswith(f"{table}.parquet") and path.split("/")[3] in conditions
    }
    assert len(wanted) == 2 * len(conditions)
    assert rule in run_rule(rule, f"results/figures/associative_memory_{figure}.svg", wanted).read_text()


def test_attention_maps_are_drawn_from_a_checkpoint_alone(run_rule, tmp_path):
    state = {"model.attention_logits": torch.zeros(12, 2, 12), "model.memory_logits": torch.zeros(2, 12)}
    write_tensors(tmp_path / "given.safetensors", state, {})
    target = "results/figures/associative_memory_attention.svg"
    wanted = {CHECKPOINT.format("heads_2", 40): tmp_path / "given.safetensors"}
    assert "A(n), n = 4" in run_rule("associative_memory_attention_figure", target, wanted).read_text()
