import numpy as np
import pandas as pd
import pytest
import torch
from sections import complete
from snakemake.exceptions import WorkflowError

from memorization.data.sequences import Batches, following_set, sample_sequences, zipf_probabilities
from memorization.files import read_arrays, read_made_by
from memorization.provenance import generator
from memorization.random_sequences.measures import evaluate
from memorization.random_sequences.training import train
from memorization.records import RECORD, RUN
from memorization.training.checkpoints import Unfinished, read_tensors
from memorization.zipf.conditions import Zipf
from memorization.zipf.training import Transformer

ZIPF = Zipf(complete("smoke")["zipf"])  # small of two seeds, and forget, which goes on from it
COUNT, LENGTH = 80, 12
SEQUENCES, FOLLOWING = (f"results/zipf/sequences/smoke/seed0{ending}.npz" for ending in ("", "_forget1"))
TRAJECTORY = "results/zipf/trajectories/small/seed0/step40.npz"
CHECKPOINT = "results/zipf/checkpoints/{}/seed0/step{}.safetensors"
EVALUATION = "results/zipf/evaluations/{}/seed{}/{}.parquet"


@pytest.fixture
def sequences(given):
    rng = generator("smoke", 0, "sequences")
    arrays = {"sequences": sample_sequences(COUNT, LENGTH, rng), "probabilities": zipf_probabilities(COUNT, 1.0)}
    return given(SEQUENCES, arrays)


@pytest.fixture
def evaluations(given):
    """``evaluations(kind)``: tables of all smoke runs, as if each had memorized its sequences at the same rate."""
    p = zipf_probabilities(COUNT, 1.0)
    first = sample_sequences(COUNT, LENGTH, np.random.default_rng(0))
    sets = np.stack([first, following_set(first[None], "forget", np.random.default_rng(1))])

    def of(kind):
        inputs = {}
        for run in ZIPF.runs(kind).wildcards:
            steps = [40, 45, 60] if run["condition"] == "forget" else [0, 1, 10, 40]
            number = int(run["condition"] == "forget")
            step, rank = np.repeat(steps, COUNT), np.tile(np.arange(COUNT), len(steps))
            exposures = np.round((step - steps[0]) * 64 * p[rank]).astype(int)
            nll = np.repeat(np.log(2) / (1 + exposures[:, None] * (1 + run["seed"])), LENGTH, axis=1)
            trajectory = {"step": step, "set": np.full(len(step), number), "rank": rank, "nll": nll.astype(np.float32)}
            trajectory |= {"exposures": exposures, "last_exposure_step": step}
            trajectory |= {"weighted_step": np.array(steps), "weighted_loss": np.linspace(0.7, 0.3, len(steps))}
            columns = run | {"architecture": "decoder"}
            tables = evaluate([trajectory], sets[: number + 1], p, 1, columns)
            table = dict(zip(("by_sequence", "summary"), tables, strict=True))[kind]
            inputs |= given(EVALUATION.format(run["condition"], run["seed"], kind), table)
        return inputs

    return of


def of(inputs, *conditions):
    return {path: file for path, file in inputs.items() if path.split("/")[3] in conditions}


def test_training_learns_and_says_what_made_it(run_rule, sequences, tmp_path):
    path = run_rule("zipf_train", TRAJECTORY, sequences, as_in_a_run=True)
    trajectory = read_arrays(path)
    top = trajectory["rank"] < 5
    first, last = (trajectory["nll"][top & (trajectory["step"] == step)].mean() for step in (0, 40))
    assert last < first - 0.05
    assert trajectory["exposures"][trajectory["step"] == 40].sum() == 40 * 64
    checkpoint = tmp_path / CHECKPOINT.format("small", 40)
    state = read_tensors(checkpoint)
    assert state["exposures"].sum() == 40 * 64
    assert "optimizer.0.exp_avg" in state
    made_by, of_trajectory = read_made_by(checkpoint), read_made_by(path)
    assert made_by.pop("sha256") != of_trajectory.pop("sha256")
    assert made_by == of_trajectory
    assert made_by["wildcards"] == {"condition": "small", "seed": "0", "step": "40"}
    assert made_by["device"] in ("cpu", "cuda")
    assert made_by["params"]["condition"]["n_layers"] == 1
    assert made_by["params"].keys() == {"condition", "evaluation"}
    assert made_by["made_from"].keys() == {SEQUENCES}
    assert made_by["threads"] == 1
    assert {"python", "numpy", "torch"} <= made_by["versions"].keys()
    assert "matplotlib" not in made_by["versions"]
    assert not list(checkpoint.parent.glob("*.unfinished"))
    log = (tmp_path / "logs/zipf/train/small/seed0/step40.log").read_text()
    assert f"zipf_train condition=small seed=0 step=40 code={made_by['code']}" in log
    assert "step 40/40  loss" in log


def test_training_in_two_processes_writes_once_and_says_so(run_rule, sequences, tmp_path):
    config = {"device": "cpu", "zipf": {"defaults": {"gpus": 2, "precision": "bfloat16"}}}
    path = run_rule("zipf_train", TRAJECTORY, sequences, config=config, cores=2)
    trajectory = read_arrays(path)
    assert trajectory["exposures"][trajectory["step"] == 40].sum() == 40 * 64
    made_by = read_made_by(path)
    condition = made_by["params"]["condition"]
    assert (condition["gpus"], condition["precision"]) == (2, "bfloat16")
    assert made_by["threads"] == 1  # of a process: the job has two here, and one where Snakemake has one core
    checkpoint = tmp_path / CHECKPOINT.format("small", 40)
    assert read_tensors(checkpoint)["step"] == 40
    assert not list(checkpoint.parent.glob("*.unfinished"))
    log = (tmp_path / "logs/zipf/train/small/seed0/step40.log").read_text()
    assert log.count("step 40/40  loss") == 1
    assert "going on after step 40" in log


def test_a_training_can_be_asked_for_at_any_step(run_rule, sequences):
    path = run_rule("zipf_train", TRAJECTORY.replace("step40", "step7"), sequences)
    assert read_arrays(path)["step"].max() == 7


def test_training_refuses_damaged_sequences_by_name(run_rule, sequences, tmp_path):
    sequences[SEQUENCES].write_bytes(sequences[SEQUENCES].read_bytes()[:-30])
    with pytest.raises(WorkflowError):
        run_rule("zipf_train", TRAJECTORY, sequences)
    last = (tmp_path / "logs/zipf/train/small/seed0/step40.log").read_text().splitlines()[-1]
    assert f"{SEQUENCES}: damaged" in last
    assert "delete it and run again" in last
    assert not (tmp_path / TRAJECTORY).exists()


def test_a_switch_goes_on_from_its_condition_s_checkpoint_and_its_swap_gives_it_back(
    run_rule, sequences, given, tmp_path
):
    first = read_arrays(sequences[SEQUENCES])
    following = following_set(first["sequences"][None], "forget", np.random.default_rng(5))
    learner = Transformer(ZIPF.settings("small"), LENGTH, 0, "cpu")
    batches = Batches(first["probabilities"], 64, "smoke", 0)
    once = {"n_records": 1, "n_late": 1, "head": 0, "train_stride": 80}
    before, _ = train(learner, first["sequences"][None], batches, 40, once, Unfinished(tmp_path / "x.a.y", 3600), 3600)
    inputs = sequences | given(FOLLOWING, first | {"sequences": following})
    inputs |= given(CHECKPOINT.format("small", 40), before)
    checkpoint = run_rule("zipf_train", CHECKPOINT.format("forget", 60), inputs)
    after = read_tensors(checkpoint)
    moved = {name for name in before if name.startswith("model.") and not torch.equal(before[name], after[name])}
    mlp = [f"{part}.{kind}" for part in ("up", "down") for kind in ("weight", "bias")]
    assert moved == {f"model.layers.0.feed_forward.{each}" for each in mlp}
    assert after["exposures"].shape == (2, COUNT)
    trajectory = read_arrays(tmp_path / "results/zipf/trajectories/forget/seed0/step60.npz")
    assert trajectory["trainable"] < trajectory["parameters"]
    assert set(trajectory["set"]) == {0, 1}
    table = pd.read_parquet(run_rule("zipf_swap", EVALUATION.format("forget", 0, "swap")))
    losses = {name: rows.set_index(["set", "rank"])["loss"] for name, rows in table.groupby("swap")}
    assert losses.keys() == {"none", "mlp", "mlp_head", "attention", "all"}
    assert {len(rows) for rows in losses.values()} == {2 * COUNT - 2}  # two are kept, of the last set alone
    assert losses["mlp"].equals(losses["all"])
    assert losses["attention"].equals(losses["none"])
    assert not losses["mlp"].equals(losses["none"])


def test_evaluation_makes_the_tables_of_a_run(run_rule, sequences, given, tmp_path):
    trajectory = {name: np.arange(COUNT) for name in ("rank", "exposures", "last_exposure_step")}
    trajectory |= {"step": np.full(COUNT, 40), "set": np.zeros(COUNT, int)}
    trajectory |= {"nll": np.full((COUNT, LENGTH), 0.1, np.float32)}
    trajectory |= {"parameters": np.array(1234), "trainable": np.array(1234)}
    trajectory |= {"weighted_step": np.array([40]), "weighted_loss": np.array([0.1])}
    inputs = sequences | given(TRAJECTORY, trajectory)
    made = run_rule("zipf_evaluate", EVALUATION.format("small", 0, "by_sequence"), inputs)
    table = pd.read_parquet(made)
    assert len(table) == COUNT
    run = table[["condition", "architecture", "seed"]].drop_duplicates()
    assert run.to_numpy().tolist() == [["small", "decoder", 0]]
    assert table["loss"].to_numpy() == pytest.approx(0.1, abs=1e-6)
    names = ("summary", "records", "runs")
    totals, records, runs = (pd.read_parquet(tmp_path / EVALUATION.format("small", 0, name)) for name in names)
    assert totals["weighted_loss"].tolist() == [0.1]
    assert read_made_by(made)["made_from"].keys() == {SEQUENCES, TRAJECTORY}
    assert list(records) == list(RECORD)
    assert set(records["arm"]) == {"transformer"}
    assert list(runs) == list(RUN)
    assert runs["parameters"].tolist() == [1234]
    assert runs["steps"].tolist() == [40]


def test_tables_hold_all_runs(run_rule, given, tmp_path):
    inputs = {}
    for kind in ("by_sequence", "summary", "records", "runs", "swap"):
        for run in ZIPF.runs(kind, ZIPF.switches if kind == "swap" else None).wildcards:
            table = pd.DataFrame([run | {"kind": kind}])
            inputs |= given(EVALUATION.format(run["condition"], run["seed"], kind), table)
    run_rule("zipf_runs_table", "results/tables/zipf_by_sequence.parquet", inputs)
    for kind in ("by_sequence", "summary", "records", "runs", "swap"):
        path = tmp_path / f"results/tables/zipf_{kind}.parquet"
        table = pd.read_parquet(path)
        assert set(table["kind"]) == {kind}
        runs = [("forget", 0)] if kind == "swap" else [("forget", 0), ("small", 0), ("small", 1)]
        assert list(zip(table["condition"], table["seed"], strict=True)) == runs
        assert read_made_by(path)["made_from"].keys() == {path for path in inputs if path.endswith(f"/{kind}.parquet")}


def test_losses_of_sequences_are_drawn_from_the_evaluations_alone(draw, evaluations):
    svg = draw("zipf_loss_figure", "zipf_loss", of(evaluations("by_sequence"), "small"))
    assert "rank 30" in svg


def test_accuracies_of_chosen_ranks_are_drawn_from_the_evaluations_alone(draw, evaluations):
    svg = draw("zipf_accuracy_figure", "zipf_accuracy_small_low", of(evaluations("by_sequence"), "small"))
    assert "rank 9" in svg


def test_a_switch_is_drawn_from_the_evaluations_alone(draw, evaluations):
    assert "set before it" in draw("zipf_switch_figure", "zipf_switch", evaluations("summary"))


def test_a_comparison_is_drawn_from_the_evaluations_alone(draw, evaluations):
    assert "models" in draw("zipf_comparison_figure", "zipf_comparison", of(evaluations("summary"), "small"))


def test_swaps_are_drawn_from_the_evaluations_alone(draw, given):
    rows = pd.DataFrame({"set": [0, 1], "swap": "none", "condition": "forget", "seed": 0})
    inputs = given(EVALUATION.format("forget", 0, "swap"), rows.assign(suffix_accuracy=0.6, suffix_loss=0.5))
    assert "put back" in draw("zipf_swap_figure", "zipf_swap", inputs)


def test_findings_are_made_of_the_pooled_tables_alone(run_rule, evaluations, given):
    inputs = {}
    for kind in ("summary", "by_sequence"):
        table = pd.concat([pd.read_parquet(file) for file in evaluations(kind).values()], ignore_index=True)
        inputs |= given(f"results/tables/zipf_{kind}.parquet", table)
    swap = {"set": [0, 1], "condition": "forget", "seed": 0, "suffix_accuracy": 0.6}
    parts = [pd.DataFrame(swap | {"swap": part}) for part in ("none", "attention", "mlp", "mlp_head", "all")]
    inputs |= given("results/tables/zipf_swap.parquet", pd.concat(parts, ignore_index=True))
    path = run_rule("zipf_findings_table", "results/tables/zipf_findings.csv", inputs)
    values = pd.read_csv(path).set_index(["finding", "condition"])["value"]
    assert values["suffix accuracy, at the end", "small"] == 1
    assert values["old set, suffix accuracy with mlp put back", "forget"] == 0.6
    assert values["kept sequences, suffix accuracy at the end", "forget"] == 1
    assert read_made_by(path.with_suffix(".parquet"))["made_from"].keys() == inputs.keys()
