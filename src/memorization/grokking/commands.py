"""Commands of the family: write a run's fingerprints in the layout of the original research code."""

import argparse
import json
from pathlib import Path

import numpy as np

from memorization.files import noted_inputs, read_arrays, read_made_by, read_table
from memorization.grokking.dynamics.figures import eigenvalues_figure
from memorization.grokking.dynamics.fingerprint import embed
from memorization.grokking.dynamics.spectra import FINGERPRINT
from memorization.plotting import save

PLOTTING = {"panel_width": 4.0, "panel_height": 4.0, "font_size": 9, "dpi": 200}


def add(subparsers: argparse._SubParsersAction) -> None:
    """Register the commands of the family."""
    parser = subparsers.add_parser(
        "export-fingerprints",
        help="write a grokking run's fingerprints and spectrum as single files",
        description="Write config.json, probe_indices.npy, steps.npy, snapshot_tXXXXXX.npy (a quantile vector a "
        "step), eigenvalues.npy and spectrum.png/pdf of a run into DIR.",
    )
    parser.add_argument("run_name", metavar="RUN", help="a condition and a seed, such as wd_1/seed0")
    parser.add_argument("folder", metavar="DIR", type=Path, help="made where it is not there; must be empty")
    parser.add_argument(
        "--results", type=Path, default=Path("results"), help="the folder results of a run (%(default)s)"
    )
    parser.set_defaults(run=lambda options: export_fingerprints(options.run_name, options.folder, options.results))


def export_fingerprints(run: str, folder: Path, results: Path = Path("results")) -> None:
    """Write a run's embedded fingerprints and its spectrum in the layout of the original code.

    Parameters
    ----------
    run : ``<condition>/seed<seed>``
    folder : gets config.json (the parameters that made them), probe_indices.npy (rows of the table of equations;
        not of a run from elsewhere), steps.npy (T,), snapshot_tXXXXXX.npy (q,) a step, eigenvalues.npy (m,) complex,
        spectrum.png and .pdf
    results : the workflow's, with the run's trajectory and spectrum

    Raises
    ------
    FileNotFoundError
        If the run's spectrum or its trajectory is missing.
    FileExistsError
        If the folder is not empty.
    ValueError
        If the spectrum was made from another trajectory, or by an earlier version.
    """
    spectrum_file = results / f"grokking/spectra/{run}.parquet"
    if not spectrum_file.is_file():
        made = sorted((results / "grokking/spectra").glob("*/*.parquet"))
        there = ", ".join(f"{each.parent.name}/{each.stem}" for each in made)
        raise FileNotFoundError(f"{spectrum_file}: no such file; runs with a spectrum: {there or 'none'}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder}: not an empty folder")
    (trajectory_file,) = noted_inputs(spectrum_file, f"grokking/trajectories/{run}.npz", results)
    made_by, spectra = read_made_by(spectrum_file), read_table(str(spectrum_file))
    trajectory, embedding = read_arrays(str(trajectory_file)), made_by["params"].get("embedding")
    if embedding is None:
        raise ValueError(f"{spectrum_file}: made by an earlier version of this workflow; make it again")
    recorded_steps, _, snapshots = embed(trajectory, embedding)
    own = spectra[spectra["data"] == FINGERPRINT]
    eigenvalues = (own["real"] + 1j * own["imag"]).to_numpy()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(made_by, indent=1, sort_keys=True) + "\n")
    probe = f"probe_{embedding['probe_split']}"
    arrays = {"probe_indices": trajectory[probe]} if probe in trajectory else {}
    arrays |= {"steps": recorded_steps, "eigenvalues": eigenvalues}
    for step, snapshot in zip(recorded_steps, snapshots, strict=True):
        arrays[f"snapshot_t{step:06d}"] = snapshot
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    figures = {ending: str(folder / f"spectrum.{ending}") for ending in ("png", "pdf")}
    save(eigenvalues_figure(eigenvalues, run, PLOTTING), figures, PLOTTING, made_by)
    print(f"{len(recorded_steps)} snapshots of {run} in {folder}")
