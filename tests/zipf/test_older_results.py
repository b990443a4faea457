import os
import pickle
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from memorization.__main__ import main
from memorization.data.sequences import sample_sequences, zipf_probabilities
from memorization.files import read_made_by, read_table, write_arrays, write_table
from memorization.random_sequences.measures import evaluate, sequence_records
from memorization.records import RECORD

COUNT, LENGTH = 40, 12


def older(folder, name="run", args=None, **change):
    """A run as the older scripts wrote it: every tenth sequence evaluated, numbered 0 to 3, the rest zeros."""
    rng = np.random.default_rng(0)
    sets = [torch.from_numpy(rng.integers(0, 2, (COUNT, LENGTH))) for _ in range(2)]
    logs = []
    for epoch in range(4):
        padded = {key: np.zeros(COUNT) for key in ("logsoftmaxloss", "accuracy")} | {
            "sequence_rank": np.zeros(COUNT, int)
        }
        for i in range(4):
            padded["sequence_rank"][i], padded["logsoftmaxloss"][i] = i, 0.5 + i / 10 + epoch
            padded["accuracy"][i] = 0.6 + i / 10
        appearances = [rng.integers(0, COUNT, 8) for _ in range(5)]
        logs.append(
            {"epoch": epoch, "num_apppearances": np.arange(COUNT) * 1.0 * epoch, "appearances": appearances}
            | {"test_metrics": padded | {"length": 50}, "train_loss": 0.3, "lr": 1e-3}
        )
    args = {"K": COUNT, "seed": 7, "sequence_sampling_distribution": "zipf"} if args is None else args
    record = {"args": args, "logs": logs, "model": {"weight": torch.ones(2)}}
    stored = {"sequences": sets, "switch_start_iter": [[0] * COUNT, [2] * COUNT]}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.pkl").write_bytes(pickle.dumps(change.get("record", record)))
    (folder / f"{name}_sequences.pkl").write_bytes(pickle.dumps(stored | change.get("stored", {})))


def test_older_results_are_read_with_true_ranks_steps_and_sets(tmp_path, capsys):
    older(tmp_path / "old", "one")
    older(tmp_path / "old/below/deeper", "two", args={"seed": None, "sequence_sampling_distribution": "uniform"})
    assert main(["import-results", str(tmp_path / "old"), "--to", str(tmp_path / "new")]) == 0
    assert "2 runs, 32 rows" in capsys.readouterr().out
    table = read_table(str(tmp_path / "new/zipf_by_sequence.parquet"))
    one = table[table["condition"] == "one"]
    assert set(table["condition"]) == {"one", "below/deeper/two"}
    assert set(one["seed"]) == {7}
    assert one["rank"].tolist() == [0, 10, 20, 30] * 4
    assert one["step"].tolist() == np.repeat([0, 5, 10, 15], 4).tolist()
    assert one["set"].tolist() == [0] * 8 + [1] * 8
    assert one["phase"].tolist() == ["train"] * 8 + ["after_switch"] * 8
    assert one["exposures"].tolist() == [rank * epoch for epoch in range(4) for rank in (0, 10, 20, 30)]
    assert one["loss"].tolist() == pytest.approx([0.5 + i / 10 + epoch for epoch in range(4) for i in range(4)])
    assert one["suffix_loss"].isna().all()
    assert (one["last_exposure_step"] == -1).all()
    assert one["switch_start_step"].tolist() == [0] * 8 + [10] * 8
    uniform = table[table["condition"] == "below/deeper/two"]
    sets = [each.numpy() for each in pickle.loads((tmp_path / "old/one_sequences.pkl").read_bytes())["sequences"]]
    for rows, exponent in ((one, 1.0), (uniform, 0.0)):  # the first bit, which is not predicted, is in neither
        p = zipf_probabilities(COUNT, exponent)
        of_first_bit = np.array([[p[bits[:, 0] == bit].sum() for bit in bits[:, 0]] for bits in sets])
        floor = (np.log(of_first_bit) - np.log(p)) / (LENGTH - 1)
        assert rows["floor"].tolist() == pytest.approx(floor[rows["set"], rows["rank"]].tolist())
        assert set(rows["length"]) == {LENGTH - 1}
        assert (rows["ceiling"] * (LENGTH - 1) % 0.5).tolist() == pytest.approx([0] * 16)
    records = read_table(str(tmp_path / "new/zipf_records.parquet"))
    assert list(records) == list(RECORD)
    assert set(records["n_tokens"]) == set(records["prior_bits"]) == {LENGTH - 1}
    assert records["nll_bits"].tolist() == pytest.approx((table["loss"] * (LENGTH - 1) / np.log(2)).tolist())
    assert records["recall"].tolist() == pytest.approx(table["accuracy"].tolist())
    assert read_made_by(tmp_path / "new/zipf_records.parquet")["command"] == "import-results"


def run_with_a_switch(results, exponent=1.0):
    rng = np.random.default_rng(1)
    sets = np.stack([sample_sequences(COUNT, LENGTH, rng) for _ in range(2)])
    p = zipf_probabilities(COUNT, exponent)
    entries = [(step, number, rank) for step in (30, 33, 50) for number in (0, 1) for rank in range(COUNT)]
    step, number, rank = (np.array(column) for column in zip(*entries, strict=True))
    counts = {"exposures": step * 3 + rank, "last_exposure_step": step - rank % 3}
    nll = rng.exponential(0.6, (len(step), LENGTH)).astype(np.float32)
    weighted = {"weighted_step": np.array([30, 33, 50]), "weighted_loss": np.zeros(3)}
    trajectory = {"step": step, "set": number, "rank": rank, "nll": nll} | counts | weighted
    run = {"condition": "resample", "model": "decoder", "seed": 2}
    table, _ = evaluate([trajectory], sets, p, 1, run)
    files = {}
    for i, sequences in enumerate(sets):
        path = f"results/zipf/sequences/small/seed2{'_resample1' if i else ''}.npz"
        (results.parent / path).parent.mkdir(parents=True, exist_ok=True)
        write_arrays(str(results.parent / path), {"sequences": sequences, "probabilities": p}, {})
        files[path] = {"params": {"dataset": {"exponent": exponent}} if not i else {}}
    path = results / "zipf/evaluations/resample/seed2/by_sequence.parquet"
    path.parent.mkdir(parents=True)
    write_table(str(path), table, {"made_from": files})
    return table


@pytest.mark.parametrize("exponent", [0, 1.0, 1.5])
def test_what_is_exported_is_imported_alike(tmp_path, exponent):
    table = run_with_a_switch(tmp_path / "results", exponent)
    command = ["export-results", "resample/seed2", str(tmp_path / "old"), "--results", str(tmp_path / "results")]
    assert main(command) == 0
    stored = pickle.loads((tmp_path / "old/resample_seed2_sequences.pkl").read_bytes())
    assert [each.shape for each in stored["sequences"]] == [(COUNT, LENGTH)] * 2
    assert stored["switch_start_iter"] == [0, 30]
    assert main(["import-results", str(tmp_path / "old"), "--to", str(tmp_path / "new")]) == 0
    again = read_table(str(tmp_path / "new/zipf_by_sequence.parquet"))
    pd.testing.assert_frame_equal(again, table)
    records = read_table(str(tmp_path / "new/zipf_records.parquet"))
    pd.testing.assert_frame_equal(records, sequence_records(table, "zipf", "transformer").reset_index(drop=True))


OTHERWISE = r"run.pkl, or its _sequences.pkl: not as the older scripts wrote it \(.+\)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"record": {"args": {}}}, "run.pkl: logs: missing"),
        (
            {"record": {"args": {}, "logs": [{"epoch": 0, "test_metrics": {}}]}},
            "run.pkl: logs: no entry has test_metrics",
        ),
        ({"record": [1]}, "run.pkl: args: missing"),
        ({"args": {"exponent": 400.0}}, "run.pkl: args: exponent: 400.0; allowed: a number"),
        ({"args": {"exponent": "1"}}, "run.pkl: args: exponent: 1; allowed: a number"),
        (
            {"stored": {"switch_start_iter": [3, 5]}},
            r"run_sequences.pkl: switch_start_iter: \[3, 5\]; allowed: a rising",
        ),
        (
            {"stored": {"sequences": [np.zeros(3)]}},
            r"run_sequences.pkl: sequences: \[\(3,\)\]; allowed: arrays \(K, N\)",
        ),
        ({"stored": {"sequences": [np.full((COUNT, LENGTH), 7)] * 2}}, "run_sequences.pkl: sequences: values other"),
        ({"stored": {"sequences": None}}, OTHERWISE),
        ({"stored": {"switch_start_iter": 0}}, OTHERWISE),
        ({"stored": {"switch_start_iter": [[]]}}, OTHERWISE),
        ({"record": {"args": None, "logs": []}}, OTHERWISE),
        ({"record": {"args": {}, "logs": None}}, OTHERWISE),
        ({"record": {"args": {}, "logs": [1]}}, OTHERWISE),
        ({"record": {"args": {}, "logs": [{"epoch": 0, "test_metrics": [1]}]}}, OTHERWISE),
        ({"args": {"seed": "abc"}}, OTHERWISE),
    ],
)
def test_a_pair_that_is_not_what_it_should_be_is_one_line_and_writes_nothing(tmp_path, capsys, change, message):
    older(tmp_path / "old", **change)
    assert main(["import-results", str(tmp_path / "old"), "--to", str(tmp_path / "new")]) == 1
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert re.search(message, printed), printed
    assert not (tmp_path / "new").exists()


class Hostile:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_a_hostile_pickle_is_not_run_by_the_command_line(tmp_path):
    older(tmp_path / "old")
    (tmp_path / "old/run.pkl").write_bytes(pickle.dumps({"args": {}, "logs": [Hostile(tmp_path / "mark")]}))
    command = [
        sys.executable,
        "-m",
        "memorization",
        "import-results",
        str(tmp_path / "old"),
        "--to",
        str(tmp_path / "new"),
    ]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": "src"}
    )
    assert result.returncode == 1
    assert "run.pkl: refers to posix.system; allowed: numpy arrays" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "mark").exists()
    assert not (tmp_path / "new").exists()


def test_folders_and_runs_that_are_not_there_are_named(tmp_path, capsys):
    assert main(["import-results", str(tmp_path / "none")]) == 1
    assert "none: no such folder" in capsys.readouterr().err
    assert main(["import-results", str(tmp_path)]) == 1
    assert "no <name>.pkl with a <name>_sequences.pkl beside it" in capsys.readouterr().err
    run_with_a_switch(tmp_path / "results")
    assert main(["export-results", "medium/seed0", str(tmp_path / "o"), "--results", str(tmp_path / "results")]) == 1
    assert "runs that are there: resample/seed2" in capsys.readouterr().err
