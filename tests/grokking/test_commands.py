import json
import re
import shutil

import numpy as np
import pytest

from memorization.__main__ import main
from memorization.files import read_arrays, read_made_by, read_table, write_arrays, write_table
from memorization.grokking.dynamics.fingerprint import embed
from memorization.grokking.dynamics.spectra import spectrum

EMBEDDING = {"probe_split": "val", "n_quantiles": 5}
DMD = {
    "method": "projected", "center_mode": "relative_to_t0", "n_delays": 3, "k_mode": 4, "window": [4, 60],
    "surrogates": 1,
}  # fmt: skip
TRAJECTORY, SPECTRUM = "grokking/trajectories/{}.npz", "grokking/spectra/{}.parquet"


def trajectory(path, seed):
    rng, steps = np.random.default_rng(seed), 2 * np.arange(40)
    readings = {split: rng.standard_normal((len(steps), 30)).astype(np.float32) for split in ("val", "train")}
    probes = {f"probe_{split}": rng.permutation(90)[:30] for split in readings}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(str(path), {"fingerprint_step": steps} | readings | probes, {"rule": "grokking_train"})


@pytest.fixture
def results(tmp_path):
    """Two runs as the workflow leaves them, in a folder of another name than the one that they were made in."""
    results = tmp_path / "archive/of 2026"
    for seed, run in enumerate(("wd_1/seed0", "wd_1/seed1")):
        path = results / TRAJECTORY.format(run)
        trajectory(path, seed)
        steps, _, snapshots = embed(read_arrays(str(path)), EMBEDDING)
        made_by = {"made_from": {f"results/{TRAJECTORY.format(run)}": read_made_by(path)}}
        made_by |= {"made_from_earlier": {"results/grokking/equations/default/seed0.npz": "of no file that is read"}}
        made_by |= {"params": {"embedding": EMBEDDING, "dmd": DMD}}
        of_run = results / SPECTRUM.format(run)
        of_run.parent.mkdir(parents=True, exist_ok=True)
        write_table(str(of_run), spectrum(steps, snapshots, "wd_1", seed, DMD), made_by)
    return results


def export(folder, results, run="wd_1/seed0"):
    return main(["export-fingerprints", run, str(folder), "--results", str(results)])


def test_fingerprints_are_exported_in_the_layout_of_the_source(tmp_path, results, capsys):
    folder = tmp_path / "exported"
    assert export(folder, results, "wd_1/seed1") == 0
    assert f"40 snapshots of wd_1/seed1 in {folder}" in capsys.readouterr().out
    recorded = read_arrays(str(results / TRAJECTORY.format("wd_1/seed1")))
    steps, _, snapshots = embed(recorded, EMBEDDING)
    np.testing.assert_array_equal(np.load(folder / "steps.npy"), steps)
    np.testing.assert_array_equal(np.load(folder / "probe_indices.npy"), recorded["probe_val"])
    for step, snapshot in zip(steps, snapshots, strict=True):
        np.testing.assert_array_equal(np.load(folder / f"snapshot_t{step:06d}.npy"), snapshot)
    own = read_table(str(results / SPECTRUM.format("wd_1/seed1"))).query("data == 'fingerprint'")
    np.testing.assert_array_equal(np.load(folder / "eigenvalues.npy"), own["real"] + 1j * own["imag"])
    assert json.loads((folder / "config.json").read_text())["params"] == {"embedding": EMBEDDING, "dmd": DMD}
    assert (folder / "spectrum.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / "spectrum.png").read_bytes().startswith(b"\x89PNG")


def test_fingerprints_from_elsewhere_are_exported_without_a_probe(tmp_path, results):
    path = results / TRAJECTORY.format("wd_1/seed0")
    arrays = {name: array for name, array in read_arrays(str(path)).items() if not name.startswith("probe")}
    write_arrays(str(path), arrays, {"rule": "grokking_recorded"})
    note(results / SPECTRUM.format("wd_1/seed0"), made_from={NOTED: read_made_by(path)})
    assert export(tmp_path / "exported", results) == 0
    assert len(list((tmp_path / "exported").glob("snapshot_t*.npy"))) == 40
    assert not (tmp_path / "exported/probe_indices.npy").exists()


def note(path, **change):
    """Change what a spectrum says that it was made of."""
    write_table(str(path), read_table(str(path)), read_made_by(path) | change)


NOTED = f"results/{TRAJECTORY.format('wd_1/seed0')}"
MADE_OF_ANOTHER = "wd_1/seed0.parquet: made of another .*/wd_1/seed0.npz than is there now; make it again"
NOT_OF_IT = "wd_1/seed0.parquet: does not say that it was made of grokking/trajectories/wd_1/seed0.npz"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda made_of, of_run: trajectory(made_of, 7), MADE_OF_ANOTHER),
        (lambda made_of, of_run: shutil.copy(made_of.with_name("seed1.npz"), made_of), MADE_OF_ANOTHER),
        (lambda made_of, of_run: note(of_run, made_from={NOTED: {}}), MADE_OF_ANOTHER),
        (lambda made_of, of_run: note(of_run, made_from_earlier={NOTED: "of another"}), MADE_OF_ANOTHER),
        (lambda made_of, of_run: shutil.copy(of_run.with_name("seed1.parquet"), of_run), NOT_OF_IT),
        (lambda made_of, of_run: note(of_run, made_from={}), NOT_OF_IT),
        (
            lambda made_of, of_run: note(of_run, params={"dmd": DMD}),  # of an embedding in a file of its own
            "wd_1/seed0.parquet: made by an earlier version of this workflow; make it again",
        ),
        (lambda made_of, of_run: made_of.unlink(), "wd_1/seed0.npz: no such file; .*wd_1/seed0.parquet was made of it"),
        (lambda made_of, of_run: made_of.write_bytes(b"cut off"), "wd_1/seed0.npz: damaged"),
        (lambda made_of, of_run: of_run.write_bytes(b"cut off"), "wd_1/seed0.parquet: damaged"),
        (lambda made_of, of_run: of_run.unlink(), "no such file; runs with a spectrum: wd_1/seed1"),
    ],
)
def test_a_spectrum_is_exported_with_the_trajectory_that_it_was_made_of_or_not_at_all(
    tmp_path, results, capsys, monkeypatch, change, message
):
    shutil.copytree(results, tmp_path / "results")  # where the notes say that the files are; nothing is read there
    monkeypatch.chdir(tmp_path)
    change(results / TRAJECTORY.format("wd_1/seed0"), results / SPECTRUM.format("wd_1/seed0"))
    assert export(tmp_path / "exported", results) == 1
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert re.search(message, printed), printed
    assert not (tmp_path / "exported").exists()


def test_an_export_takes_the_place_of_nothing(tmp_path, results, capsys):
    for path in (tmp_path / "file", tmp_path / "folder/file"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("of years ago")
        folder = tmp_path / path.relative_to(tmp_path).parts[0]
        assert export(folder, results) == 1
        assert f"{folder}: not an empty folder" in capsys.readouterr().err
        assert path.read_text() == "of years ago"
    assert len(list((tmp_path / "folder").iterdir())) == 1
