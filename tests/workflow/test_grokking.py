"""The family grokking by the real command line: its bytes, and what is stale."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from command_line import Study, environment, planned, snakemake

from memorization.files import read_arrays, read_made_by, read_table
from memorization.provenance import ROOT

SPECTRA = "results/tables/grokking_spectra.parquet"


def overlay(tmp_path, text):
    path = tmp_path / "overlay.yaml"
    path.write_text(text)
    return str(path)


def test_the_spectra_again_are_equal_to_the_byte(study, checkout, tmp_path):
    again = Study(checkout, tmp_path / "again")
    spectra = [f"results/grokking/spectra/{condition}/seed0.parquet" for condition in ("wd_0", "wd_1")]
    snakemake("--cores", "2", *again.arguments(*spectra), root=again.root)
    made = [path for path in (again.folder / "results").rglob("*") if path.is_file()]
    assert len(made) == 1 + 2 * 2 + 2 + 2  # equations; trajectories and weights; embeddings; spectra
    for path in made:
        name = path.relative_to(again.folder)
        assert path.read_bytes() == (study.folder / name).read_bytes(), name


def test_tables_hold_every_run_and_say_what_made_them(study):
    def table(name):
        return read_table(study.folder / f"results/tables/grokking_{name}.parquet")

    for name in ("history", "transitions", "records", "runs", "spectra", "residuals"):
        assert len(table(name)[["condition", "seed"]].drop_duplicates()) == 4, name
    assert len(table("records")) == 4 * 5 * 31**2  # five checkpoints
    assert len(table("distances")) == 6 * 7  # pairs of runs; the fingerprint and three draws of two surrogates
    assert len(table("perturbation")[["perturbation", "condition", "seed"]].drop_duplicates()) == 2
    made_by = read_made_by(study.folder / SPECTRA)
    assert re.fullmatch("[0-9a-f]{12}", made_by["code"])
    trained = made_by["made_from"]["results/grokking/trajectories/wd_1/seed1.npz"]
    assert trained["params"]["condition"]["weight_decay"] == 1


def test_a_color_draws_the_figures_that_use_it_and_nothing_else(study, tmp_path):
    def stale(text):
        return study.planned(overlay(tmp_path, text))

    assert stale("plotting: {grokking_fingerprint: {palette: magma}}") == {"grokking_fingerprint_figure": 1}
    assert stale("plotting: {grokking_spectrum: {palette: deep}}") == {"grokking_figure": 1}


def test_a_parameter_of_the_analysis_trains_nothing(study, tmp_path):
    expected = {"grokking_spectrum": 4, "grokking_table": 1, "grokking_distances": 1, "grokking_figure": 2}
    for change in ("n_delays: 9", "method: refined", "center_mode: none"):
        assert study.planned(overlay(tmp_path, f"grokking: {{dmd: {{{change}}}}}")) == expected
    expected = {"grokking_residual": 4, "grokking_table": 1, "grokking_figure": 1}
    assert study.planned(overlay(tmp_path, "grokking: {residual: {stride: 6}}")) == expected
    jobs = study.planned(overlay(tmp_path, "grokking: {embedding: {probe_split: train}}"))
    assert jobs["grokking_embed"] == 4
    assert not {"grokking_train", "grokking_perturb", "grokking_evaluate"} & jobs.keys()


def test_one_more_seed_trains_that_seed_once_per_condition(study, tmp_path):
    jobs = study.planned(overlay(tmp_path, "grokking: {seeds: 3}"))
    for rule in ("train", "evaluate", "embed", "spectrum", "residual"):
        assert jobs[f"grokking_{rule}"] == 2, rule
    assert jobs["grokking_perturb"] == 1
    assert "grokking_equations" not in jobs  # one split for all seeds


def test_one_more_perturbation_trains_that_one_alone(study, tmp_path):
    text = """grokking:
  perturbations:
    - {name: relative_tenth, kind: relative, epsilon: 0.1}
    - {name: round_off, kind: round_off, epsilon: 0}
"""
    expected = {"grokking_perturb": 2, "grokking_perturbation": 1, "grokking_figure": 1}
    assert study.planned(overlay(tmp_path, text)) == expected


def test_the_default_has_three_seeds_of_every_weight_decay(study, tmp_path):
    jobs = planned("grokking", "--directory", str(tmp_path / "new"), root=study.root)
    assert jobs["grokking_train"] == 9
    assert jobs["grokking_perturb"] == 6
    paper = ["--configfile", "config/paper.yaml", "--directory", str(tmp_path / "new")]
    jobs = planned("grokking", *paper, root=study.root)
    assert jobs["grokking_train"] == 15
    assert jobs["grokking_perturb"] == 8 * 15


def memorization(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "memorization", *arguments], cwd=cwd, env=environment(), capture_output=True, text=True
    )  # fmt: skip


def test_fingerprints_are_exported_in_the_source_s_layout(study, tmp_path):
    folder = tmp_path / "exported"
    result = memorization("export-fingerprints", "wd_1/seed1", str(folder), cwd=study.folder)
    assert result.returncode == 0, result.stderr
    assert f"81 snapshots of wd_1/seed1 in {folder}" in result.stdout
    embedding = read_arrays(study.folder / "results/grokking/embeddings/wd_1/seed1.npz")
    steps = np.load(folder / "steps.npy")
    np.testing.assert_array_equal(steps, embedding["steps"])
    for step in steps:
        snapshot = np.load(folder / f"snapshot_t{step:06d}.npy")
        np.testing.assert_array_equal(snapshot, embedding["snapshots"][step // 2])
    spectra = read_table(study.folder / "results/grokking/spectra/wd_1/seed1.parquet").query("data == 'fingerprint'")
    np.testing.assert_array_equal(np.load(folder / "eigenvalues.npy"), spectra["real"] + 1j * spectra["imag"])
    trajectory = read_arrays(study.folder / "results/grokking/trajectories/wd_1/seed1.npz")
    np.testing.assert_array_equal(np.load(folder / "probe_indices.npy"), trajectory["probe_val"])
    assert json.loads((folder / "config.json").read_text())["params"]["dmd"]["n_delays"] == 8
    assert (folder / "spectrum.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / "spectrum.png").read_bytes().startswith(b"\x89PNG")


def test_the_numbers_of_the_page_are_printed_from_a_finished_run(study):
    script = ROOT.parent / "docs/numbers/grokking.py"
    result = subprocess.run(
        [sys.executable, str(script), str(study.folder)], env=environment(), capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    tests = read_table(study.folder / "results/tables/grokking_tests.parquet").query("data == 'fingerprint'")
    ratio = tests.set_index("measure")["ratio"]["plain"]
    assert f"fingerprint, plain: ratio {ratio:.2f}" in result.stdout
    assert f"val, relative_to_t0, projected: ratio {ratio:.1f}" in result.stdout


@pytest.mark.parametrize(
    ("run", "there", "message", "status"),
    [
        ("wd_9/seed0", None, "no such file; runs with a spectrum: wd_0/seed0, wd_0/seed1, wd_1/seed0, wd_1/seed1", 1),
        ("wd_1/seed0", "something", "not an empty folder", 1),
        (None, None, "the following arguments are required: RUN, DIR", 2),
    ],
)
def test_what_cannot_be_exported_is_one_line(study, tmp_path, run, there, message, status):
    if there:
        (tmp_path / there).write_text("")
    result = memorization("export-fingerprints", *([run, str(tmp_path)] if run else []), cwd=study.folder)
    assert result.returncode == status
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
