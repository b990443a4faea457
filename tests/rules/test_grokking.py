from hashlib import sha256

import numpy as np
import pandas as pd
import pytest
from command_line import SMOKE, jobs
from sections import complete
from snakemake.exceptions import WorkflowError

from memorization.files import read_arrays, read_made_by, read_table
from memorization.grokking.conditions import Grokking
from memorization.grokking.dynamics.fingerprint import embed
from memorization.grokking.dynamics.residuals import run_residuals
from memorization.grokking.dynamics.spectra import distance_tests, run_distances, spectrum
from memorization.grokking.task.equations import equations, probe, split_equations
from memorization.provenance import generator
from memorization.records import RECORD, RUN
from memorization.training.checkpoints import read_tensors

GROKKING = Grokking(complete("smoke")["grokking"])  # wd_0, which is perturbed, and wd_1 of two seeds
RUNS = [tuple(run.values()) for run in GROKKING.runs("").wildcards]
P, N_TRAIN = 31, 577
EQUATIONS = "results/grokking/equations/addition_31/seed0.npz"
TRAJECTORY = "results/grokking/trajectories/{}/seed{}.npz"
WEIGHTS = "results/grokking/weights/{}/seed{}.safetensors"
PERTURBED = "results/grokking/perturbed/relative_tenth/wd_0/seed0.npz"
SPECTRUM = "results/grokking/spectra/{}/seed{}.parquet"
RESIDUALS = "results/grokking/residuals/{}/seed{}.parquet"
EVALUATION = "results/grokking/evaluations/{}/seed{}/{}.parquet"
TABLE = "results/tables/grokking_{}.parquet"
KINDS = {"spectra": SPECTRUM, "residuals": RESIDUALS}  # others lie with the evaluations


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
        "train": -(courses**2),
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


def embedded(condition, seed, **change):
    """Steps and snapshots of a run, in which weight decay makes all slower; ``change`` is of the embedding."""
    arrays = trajectory(seed=seed)
    arrays["val"] = arrays["val"] * (1 + (condition == "wd_1"))
    steps, _, snapshots = embed(arrays, GROKKING.section["embedding"] | change)
    return steps, snapshots


def spectra():
    return [spectrum(*embedded(*run), *run, GROKKING.section["dmd"]) for run in RUNS]


def transitions():
    columns = ["condition", "seed", "weight_decay", "memorized_step", "generalized_step", "chance"]
    rows = [(*run, 1.0, 40.0, 90.0 if run[1] else np.nan, 1 / P) for run in RUNS]
    return [pd.DataFrame([row], columns=columns) for row in rows]


def a_file_a_run(given, pattern, tables):
    inputs = {}
    for run, table in zip(RUNS, tables, strict=True):
        inputs |= given(pattern.format(*run), table)
    return inputs


def test_equations_are_split_by_their_own_stream(run_rule, data):
    made = read_arrays(run_rule("grokking_enumerate", EQUATIONS))
    for name, array in read_arrays(data[EQUATIONS]).items():
        np.testing.assert_array_equal(made[name], array)
    assert made["train"].sum() == N_TRAIN


def test_training_memorizes_and_a_perturbed_one_is_measured_against_it(run_rule, data, tmp_path):
    path = run_rule("grokking_train", TRAJECTORY.format("wd_0", 0), data)
    made = read_arrays(path)
    assert made["loss_train"][-1] < made["loss_train"][0] - 1
    assert made["accuracy_train"][-1] > 0.2  # 1 in 31 by guessing
    np.testing.assert_array_equal(made["fingerprint_step"], np.arange(0, 161, 2))
    assert made["val"].shape == made["train"].shape == (81, 40)
    assert made["val"].dtype == np.float32
    assert made["step"].tolist()[-1] == 160
    weights = read_tensors(tmp_path / WEIGHTS.format("wd_0", 0))
    assert {name.split(".")[0] for name in weights} == {f"step{n}" for n in (0, 1, 5, 29, 160)}
    made_by = read_made_by(path)
    assert made_by["params"]["condition"]["weight_decay"] == 0
    assert made_by["wildcards"] == {"condition": "wd_0", "seed": "0"}
    assert "torch" in made_by["versions"]
    assert made_by["made_from"].keys() == {EQUATIONS}
    assert not list(path.parent.glob("*.unfinished"))
    assert "step 160/160" in (tmp_path / "logs/grokking/train/wd_0/seed0.log").read_text()
    perturbed = read_arrays(run_rule("grokking_perturb", PERTURBED))
    assert perturbed["step"].max() == 100
    assert perturbed["weight_step"].tolist() == [0, 1, 5, 29]
    assert perturbed["weight_distance"][0] == pytest.approx(0.1, rel=1e-3)
    assert read_made_by(tmp_path / PERTURBED)["made_from"].keys() == {EQUATIONS, WEIGHTS.format("wd_0", 0)}


def test_evaluation_makes_the_tables_of_a_run(run_rule, given, data, tmp_path):
    def path(name):
        return EVALUATION.format("wd_1", 0, name)

    inputs = data | given(TRAJECTORY.format("wd_1", 0), trajectory())
    history = read_table(run_rule("grokking_evaluate", path("history"), inputs))
    assert history["step"].tolist() == [0, 80, 160]
    tables = {name: read_table(tmp_path / path(name)) for name in ("transitions", "records", "runs")}
    assert tables["transitions"]["memorized_step"].tolist() == [160]
    assert list(tables["records"]) == list(RECORD)
    assert len(tables["records"]) == 2 * P * P
    assert set(tables["records"]["phase"]) == {"train", "held_out"}
    assert list(tables["runs"]) == list(RUN)
    assert tables["runs"]["parameters"].tolist() == [99]


@pytest.mark.parametrize("split", ["val", "train"])
def test_a_spectrum_is_of_the_configured_split_of_the_fingerprint(run_rule, given, split):
    inputs = given(TRAJECTORY.format("wd_1", 1), trajectory(seed=1))
    config = {"grokking": {"embedding": {"probe_split": split}}}
    made = read_table(run_rule("grokking_spectrum", SPECTRUM.format("wd_1", 1), inputs, config=config))
    steps, snapshots = embedded("wd_0", 1, probe_split=split)  # as it was recorded
    expected = spectrum(steps, snapshots, "wd_1", 1, GROKKING.section["dmd"])
    pd.testing.assert_frame_equal(made, expected, check_dtype=False)
    assert len(made) == 7 * 6


def test_a_spectrum_of_a_run_that_is_too_short_is_refused_by_its_key(run_rule, given, tmp_path):
    inputs = given(TRAJECTORY.format("wd_1", 1), trajectory(last=78))
    with pytest.raises(WorkflowError):
        run_rule("grokking_spectrum", SPECTRUM.format("wd_1", 1), inputs)
    last = (tmp_path / "logs/grokking/spectrum/wd_1/seed1.log").read_text().splitlines()[-1]
    assert "grokking.dmd.window: it ends at step 120, but wd_1, seed 1 stopped at step 78; allowed: 78 or less" in last


@pytest.fixture
def mine(tmp_path):
    """A configuration with two runs from elsewhere, and their readings."""
    readings = [np.random.default_rng(seed).standard_normal((70, 5)).cumsum(axis=0) for seed in range(2)]
    np.save(tmp_path / "mine_0.npy", readings[0])
    np.savez(tmp_path / "mine_1.npz", readings=readings[1], step=2 * np.arange(70))
    files = ["mine_0.npy", "mine_1.npz"]
    return {"grokking": {"recorded": [{"name": "mine", "fingerprints": files, "record_every": 2}]}}, readings


def snapshots_of(readings):
    steps, _, snapshots = embed({"fingerprint_step": 2 * np.arange(70), "val": readings}, GROKKING.section["embedding"])
    return steps, snapshots


@pytest.mark.parametrize("seed", [0, 1])
def test_a_training_from_elsewhere_has_spectra_and_residuals(run_rule, tmp_path, mine, seed):
    config, readings = mine
    path = run_rule("grokking_recorded", TRAJECTORY.format("mine", seed), config=config)
    file = tmp_path / config["grokking"]["recorded"][0]["fingerprints"][seed]
    assert read_made_by(path)["params"]["run"]["contents"] == {file.name: sha256(file.read_bytes()).hexdigest()}
    made = read_table(run_rule("grokking_spectrum", SPECTRUM.format("mine", seed), config=config))
    expected = spectrum(*snapshots_of(readings[seed]), "mine", seed, GROKKING.section["dmd"])
    pd.testing.assert_frame_equal(made, expected, check_dtype=False)
    made = read_table(run_rule("grokking_residual", RESIDUALS.format("mine", seed), config=config))
    expected = run_residuals(*snapshots_of(readings[seed]), "mine", seed, GROKKING.section["residual"])
    pd.testing.assert_frame_equal(made, expected, check_dtype=False)


def test_trainings_from_elsewhere_stand_beside_the_others(run_rule, draw, given, tmp_path, mine):
    config, readings = mine
    inputs = a_file_a_run(given, SPECTRUM, spectra())
    for seed, values in enumerate(readings):
        of_run = spectrum(*snapshots_of(values), "mine", seed, GROKKING.section["dmd"])
        inputs |= given(SPECTRUM.format("mine", seed), of_run)
    run_rule("grokking_distances_table", TABLE.format("distances"), inputs, config=config)
    assert len(read_table(tmp_path / TABLE.format("distances"))) == 10 * 7  # pairs of five runs
    tests = read_table(tmp_path / TABLE.format("tests"))
    assert set(tests["conditions"]) == {"wd_0 wd_1 mine", "wd_0 wd_1", "wd_0 mine", "wd_1 mine"}
    assert "mine" in draw("grokking_spectrum_figure", "grokking_spectrum", inputs, config=config)
    assert "mine" in draw("grokking_distances_figure", "grokking_distances", {}, config=config)
    inputs = {}
    for (name, seed), rows in zip(RUNS, transitions(), strict=True):
        if seed == 0:
            inputs |= given(TRAJECTORY.format(name, seed), trajectory())
            inputs |= given(EVALUATION.format(name, seed, "transitions"), rows)
    run_rule("grokking_recorded", TRAJECTORY.format("mine", 0), config=config)
    assert "mine, seed 0" in draw("grokking_fingerprint_figure", "grokking_fingerprint", inputs, config=config)


def test_another_file_of_a_training_from_elsewhere_makes_its_own_jobs_stale_alone(tmp_path, run_rule, mine):
    config, readings = mine
    run_rule("grokking_recorded", TRAJECTORY.format("mine", 0), config=config)
    run_rule("grokking_recorded", TRAJECTORY.format("mine", 1), config=config)
    targets = [TRAJECTORY.format("mine", seed) for seed in (0, 1)]

    def to_run():
        found = jobs(tmp_path, SMOKE, targets=targets, config={"device": "cpu"} | config, stale=True)
        return [str(job.wildcards.seed) for job in found]

    assert to_run() == []
    np.save(tmp_path / "mine_0.npy", 2 * readings[0])
    assert to_run() == ["0"]


def test_residuals_are_of_the_fingerprint(run_rule, given):
    inputs = given(TRAJECTORY.format("wd_1", 1), trajectory(seed=1))
    path = run_rule("grokking_residual", RESIDUALS.format("wd_1", 1), inputs)
    expected = run_residuals(*embedded("wd_0", 1), "wd_1", 1, GROKKING.section["residual"])
    pd.testing.assert_frame_equal(read_table(path), expected, check_dtype=False)


def test_tables_hold_all_runs(run_rule, given, tmp_path):
    inputs, kinds = {}, ("history", "transitions", "records", "runs", "spectra", "residuals")
    for kind in kinds:
        pattern = KINDS.get(kind, EVALUATION.replace("{}.parquet", f"{kind}.parquet"))
        tables = [pd.DataFrame({"condition": [name], "seed": seed, "kind": kind}) for name, seed in RUNS]
        inputs |= a_file_a_run(given, pattern, tables)
    run_rule("grokking_runs_table", TABLE.format("spectra"), inputs)
    for kind in kinds:
        table = read_table(tmp_path / TABLE.format(kind))
        assert set(table["kind"]) == {kind}
        assert list(zip(table["condition"], table["seed"], strict=True)) == RUNS
        assert len(read_made_by(tmp_path / TABLE.format(kind))["made_from"]) == len(RUNS)


def test_distances_come_with_tests_and_swaps(run_rule, given, tmp_path):
    path = run_rule("grokking_distances_table", TABLE.format("distances"), a_file_a_run(given, SPECTRUM, spectra()))
    assert len(read_table(path)) == 3 * 7
    tests = read_table(tmp_path / TABLE.format("tests"))
    assert len(tests) == 7 * 2
    assert tests["smallest_p"].unique().tolist() == [pytest.approx(1 / 3)]  # one against two
    assert read_table(tmp_path / TABLE.format("swaps"))["seed"].tolist() == [0]  # the seed that both have


def test_perturbed_runs_stand_in_one_table(run_rule, given):
    drift = {"weight_step": np.array([0, 4]), "weight_distance": np.array([0.1, 0.2])}
    changed = trajectory(last=100)
    changed["val"] = changed["val"] + np.float32(0.5)
    inputs = given(PERTURBED, changed | drift) | given(TRAJECTORY.format("wd_0", 0), trajectory())
    table = read_table(run_rule("grokking_perturbation_table", TABLE.format("perturbation"), inputs))
    assert len(table) == 51
    assert table["rms_change"].to_numpy() == pytest.approx(0.5, abs=1e-5)
    assert set(table["perturbation"]) == {"relative_tenth"}


def test_accuracies_are_drawn_from_the_histories_alone(draw, given):
    columns = {"step": [0, 20, 160], "accuracy_train": 0.9, "accuracy_val": 0.3, "chance": 1 / P}
    tables = [pd.DataFrame({"condition": name, "seed": seed} | columns) for name, seed in RUNS]
    inputs = a_file_a_run(given, EVALUATION.replace("{}.parquet", "history.parquet"), tables)
    assert "chance, 1/p" in draw("grokking_accuracy_figure", "grokking_accuracy", inputs)


def test_spectra_are_drawn_from_those_of_the_runs_alone(draw, given):
    svg = draw("grokking_spectrum_figure", "grokking_spectrum", a_file_a_run(given, SPECTRUM, spectra()))
    assert "unit circle" in svg


def test_the_fingerprint_is_drawn_of_the_first_seed_s_trajectories(draw, given):
    inputs = {}
    for (name, seed), rows in zip(RUNS, transitions(), strict=True):
        if seed == 0:
            inputs |= given(TRAJECTORY.format(name, seed), trajectory(seed=seed))
            inputs |= given(EVALUATION.format(name, seed, "transitions"), rows)
    svg = draw("grokking_fingerprint_figure", "grokking_fingerprint", inputs)
    assert "wd_0, seed 0" in svg
    assert "wd_1, seed 0" in svg


def test_distances_are_drawn_from_their_tables_alone(draw, given):
    distances = run_distances(pd.concat(spectra(), ignore_index=True))
    inputs = given(TABLE.format("distances"), distances)
    inputs |= given(TABLE.format("tests"), distance_tests(distances, GROKKING.names))
    assert "all modes alike: p = " in draw("grokking_distances_figure", "grokking_distances", inputs)


def test_residuals_are_drawn_from_those_of_the_runs_alone(draw, given):
    tables = [run_residuals(*embedded(*run), *run, GROKKING.section["residual"]) for run in RUNS]
    inputs = a_file_a_run(given, RESIDUALS, tables)
    inputs |= a_file_a_run(given, EVALUATION.replace("{}.parquet", "transitions.parquet"), transitions())
    assert "first 99% of training right" in draw("grokking_residual_figure", "grokking_residual", inputs)


def test_perturbations_are_drawn_from_their_table_alone(draw, given):
    about = {"condition": "wd_0", "seed": 0, "perturbation": "relative_tenth", "kind": "relative", "epsilon": 0.1}
    values = {"weight_distance": 0.1, "rms_change": 0.2, "fingerprint_distance": 0.1, "growth_rate": 0.0}
    crossings = {"generalized_step": 80.0, "reference_generalized_step": np.nan}
    table = pd.DataFrame({"step": np.arange(0, 101, 2)} | about | values | crossings)
    svg = draw("grokking_perturbation_figure", "grokking_perturbation", given(TABLE.format("perturbation"), table))
    assert "relative_tenth" in svg


@pytest.mark.parametrize("elsewhere", [False, True])
def test_findings_are_made_of_the_tables_and_of_the_trajectories(run_rule, given, mine, elsewhere):
    inputs, config, names = {}, mine[0] if elsewhere else {}, [*GROKKING.names, *["mine"] * elsewhere]
    others = [("mine", seed, snapshots_of(mine[1][seed])) for seed in range(2)] if elsewhere else []
    spectra_of_all = pd.concat(
        [*spectra(), *(spectrum(*of, name, seed, GROKKING.section["dmd"]) for name, seed, of in others)],
        ignore_index=True,
    )
    followed = [(*run, embedded(*run)) for run in RUNS] + others
    for name, seed in RUNS:
        inputs |= given(TRAJECTORY.format(name, seed), trajectory(seed=seed))
    ends = {"delay_ratio": 2.0, "end_accuracy_val": 1.0, "late_below_99": 0.1, "late_below_half": 0.0}
    history = {"step": [0, 160], "accuracy_train": [0.1, 1.0], "accuracy_val": [0.1, 1.0]}
    items = {"step": 160, "phase": ["train", "held_out"], "item": ["0_1", "1_0"], "recall": 1.0}
    distances = run_distances(spectra_of_all)
    perturbed = {"condition": "wd_0", "seed": 0, "perturbation": "relative_tenth", "step": 10, "weight_distance": 0.1}
    tables = {
        "transitions": pd.concat(transitions(), ignore_index=True).assign(**ends),
        "history": pd.concat([pd.DataFrame({"condition": name, "seed": seed} | history) for name, seed in RUNS]),
        "records": pd.concat([pd.DataFrame({"condition": name, "seed": seed} | items) for name, seed in RUNS]),
        "spectra": spectra_of_all,
        "distances": distances,
        "tests": distance_tests(distances, names),
        "residuals": pd.concat(run_residuals(*of, *run, GROKKING.section["residual"]) for *run, of in followed),
        "perturbation": pd.DataFrame([perturbed | {"generalized_step": 80.0, "reference_generalized_step": 100.0}]),
    }
    for name, table in tables.items():
        inputs |= given(TABLE.format(name), table.reset_index(drop=True))
    path = run_rule("grokking_findings_table", TABLE.format("findings"), inputs, config=config)
    values = read_table(path).set_index(["finding", "condition"])["value"]
    assert values["first step with 99% of the training equations", "wd_1"] == 40
    of_mine = {"mean |λ|", "residual, highest", "distance of two runs' spectra, plain"}
    assert {each for each in of_mine if (each, "mine") in values.index} == (of_mine if elsewhere else set())
    assert ("labels permuted over all runs, p, plain", " ".join(names)) in values.index
    assert values["mean |λ|, difference", "wd_0 - wd_1"] == pytest.approx(0)  # of one seed, whose readings are doubled
    assert (
        values["first step with 99% of the validation equations, later than unperturbed", "wd_0, relative_tenth"] == -20
    )
    assert read_made_by(path)["made_from"].keys() == inputs.keys()
