import numpy as np
import pandas as pd
import pytest
from snakemake.exceptions import WorkflowError

from memorization.data.sequences import sample_sequences, zipf_probabilities
from memorization.files import read_arrays, read_made_by, write_arrays, write_table
from memorization.provenance import generator
from memorization.records import RECORD, RUN
from memorization.training.checkpoints import read_tensors
from memorization.zipf.evaluation import by_sequence, summary

COUNT, LENGTH = 80, 12  # of config/smoke.yaml
SEQUENCES = "results/zipf/sequences/smoke/seed0.npz"
TRAJECTORY = "results/zipf/trajectories/medium/seed0/step40.npz"
RUNS = "results/zipf/evaluations/{condition}/seed{seed}"


@pytest.fixture
def sequences(tmp_path):
    rng = generator("smoke", 0, "sequences")
    arrays = {"sequences": sample_sequences(COUNT, LENGTH, rng), "probabilities": zipf_probabilities(COUNT, 1.0)}
    path = tmp_path / "given.npz"
    write_arrays(path, arrays, {})
    return path


@pytest.fixture
def evaluations(tmp_path):
    """Tables of all smoke runs, as if each had memorized its sequences at the same rate."""
    rng, given = np.random.default_rng(0), {}
    sequences, p = sample_sequences(COUNT, LENGTH, rng), zipf_probabilities(COUNT, 1.0)
    for condition in ("small", "medium", "large_rope", "large_lr"):
        for seed in (0, 1):
            step = np.repeat([0, 1, 10, 40], COUNT)
            rank = np.tile(np.arange(COUNT), 4)
            presentations = np.round(step * 64 * p[rank]).astype(int)
            nll = np.repeat(np.log(2) / (1 + presentations[:, None] * (1 + seed)), LENGTH, axis=1)
            trajectory = {
                "step": step,
                "rank": rank,
                "presentations": presentations,
                "last_presentation": step,
                "nll": nll.astype(np.float32),
            }
            table = by_sequence(trajectory, sequences, p, condition, "decoder", seed)
            weighted = {"weighted_step": np.unique(step), "weighted_loss": 0.7 - np.arange(4) / 10}
            for name, rows in (("by_sequence", table), ("summary", summary(weighted, table, p, stride=1))):
                path = tmp_path / f"{condition}{seed}{name}.parquet"
                write_table(path, rows, {})
                given[f"{RUNS.format(condition=condition, seed=seed)}/{name}.parquet"] = path
    return given


def test_sequences_are_sampled_from_their_own_stream(run_rule, sequences):
    made, given = (read_arrays(path) for path in (run_rule("zipf_sequences", SEQUENCES), sequences))
    np.testing.assert_array_equal(made["sequences"], given["sequences"])
    np.testing.assert_array_equal(made["probabilities"], given["probabilities"])


def test_training_learns_and_says_what_made_it(run_rule, sequences, tmp_path):
    path = run_rule("zipf_train", TRAJECTORY, {SEQUENCES: sequences})
    trajectory = read_arrays(path)
    top = trajectory["rank"] < 5
    begin, end = (trajectory["nll"][top & (trajectory["step"] == step)].mean() for step in (0, 40))
    assert end < begin - 0.05
    assert trajectory["presentations"][trajectory["step"] == 40].sum() == 40 * 64
    checkpoint = tmp_path / "results/zipf/checkpoints/medium/seed0/step40.safetensors"
    state = read_tensors(checkpoint)
    assert state["presentations"].sum() == 40 * 64
    assert "optimizer.0.exp_avg" in state
    made_by, of_trajectory = read_made_by(checkpoint), read_made_by(path)
    assert made_by.pop("sha256") != of_trajectory.pop("sha256")
    assert made_by == of_trajectory
    assert made_by["wildcards"] == {"condition": "medium", "seed": "0", "step": "40"}
    assert made_by["device"] in ("cpu", "cuda")
    assert made_by["params"]["condition"]["n_layers"] == 2
    assert made_by["threads"] == 1
    assert {"python", "numpy", "torch"} <= made_by["versions"].keys()
    assert not list(checkpoint.parent.glob("*.unfinished"))
    log = (tmp_path / "logs/zipf/train/medium/seed0/step40.log").read_text()
    assert f"zipf_train condition=medium seed=0 step=40 code={made_by['code']}" in log
    assert "step 40/40  loss" in log


def test_a_training_can_be_asked_for_at_any_step(run_rule, sequences):
    path = run_rule("zipf_train", TRAJECTORY.replace("step40", "step7"), {SEQUENCES: sequences})
    assert read_arrays(path)["step"].max() == 7


def test_training_refuses_damaged_sequences_by_name(run_rule, sequences, tmp_path):
    sequences.write_bytes(sequences.read_bytes()[:-30])
    with pytest.raises(WorkflowError):
        run_rule("zipf_train", TRAJECTORY, {SEQUENCES: sequences})
    log = (tmp_path / "logs/zipf/train/medium/seed0/step40.log").read_text()
    assert f"{SEQUENCES}: damaged" in log.splitlines()[-1]
    assert "delete it and run again" in log.splitlines()[-1]
    assert not (tmp_path / TRAJECTORY).exists()


def test_evaluation_makes_the_three_tables_of_a_run(run_rule, sequences, tmp_path):
    given = tmp_path / "given_trajectory.npz"
    trajectory = {
        "step": np.full(COUNT, 40),
        "rank": np.arange(COUNT),
        "presentations": np.arange(COUNT),
        "last_presentation": np.arange(COUNT),
        "nll": np.full((COUNT, LENGTH), 0.1, np.float32),
        "parameters": np.array(1234),
        "weighted_step": np.array([40]),
        "weighted_loss": np.array([0.1]),
    }
    write_arrays(given, trajectory, {})
    run = RUNS.format(condition="medium", seed=0)
    made = run_rule("zipf_evaluate", f"{run}/by_sequence.parquet", {SEQUENCES: sequences, TRAJECTORY: given})
    table = pd.read_parquet(made)
    assert len(table) == COUNT
    assert set(table["condition"]) == {"medium"}
    assert table["loss"].to_numpy() == pytest.approx(0.1, abs=1e-6)
    names = ("summary", "records", "runs")
    totals, records, runs = (pd.read_parquet(tmp_path / run / f"{name}.parquet") for name in names)
    assert totals["weighted_loss"].tolist() == [0.1]
    assert read_made_by(made)["made_from"].keys() == {SEQUENCES, TRAJECTORY}
    assert list(records) == list(RECORD)
    assert list(runs) == list(RUN)
    assert runs["parameters"].tolist() == [1234]
    assert runs["steps"].tolist() == [40]


def test_table_holds_all_runs(run_rule, evaluations):
    wanted = {path: file for path, file in evaluations.items() if "by_sequence" in path}
    path = run_rule("zipf_table", "results/tables/zipf_by_sequence.parquet", wanted)
    table = pd.read_parquet(path)
    assert len(table) == 8 * 4 * COUNT
    assert table.groupby(["condition", "seed"]).ngroups == 8
    assert read_made_by(path)["made_from"].keys() == wanted.keys()


@pytest.mark.parametrize("name", ["loss", "accuracy_medium_low"])
def test_curves_are_drawn_from_the_evaluations_alone(run_rule, evaluations, tmp_path, name):
    wanted = {path: file for path, file in evaluations.items() if "by_sequence" in path}
    wanted = {path: file for path, file in wanted.items() if "medium" in path or name == "loss"}
    svg = run_rule("zipf_curves_figure", f"results/figures/zipf_{name}.svg", wanted).read_text()
    assert svg.startswith("<?xml")
    assert "zipf_curves_figure" in svg
    assert (tmp_path / f"results/figures/zipf_{name}.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / f"results/figures/zipf_{name}.png").read_bytes().startswith(b"\x89PNG")


def test_comparison_is_drawn_from_the_evaluations_alone(run_rule, evaluations):
    wanted = {path: file for path, file in evaluations.items() if "summary" in path and "large_lr" not in path}
    svg = run_rule("zipf_comparison_figure", "results/figures/zipf_comparison.svg", wanted).read_text()
    assert "zipf_comparison_figure" in svg
