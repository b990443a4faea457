import numpy as np
import pandas as pd
import pytest
from sections import complete
from snakemake.exceptions import WorkflowError

from memorization.capacity.conditions import Capacity
from memorization.capacity.data import sample_sequences
from memorization.capacity.evaluation import bits_table
from memorization.files import read_arrays, read_made_by
from memorization.provenance import generator
from memorization.records import RECORD, RUN

CAPACITY = Capacity(complete("smoke")["capacity"])  # k8 of two seeds, k16
SEQUENCES = "results/capacity/sequences/{}/seed{}.npz"
TRAJECTORY = "results/capacity/trajectories/{}/seed{}.npz"
EVALUATION = "results/capacity/evaluations/{}/seed{}/{}.parquet"


@pytest.fixture
def sequences(given):
    drawn = sample_sequences(8, 6, 4, generator("capacity", 6, 4, 0, "sequences"))
    return given(SEQUENCES.format("k8", 0), {"sequences": drawn, "alphabet": np.array(4)})


def trajectory(count, seed=0):
    """As if the sequences were learned steadily."""
    nll = np.linspace(12 * count, (3 + seed) * count, 4) * np.log(2)
    return {
        "step": np.array([0, 10, 36, 40]),
        "nll": nll,
        "right": np.array([2, 3, 4, 5]) * count,
        "exact": np.array([0, 0, 1, 3]),
        "item_nll": np.repeat(nll[:, None] / count, 8, axis=1).astype(np.float32),
        "item_right": np.repeat([[1], [2], [4], [6]], 8, axis=1),
        "parameters": np.array(500),
        "trainable": np.array(500),
    }


@pytest.fixture
def bits(given):
    """``bits`` of all smoke runs, by path."""
    inputs = {}
    for run in CAPACITY.runs("bits").wildcards:
        data = CAPACITY.dataset(run["condition"])
        table = bits_table(trajectory(data["count"], run["seed"]), data, **run)
        inputs |= given(EVALUATION.format(run["condition"], run["seed"], "bits"), table)
    return inputs


def test_sequences_of_a_smaller_set_are_the_first_of_a_larger_one(run_rule):
    small, large = (read_arrays(run_rule("capacity_sample", SEQUENCES.format(name, 0))) for name in ("k8", "k16"))
    assert small["sequences"].shape == (8, 6)
    assert large["sequences"].shape == (16, 6)
    assert small["alphabet"] == 4
    np.testing.assert_array_equal(small["sequences"], large["sequences"][:8])


def test_training_learns_and_says_what_made_it(run_rule, sequences, tmp_path):
    path = run_rule("capacity_train", TRAJECTORY.format("k8", 0), sequences, as_in_a_run=True)
    arrays = read_arrays(path)
    assert arrays["step"].tolist()[:2] == [0, 1]
    assert arrays["step"][-1] == 40
    assert arrays["nll"][-1] < arrays["nll"][0] - 8
    assert arrays["item_nll"].shape == (len(arrays["step"]), 8)
    made_by = read_made_by(path)
    assert made_by["params"].keys() == {"condition", "evaluation"}
    assert made_by["params"]["condition"]["optimizer"] == "muon"
    assert made_by["made_from"].keys() == {*sequences}
    assert "matplotlib" not in made_by["versions"]
    assert not list(path.parent.glob("*.unfinished"))
    assert "step 40/40  loss" in (tmp_path / "logs/capacity/train/k8/seed0.log").read_text()


def test_training_refuses_damaged_sequences_by_name(run_rule, sequences, tmp_path):
    (path, file) = next(iter(sequences.items()))
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(WorkflowError):
        run_rule("capacity_train", TRAJECTORY.format("k8", 0), sequences)
    last = (tmp_path / "logs/capacity/train/k8/seed0.log").read_text().splitlines()[-1]
    assert f"{path}: damaged" in last


def test_evaluation_makes_the_tables_of_a_run(run_rule, given, tmp_path):
    inputs = given(TRAJECTORY.format("k16", 0), trajectory(16))
    made = run_rule("capacity_evaluate", EVALUATION.format("k16", 0, "bits"), inputs)
    table, records, runs = (
        pd.read_parquet(tmp_path / EVALUATION.format("k16", 0, kind)) for kind in ("bits", "records", "runs")
    )
    assert table["bits"].to_numpy() == pytest.approx([0, 48, 96, 144])
    assert table["to_hold"].tolist() == [16 * (12 - 4)] * 4
    assert read_made_by(made)["made_from"].keys() == inputs.keys()
    assert list(records) == list(RECORD)
    assert len(records) == 4 * 8
    assert list(runs) == list(RUN)
    assert runs["state_bits"].tolist() == [32 * 500]


def test_tables_hold_all_runs(run_rule, given, bits, tmp_path):
    inputs = dict(bits)
    for kind in ("records", "runs"):
        for run in CAPACITY.runs(kind).wildcards:
            inputs |= given(EVALUATION.format(run["condition"], run["seed"], kind), pd.DataFrame([run]))
    run_rule("capacity_runs_table", "results/tables/capacity_bits.parquet", inputs)
    for kind in ("bits", "records", "runs"):
        table = pd.read_parquet(tmp_path / f"results/tables/capacity_{kind}.parquet")
        runs = table[["condition", "seed"]].drop_duplicates().to_numpy().tolist()
        assert runs == [["k16", 0], ["k8", 0], ["k8", 1]]


def test_findings_are_made_of_the_pooled_bits_alone(run_rule, bits, given):
    table = pd.concat([pd.read_parquet(file) for file in bits.values()], ignore_index=True)
    inputs = given("results/tables/capacity_bits.parquet", table)
    path = run_rule("capacity_findings_table", "results/tables/capacity_findings.csv", inputs)
    values = pd.read_csv(path).set_index(["finding", "condition"])["value"]
    assert values["bits per parameter, at the end, difference", "k16 - k8"] == pytest.approx((120 - 60) / 500)
    assert read_made_by(path.with_suffix(".parquet"))["made_from"].keys() == inputs.keys()


def of(inputs, *conditions):
    return {path: file for path, file in inputs.items() if path.split("/")[3] in conditions}


def test_bits_are_drawn_against_sequences(draw, bits):
    assert "all that there is to hold" in draw("capacity_sequences_figure", "capacity_sequences", bits)


def test_bits_are_drawn_against_parameters(draw, bits):
    assert "3.6 bits per parameter" in draw("capacity_parameters_figure", "capacity_parameters", of(bits, "k8"))


def test_bits_are_drawn_against_steps(draw, bits):
    assert "optimizer step" in draw("capacity_training_figure", "capacity_training", bits)
