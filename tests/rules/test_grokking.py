import numpy as np
import pandas as pd
import pytest
from snakemake.exceptions import WorkflowError

from memorization.files import read_arrays, read_made_by, read_table, write_arrays, write_table
from memorization.grokking.dynamics.fingerprint import levels, quantile_embedding
from memorization.grokking.dynamics.residuals import run_residuals
from memorization.grokking.dynamics.spectra import distance_tests, run_distances, spectrum
from memorization.grokking.task.equations import equations, probe, split_equations
from memorization.provenance import generator
from memorization.records import RECORD, RUN
from memorization.training.checkpoints import read_tensors

P, N_TRAIN = 31, 577  # of config/smoke.yaml
EQUATIONS = "results/grokking/equations/addition_31/seed0.npz"
TRAJECTORY = "results/grokking/trajectories/wd_1/seed0.npz"
WEIGHTS = "results/grokking/weights/wd_1/seed0.safetensors"
EMBEDDING = "results/grokking/embeddings/{condition}/seed{seed}.npz"
SPECTRUM = "results/grokking/spectra/{condition}/seed{seed}.parquet"
DMD = {
    "method": "projected", "center_mode": "relative_to_t0", "n_delays": 8, "k_mode": 6, "window": [0, 120],
    "surrogates": 3,
}  # fmt: skip
RESIDUAL = {"center_mode": "relative_to_t0", "length": 30, "stride": 5, "n_delays": 6, "k_mode": 3}
RUNS = [(condition, seed) for condition in ("wd_0", "wd_1") for seed in (0, 1)]


def table_path(name):
    return f"results/tables/grokking_{name}.parquet"


@pytest.fixture
def given(tmp_path):
    """Writes what a rule reads: ``given(path, arrays or table)`` -> {path: file}."""

    def write(path, content):
        file = tmp_path / "given" / path.replace("/", "_")
        file.parent.mkdir(exist_ok=True)
        write_arrays(str(file), content, {}) if isinstance(content, dict) else write_table(str(file), content, {})
        return {path: file}

    return write


@pytest.fixture
def data(given):
    table = equations(P, "+")
    train = split_equations(table, N_TRAIN, "pairs", generator("grokking", "addition_31", 0, "split"))
    return given(EQUATIONS, {"p": np.array(P), "equations": table, "train": train})


def trajectory(last=160, seed=0):
    """As if the probe were learned smoothly."""
    rng, steps = np.random.default_rng(seed), np.arange(0, last + 1, 2)
    train = split_equations(equations(P, "+"), N_TRAIN, "pairs", np.random.default_rng(0))
    courses = -3.5 * np.exp(-steps[:, None] / (30 + 10 * seed + 5 * rng.random(40)))
    courses = (courses * (1 + 0.2 * np.sin(steps[:, None] / 9))).astype(np.float32)
    accuracy = np.array([0.0, 0.5, 1.0])
    return {
        "fingerprint_step": steps,
        "val": courses,
        "train": courses / 2,
        **{f"probe_{split}": rows for split, rows in probe(train, 40, 42).items()},
        "step": np.array([0, 80, last]),
        "accuracy_train": accuracy,
        "accuracy_val": accuracy / 2,
        "loss_train": 3 - accuracy,
        "loss_val": 4 - accuracy,
        "checkpoint_step": np.array([0, last]),
        "nll": rng.random((2, P * P)).astype(np.float32),
        "right": rng.random((2, P * P)) < 0.5,
        "parameters": np.array(99),
    }


def embedding(condition, seed):
    snapshots = quantile_embedding(trajectory(seed=seed)["val"] * (1 + (condition == "wd_1")), levels(19))
    return {"steps": np.arange(0, 161, 2), "quantiles": levels(19), "snapshots": snapshots}


def all_spectra():
    tables = []
    for condition, seed in RUNS:
        arrays = embedding(condition, seed)
        tables.append(spectrum(arrays["steps"], arrays["snapshots"], condition, seed, DMD))
    return tables


def transitions():
    return pd.DataFrame(
        [(condition, seed, 1.0, 40.0, 90.0 if seed else np.nan, 1 / P) for condition, seed in RUNS],
        columns=["condition", "seed", "weight_decay", "memorized_step", "generalized_step", "chance"],
    )


def test_equations_are_split_by_their_own_stream(run_rule, data):
    made = read_arrays(run_rule("grokking_equations", EQUATIONS))
    for name, array in read_arrays(data[EQUATIONS]).items():
        np.testing.assert_array_equal(made[name], array)
    assert made["train"].sum() == N_TRAIN


def test_training_memorizes_and_says_what_made_it(run_rule, data, tmp_path):
    path = run_rule("grokking_train", TRAJECTORY, data)
    made = read_arrays(path)
    assert made["loss_train"][-1] < made["loss_train"][0] - 1
    assert made["accuracy_train"][-1] > 0.2  # 1 in 31 by guessing
    np.testing.assert_array_equal(made["fingerprint_step"], np.arange(0, 161, 2))
    assert made["val"].shape == made["train"].shape == (81, 40)
    assert made["val"].dtype == np.float32
    assert made["step"].tolist()[-1] == 160
    weights = read_tensors(tmp_path / WEIGHTS)
    assert {name.split(".")[0] for name in weights} == {f"step{n}" for n in (0, 1, 5, 29, 160)}
    made_by = read_made_by(path)
    assert made_by["params"]["condition"]["weight_decay"] == 1
    assert made_by["wildcards"] == {"condition": "wd_1", "seed": "0"}
    assert "torch" in made_by["versions"]
    assert made_by["made_from"].keys() == {EQUATIONS}
    assert not list(path.parent.glob("*.unfinished"))
    assert "step 160/160" in (tmp_path / "logs/grokking/train/wd_1/seed0.log").read_text()


def test_a_perturbed_training_is_measured_against_its_reference(run_rule, data, tmp_path):
    run_rule("grokking_train", TRAJECTORY, data)
    target = "results/grokking/perturbed/relative_tenth/wd_1/seed0.npz"
    made = read_arrays(run_rule("grokking_perturb", target))
    assert made["step"].max() == 100
    assert made["weight_step"].tolist() == [0, 1, 5, 29]
    assert made["weight_distance"][0] == pytest.approx(0.1, rel=1e-3)
    assert read_made_by(tmp_path / target)["made_from"].keys() == {EQUATIONS, WEIGHTS}


def test_evaluation_makes_the_tables_of_a_run(run_rule, given, data, tmp_path):
    folder = "results/grokking/evaluations/wd_1/seed0"
    path = run_rule("grokking_evaluate", f"{folder}/history.parquet", data | given(TRAJECTORY, trajectory()))
    assert read_table(path)["step"].tolist() == [0, 80, 160]
    tables = {name: read_table(tmp_path / folder / f"{name}.parquet") for name in ("transitions", "records", "runs")}
    assert tables["transitions"]["memorized_step"].tolist() == [160]
    assert list(tables["records"]) == list(RECORD)
    assert len(tables["records"]) == 2 * P * P
    assert set(tables["records"]["phase"]) == {"train", "held_out"}
    assert list(tables["runs"]) == list(RUN)
    assert tables["runs"]["parameters"].tolist() == [99]


def test_the_embedding_is_of_the_configured_split(run_rule, given):
    arrays = trajectory()
    target = EMBEDDING.format(condition="wd_1", seed=0)
    made = read_arrays(run_rule("grokking_embed", target, given(TRAJECTORY, arrays)))
    np.testing.assert_array_equal(made["snapshots"], quantile_embedding(arrays["val"], levels(19)))
    np.testing.assert_array_equal(made["steps"], arrays["fingerprint_step"])


def test_a_spectrum_is_of_the_embedding_alone(run_rule, given):
    path = EMBEDDING.format(condition="wd_1", seed=1)
    arrays = embedding("wd_1", 1)
    target = SPECTRUM.format(condition="wd_1", seed=1)
    made = read_table(run_rule("grokking_spectrum", target, given(path, arrays)))
    expected = spectrum(arrays["steps"], arrays["snapshots"], "wd_1", 1, DMD)
    pd.testing.assert_frame_equal(made, expected, check_dtype=False)
    assert len(made) == 7 * 6


def test_a_spectrum_of_a_run_that_is_too_short_is_refused_by_its_key(run_rule, given, tmp_path):
    arrays = {name: array[:40] if name != "quantiles" else array for name, array in embedding("wd_1", 1).items()}
    with pytest.raises(WorkflowError):
        run_rule(
            "grokking_spectrum",
            SPECTRUM.format(condition="wd_1", seed=1),
            given(EMBEDDING.format(condition="wd_1", seed=1), arrays),
        )
    last = (tmp_path / "logs/grokking/spectrum/wd_1/seed1.log").read_text().splitlines()[-1]
    assert "grokking.dmd.window: it ends at step 120, but wd_1, seed 1 stopped at step 78; allowed: 78 or less" in last


def test_residuals_are_of_the_embedding_alone(run_rule, given):
    arrays = embedding("wd_1", 1)
    target = "results/grokking/residuals/wd_1/seed1.parquet"
    path = run_rule("grokking_residual", target, given(EMBEDDING.format(condition="wd_1", seed=1), arrays))
    expected = run_residuals(arrays["steps"], arrays["snapshots"], "wd_1", 1, RESIDUAL)
    pd.testing.assert_frame_equal(read_table(path), expected, check_dtype=False)


def test_a_table_holds_all_runs(run_rule, given):
    inputs = {}
    for (condition, seed), table in zip(RUNS, all_spectra(), strict=True):
        inputs |= given(SPECTRUM.format(condition=condition, seed=seed), table)
    path = run_rule("grokking_table", table_path("spectra"), inputs)
    assert read_table(path).groupby(["condition", "seed"]).ngroups == 4
    assert read_made_by(path)["made_from"].keys() == inputs.keys()


def test_distances_come_with_tests_and_swaps(run_rule, given, tmp_path):
    spectra = pd.concat(all_spectra(), ignore_index=True)
    path = run_rule("grokking_distances", table_path("distances"), given(table_path("spectra"), spectra))
    assert len(read_table(path)) == 6 * 7
    tests = read_table(tmp_path / table_path("tests"))
    assert len(tests) == 7 * 2
    assert tests["smallest_p"].unique().tolist() == [pytest.approx(1 / 3)]  # two against two
    assert len(read_table(tmp_path / table_path("swaps"))) == 2


def test_perturbed_runs_stand_in_one_table(run_rule, given):
    inputs = {}
    for seed in (0, 1):
        drift = {"weight_step": np.array([0, 4]), "weight_distance": np.array([0.1, 0.2])}
        changed = trajectory(last=100, seed=seed)
        changed["val"] = changed["val"] + np.float32(0.5)
        inputs |= given(f"results/grokking/perturbed/relative_tenth/wd_1/seed{seed}.npz", changed | drift)
        inputs |= given(f"results/grokking/trajectories/wd_1/seed{seed}.npz", trajectory(seed=seed))
    table = read_table(run_rule("grokking_perturbation", table_path("perturbation"), inputs))
    assert len(table) == 2 * 51
    assert table["rms_change"].to_numpy() == pytest.approx(0.5, abs=1e-5)
    assert set(table["perturbation"]) == {"relative_tenth"}


def tables_of(figure):
    spectra = pd.concat(all_spectra(), ignore_index=True)
    if figure == "accuracy":
        rows = [(name, seed, step, 0.9, 0.3, 1 / P) for name, seed in RUNS for step in (0, 20, 160)]
        columns = ["condition", "seed", "step", "accuracy_train", "accuracy_val", "chance"]
        return {"history": pd.DataFrame(rows, columns=columns)}
    if figure == "spectrum":
        return {"spectra": spectra}
    if figure == "distances":
        distances = run_distances(spectra)
        return {"distances": distances, "tests": distance_tests(distances, ["wd_0", "wd_1"])}
    if figure == "residual":
        parts = [(name, seed, embedding(name, seed)) for name, seed in RUNS]
        parts = [run_residuals(each["steps"], each["snapshots"], name, seed, RESIDUAL) for name, seed, each in parts]
        return {"residuals": pd.concat(parts, ignore_index=True), "transitions": transitions()}
    steps = np.arange(0, 101, 2)
    about = {"condition": "wd_1", "perturbation": "relative_tenth", "kind": "relative", "epsilon": 0.1}
    values = {"weight_distance": 0.1, "rms_change": 0.2, "fingerprint_distance": 0.1, "growth_rate": 0.0}
    crossings = {"generalized_step": 80.0, "reference_generalized_step": np.nan}
    return {"perturbation": pd.DataFrame({"step": steps, "seed": 0} | about | values | crossings)}


@pytest.mark.parametrize("figure", ["accuracy", "spectrum", "distances", "residual", "perturbation"])
def test_a_figure_is_drawn_from_its_tables_alone(run_rule, given, tmp_path, figure):
    inputs = {}
    for name, table in tables_of(figure).items():
        inputs |= given(table_path(name), table)
    svg = run_rule("grokking_figure", f"results/figures/grokking_{figure}.svg", inputs).read_text()
    assert svg.startswith("<?xml")
    assert "grokking_figure" in svg
    assert (tmp_path / f"results/figures/grokking_{figure}.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / f"results/figures/grokking_{figure}.png").read_bytes().startswith(b"\x89PNG")


def test_the_fingerprint_is_drawn_from_the_first_seed_s_embeddings(run_rule, given):
    inputs = given(table_path("transitions"), transitions())
    for condition in ("wd_0", "wd_1"):
        inputs |= given(EMBEDDING.format(condition=condition, seed=0), embedding(condition, 0))
    svg = run_rule("grokking_fingerprint_figure", "results/figures/grokking_fingerprint.svg", inputs).read_text()
    assert "grokking_fingerprint_figure" in svg
