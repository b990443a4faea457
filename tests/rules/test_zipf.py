import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from snakemake.exceptions import WorkflowError

from memorization.data.sequences import Batches, following_set, sample_sequences, zipf_probabilities
from memorization.files import read_arrays, read_made_by, write_arrays, write_table
from memorization.provenance import ROOT, generator
from memorization.random_sequences.measures import evaluate
from memorization.random_sequences.training import train
from memorization.records import RECORD, RUN
from memorization.training.checkpoints import Unfinished, read_tensors, write_tensors
from memorization.zipf.conditions import ZipfConditions
from memorization.zipf.training import Transformer

SMOKE = yaml.safe_load((ROOT.parent / "config/smoke.yaml").read_text())["zipf"]
SMOKE["defaults"] = (
    yaml.safe_load((ROOT.parent / "config/config.yaml").read_text())["zipf"]["defaults"] | SMOKE["defaults"]
)
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
            exposures = np.round(step * 64 * p[rank]).astype(int)
            nll = np.repeat(np.log(2) / (1 + exposures[:, None] * (1 + seed)), LENGTH, axis=1)
            trajectory = {
                "step": step,
                "set": np.zeros(len(step), int),
                "rank": rank,
                "exposures": exposures,
                "last_exposure_step": step,
                "nll": nll.astype(np.float32),
            }
            trajectory |= {"weighted_step": np.unique(step), "weighted_loss": 0.7 - np.arange(4) / 10}
            run = {"condition": condition, "model": "decoder", "seed": seed}
            for name, rows in zip(
                ("by_sequence", "summary"), evaluate([trajectory], sequences[None], p, 1, run), strict=True
            ):
                path = tmp_path / f"{condition}{seed}{name}.parquet"
                write_table(path, rows, {})
                given[f"{RUNS.format(condition=condition, seed=seed)}/{name}.parquet"] = path
    return given


def test_training_in_two_processes_writes_once_and_says_so(run_rule, sequences, tmp_path):
    config = {"device": "cpu", "zipf": {"defaults": {"gpus": 2, "precision": "bfloat16"}}}
    path = run_rule("zipf_train", TRAJECTORY, {SEQUENCES: sequences}, config=config, cores=2)
    trajectory = read_arrays(path)
    assert trajectory["exposures"][trajectory["step"] == 40].sum() == 40 * 64
    made_by = read_made_by(path)
    condition = made_by["params"]["condition"]
    assert (condition["gpus"], condition["precision"]) == (2, "bfloat16")
    assert made_by["threads"] == 1  # of a process: the job has two here, and one where Snakemake has one core
    checkpoint = tmp_path / "results/zipf/checkpoints/medium/seed0/step40.safetensors"
    assert read_tensors(checkpoint)["step"] == 40
    assert not list(checkpoint.parent.glob("*.unfinished"))
    log = (tmp_path / "logs/zipf/train/medium/seed0/step40.log").read_text()
    assert log.count("step 40/40  loss") == 1
    assert "going on after step 40" in log


def test_training_learns_and_says_what_made_it(run_rule, sequences, tmp_path):
    path = run_rule("zipf_train", TRAJECTORY, {SEQUENCES: sequences})
    trajectory = read_arrays(path)
    top = trajectory["rank"] < 5
    begin, end = (trajectory["nll"][top & (trajectory["step"] == step)].mean() for step in (0, 40))
    assert end < begin - 0.05
    assert trajectory["exposures"][trajectory["step"] == 40].sum() == 40 * 64
    checkpoint = tmp_path / "results/zipf/checkpoints/medium/seed0/step40.safetensors"
    state = read_tensors(checkpoint)
    assert state["exposures"].sum() == 40 * 64
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
        "set": np.zeros(COUNT, int),
        "rank": np.arange(COUNT),
        "exposures": np.arange(COUNT),
        "last_exposure_step": np.arange(COUNT),
        "nll": np.full((COUNT, LENGTH), 0.1, np.float32),
        "parameters": np.array(1234),
        "trainable": np.array(1234),
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
    one = next(iter(wanted.values()))
    for condition in ("resample_all_but_mlp", "forget"):
        for seed in (0, 1):
            wanted[f"{RUNS.format(condition=condition, seed=seed)}/by_sequence.parquet"] = one
    path = run_rule("zipf_table", "results/tables/zipf_by_sequence.parquet", wanted)
    table = pd.read_parquet(path)
    assert len(table) == 12 * 4 * COUNT
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


def trained(tmp_path, sequences):
    """The checkpoint of the smoke configuration's small."""
    learner = Transformer(ZipfConditions(SMOKE).settings("small"), LENGTH, 0, "cpu")
    data = read_arrays(sequences)
    unfinished = Unfinished(tmp_path / "x.a.unfinished", 3600)
    batches = Batches(data["probabilities"], 64, "smoke", 0)
    state, _ = train(
        learner,
        data["sequences"][None],
        batches,
        40,
        {"checkpoints": 1, "head": 0, "train_stride": 80},
        unfinished,
        3600,
    )
    write_tensors(tmp_path / "given.safetensors", state, {})
    return tmp_path / "given.safetensors"


FOLLOWING = "results/zipf/sequences/smoke/seed0_resample1.npz"
BEFORE = "results/zipf/checkpoints/small/seed0/step40.safetensors"
AFTER = "results/zipf/checkpoints/resample_all_but_mlp/seed0/step60.safetensors"


def test_a_switch_goes_on_from_its_models_checkpoint_and_its_swap_gives_it_back(run_rule, sequences, tmp_path):
    given = {SEQUENCES: sequences, BEFORE: trained(tmp_path, sequences)}
    given[FOLLOWING] = tmp_path / "following.npz"
    first = read_arrays(sequences)
    write_arrays(
        given[FOLLOWING],
        first | {"sequences": following_set(first["sequences"][None], "resample", np.random.default_rng(5))},
        {},
    )
    checkpoint = run_rule("zipf_train", AFTER, given)
    before, after = read_tensors(given[BEFORE]), read_tensors(checkpoint)
    moved = {name for name in before if name.startswith("model.") and not torch.equal(before[name], after[name])}
    assert moved == {
        f"model.layers.0.feed_forward.{part}.{kind}" for part in ("up", "down") for kind in ("weight", "bias")
    }
    assert after["exposures"].shape == (2, COUNT)
    trajectory = read_arrays(tmp_path / AFTER.replace("checkpoints", "trajectories").replace("safetensors", "npz"))
    assert trajectory["trainable"] < trajectory["parameters"]
    assert set(trajectory["set"]) == {0, 1}
    swap = "results/zipf/evaluations/resample_all_but_mlp/seed0/swap.parquet"
    table = pd.read_parquet(run_rule("zipf_swap", swap))
    assert len(table) == 5 * 2 * COUNT
    losses = {name: rows.set_index(["set", "rank"])["loss"] for name, rows in table.groupby("swap")}
    assert losses["mlp"].equals(losses["all"])
    assert losses["attention"].equals(losses["none"])
    assert not losses["mlp"].equals(losses["none"])


def test_a_switch_and_swaps_are_drawn_from_the_evaluations_alone(run_rule, evaluations, tmp_path):
    switches = [("resample_all_but_mlp", [40]), ("forget", [40, 50])]
    wanted = {path: file for path, file in evaluations.items() if "/small/" in path and "summary" in path}
    swaps = {}
    for condition, at in switches:
        for seed in (0, 1):
            steps, sets = np.repeat([at[-1], at[-1] + 3, 60], len(at) + 1), np.tile(np.arange(len(at) + 1), 3)
            told = {"condition": condition, "seed": seed, "suffix_accuracy": 0.6, "suffix_loss": 0.5}
            rows = pd.DataFrame({"step": steps, "set": sets} | told)
            for name, table in (("summary", rows), ("swap", rows.assign(swap="none"))):
                file = tmp_path / f"{condition}{seed}{name}.parquet"
                write_table(file, table, {})
                given = swaps if name == "swap" else wanted
                given[f"{RUNS.format(condition=condition, seed=seed)}/{name}.parquet"] = file
    assert "zipf_switch_figure" in run_rule("zipf_switch_figure", "results/figures/zipf_switch.svg", wanted).read_text()
    assert "zipf_swap_figure" in run_rule("zipf_swap_figure", "results/figures/zipf_swap.svg", swaps).read_text()
