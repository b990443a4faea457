"""The script that prints the numbers of docs/zipf.md, on a run whose numbers are known."""

import os
import subprocess
import sys

import numpy as np
from command_line import ROOT

from memorization.data.sequences import sample_sequences, zipf_probabilities
from memorization.files import write_table
from memorization.random_sequences.measures import evaluate, sequence_records, sequence_runs

COUNT, LENGTH = 8, 12
SETS = sample_sequences(2 * COUNT, LENGTH, np.random.default_rng(0)).reshape(2, COUNT, LENGTH)


def write_run(folder, name, seed, right):
    """A run of which each set is known wholly or not at all: ``right`` by step, one a set."""
    entries = [(step, i, rank) for step, sets in right.items() for i in range(len(sets)) for rank in range(COUNT)]
    step, number, rank = (np.array(column) for column in zip(*entries, strict=True))
    nll = np.array([0.1 if right[n][i] else 2.0 for n, i, _ in entries], np.float32)[:, None].repeat(LENGTH, axis=1)
    trajectory = {"step": step, "set": number, "rank": rank, "nll": nll, "exposures": step + 1}
    trajectory |= {"last_exposure_step": step, "parameters": np.array(50), "trainable": np.array(50)}
    trajectory |= {"weighted_step": np.array(list(right)), "weighted_loss": np.full(len(right), 0.5)}
    run = {"condition": name, "model": "decoder", "seed": seed}
    sets = SETS[: number.max() + 1]
    items, summary = evaluate([trajectory], sets, zipf_probabilities(COUNT, 1.0), 1, run)
    kind = {"family": "zipf", "arm": "transformer"}
    target = folder / "results/zipf/evaluations" / name / f"seed{seed}"
    target.mkdir(parents=True)
    tables = {"by_sequence": items, "summary": summary, "records": sequence_records(items, **kind)}
    for table, rows in (tables | {"runs": sequence_runs(trajectory, run, **kind)}).items():
        write_table(str(target / f"{table}.parquet"), rows, {})


def test_it_prints_steps_of_both_sets_in_pairs_and_exposures(tmp_path):
    for seed, late in enumerate((0, 10)):
        write_run(tmp_path, "medium", seed, {0: [0], 100: [0], 300 + late: [1], 1000: [1]})
        write_run(tmp_path, "resample", seed, {1000: [1, 0], 1100: [0, 1], 1500: [0, 1]})
    write_run(tmp_path, "capacity_8", 0, {0: [0], 1000: [1]})
    command = [sys.executable, str(ROOT / "docs/numbers/zipf.py"), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert "exposures until .9, ranks 0-4: median 306, 10 of 10 sequences get there" in lines
    assert "resample: set 1 from step 1000 to 1500" in lines
    assert "new set, end: 1.000 [1.000, 1.000] (1.000 1.000)" in lines
    # 100 steps, the first that are recorded, against 100 · 3^.75 and 100 · 3.1^.75, three quarters of the way in logs
    assert "steps to .75: 100 [100, 100] (100 100) less the first set's: -131 [-167, -95] (-128 -134)" in lines
    assert any(line.startswith("suffix bits memorized: ") for line in lines)
    empty = subprocess.run([*command[:2], str(tmp_path / "none")], capture_output=True, text=True, env=environment)
    assert empty.returncode == 1
    assert empty.stderr.strip() == f"{tmp_path}/none/results/zipf/evaluations: no run"
