"""The main job by the real command line, its bytes, and what it leaves."""

import re
import subprocess
import sys

import pytest
import yaml
from command_line import Study, environment, planned, snakemake

from memorization.files import read_made_by, read_table
from memorization.statistics import t_interval

MAIN = "results/figures/zipf_loss.pdf"


def results(folder):
    return {str(path.relative_to(folder)): path for path in sorted((folder / "results").rglob("*")) if path.is_file()}


def test_two_runs_of_the_main_job_give_the_same_bytes(study, checkout, tmp_path):
    other = Study(checkout, tmp_path / "again")
    printed = snakemake("--cores", "2", *other.arguments(MAIN), root=checkout)
    assert "zipf: training large_rope, seed 1, to step 40" in printed
    made, before = results(other.folder), results(study.folder)
    assert len(made) == 2 + 2 * 8 + 4 * 8 + 3  # sequences, trainings, evaluations, one figure in three formats
    for name, path in made.items():
        assert path.read_bytes() == before[name].read_bytes(), name


def test_tables_hold_every_run_and_say_what_made_them(study):
    tables = {
        name: study.folder / f"results/tables/zipf_{name}.parquet"
        for name in ("by_sequence", "summary", "records", "runs")
    }
    runs = read_table(tables["runs"])
    assert len(runs) == len(runs[["condition", "seed"]].drop_duplicates()) == 12
    frozen = runs[runs["condition"].isin(["resample_all_but_mlp", "forget"])]
    assert (frozen["trainable"] < frozen["parameters"]).all()
    by_sequence = read_table(tables["by_sequence"])
    recorded = by_sequence[by_sequence["phase"] == "train"].groupby(["condition", "seed", "step"]).size()
    assert set(recorded.xs(40, level="step")) == {80}
    assert set(recorded.drop(40, level="step")) == {70 + 3}  # the head, and 72, 75, 78
    switched = by_sequence[by_sequence["condition"] == "forget"]
    assert sorted(switched.loc[switched["step"] == 60, "set"].unique()) == [0, 1, 2]
    assert not switched.duplicated(["seed", "step", "first_set", "rank"]).any()
    assert set(switched.loc[switched["first_set"] < switched["set"], "rank"]) == {0, 50}
    summary = read_table(tables["summary"])
    weighted = summary[summary["weighted_loss"].notna()]
    assert (weighted["weighted_loss"] > weighted["floor"]).all()
    for path in tables.values():
        made_by = read_made_by(path)
        assert re.fullmatch("[0-9a-f]{12}", made_by["code"])
        assert made_by["rule"] == "zipf_table"
        assert len(made_by["made_from"]) == 12 + 14 + 8 + 4  # evaluations, trajectories, sequences, checkpoints
        trained = made_by["made_from"]["results/zipf/trajectories/large_lr/seed1/step40.npz"]
        assert trained["params"]["condition"]["learning_rate"] == 3e-4
        assert trained["wildcards"]["seed"] == "1"
        assert trained["device"] in ("cpu", "cuda")
        assert "torch" in trained["versions"]


def test_a_dry_run_names_the_condition_and_the_seed(study, tmp_path):
    printed = snakemake("-n", *Study(study.root, tmp_path / "new").arguments(MAIN), root=study.root)
    for condition in ("small", "medium", "large_rope", "large_lr"):
        for seed in (0, 1):
            assert f"zipf: training {condition}, seed {seed}, to step 40" in printed


SCALES = {"zipf": ("smoke", "paper", "capacity"), "associative_memory": ("smoke", "paper")}


@pytest.mark.parametrize(("family", "name"), [(family, name) for family, names in SCALES.items() for name in names])
def test_an_overlay_runs_its_own_conditions_alone(study, tmp_path, family, name):
    run = f"results/{family}/evaluations"
    section = yaml.safe_load((study.root / f"config/{name}.yaml").read_text())[family]
    conditions = [each["name"] for each in (*section["models"], *section["switches"])]
    tables = [f"results/tables/{family}_{table}.parquet" for table in ("by_sequence", "runs")]
    arguments = [*tables, "--configfile", f"config/{name}.yaml", "--directory", str(tmp_path / "new")]
    printed = snakemake("-n", *arguments, root=study.root)
    assert set(re.findall(rf"{run}/(\w+)/seed", printed)) == set(conditions)
    assert set(re.findall(rf"{family}: training (\w+), seed", printed)) == set(conditions)
    sampled = set(re.findall(rf"{family}: sampling the sequences of (\w+), seed", printed))
    assert sampled == {data["name"] for data in section["datasets"]}


def test_the_slurm_profile_is_found_by_its_name(study, tmp_path):
    arguments = ("zipf", "--profile", "slurm", "--directory", str(tmp_path / "new"))
    assert planned(*arguments, root=study.root)["zipf_train"] == 63


def test_the_default_has_three_seeds_of_every_condition(study, tmp_path):
    jobs = planned("--directory", str(tmp_path / "new"), root=study.root)
    config = yaml.safe_load((study.root / "config/config.yaml").read_text())
    for family, count in (("zipf", 63), ("associative_memory", 33)):
        section = config[family]
        assert section["seeds"] == 3
        sets = sum(len(switch["at"]) for switch in section["switches"])
        assert jobs[f"{family}_train"] == 3 * (len(section["models"]) + sets) == count
    main = planned(MAIN, "--directory", str(tmp_path / "new"), root=study.root)
    assert main["zipf_train"] == 3 * 4


def test_numbers_of_the_memory_s_page_are_printed_from_a_run(study, tmp_path):
    command = [sys.executable, str(study.root / "docs/numbers/associative_memory.py")]
    found = environment() | {"PYTHONPATH": str(study.root / "src")}
    printed = subprocess.run(
        [*command, str(study.folder)], check=True, capture_output=True, text=True, env=found
    ).stdout
    summary = read_table(study.folder / "results/tables/associative_memory_summary.parquet")
    end = summary[(summary["condition"] == "heads_1") & (summary["step"] == 40)]
    mean, low, high = t_interval(end["suffix_accuracy"].to_numpy())
    assert f"heads_1: {mean:.3f} [{low:.3f}, {high:.3f}], " in printed
    for heading in (
        "second half of the bits alone",
        "Exposures until .9",
        "# resample, steps since",
        "Weights of B",
    ):
        assert heading in printed, heading
    none = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, env=found)
    assert none.returncode == 1
    assert none.stderr.strip() == f"{tmp_path}/results/tables: no run of associative_memory"


FIGURES = {
    "zipf": ("loss", "accuracy", "comparison", "switch", "swap"),
    "associative_memory": ("loss", "accuracy", "heads", "attention", "switch", "comparison"),
    "grokking": ("accuracy", "spectrum", "fingerprint", "distances", "residual", "perturbation"),
}
CAPTIONS = (
    "Loss of single sequences",
    "Accuracy of single sequences",
    "Conditions that differ in one thing",
    "How the memory reads",
    "Accuracy on all training",
    "Eigenvalues of Hankel-DMD",
    "The fingerprint of",
    "Wasserstein distances between",
    "What Hankel-DMD of a short",
    "Trainings that begin",
)


def test_the_report_holds_every_figure_and_its_caption(study, tmp_path):
    report = tmp_path / "report.html"
    snakemake("--report", str(report), *study.arguments("all"), root=study.root)
    text = report.read_text()
    for figure in (f"{family}_{name}.svg" for family, names in FIGURES.items() for name in names):
        assert figure in text, figure
    for caption in CAPTIONS:
        assert caption in text, caption
