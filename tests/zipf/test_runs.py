"""Trainings in two processes, on a CPU by gloo, against the same in one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from memorization.training.loop import TrainingError
from memorization.zipf.runs import main, train_run
from processes import below, is_running, until

from memorization.data.sequences import Batches, following_set, sample_sequences, zipf_probabilities
from memorization.files import read_arrays, write_arrays
from memorization.provenance import generator
from memorization.training.checkpoints import read_tensors, write_tensors
from memorization.training.devices import set_up
from memorization.training.distributed import launch
from memorization.zipf.training import Transformer

CONDITION = {
    "architecture": "decoder", "n_layers": 1, "n_heads": 2, "d_model": 16, "positions": "learned", "init_std": 0.1,
    "learning_rate": 1e-3, "freeze": "none", "precision": "float32", "batch_size": 30, "dataset": "test",
}  # fmt: skip
COUNT, LENGTH = 20, 10


@pytest.fixture
def arguments(tmp_path):
    """``arguments(gpus, …)`` of ``train_run``, each training with a folder of its own."""
    set_up("cpu", threads=1)
    p = zipf_probabilities(COUNT, 1.0)
    sequences = sample_sequences(COUNT, LENGTH, generator("test", 0, "sequences"))
    write_arrays(tmp_path / "sequences.npz", {"sequences": sequences, "probabilities": p}, {})

    def given(gpus, folder="one", step=25, begin=(), every=3600, **change):
        (tmp_path / folder).mkdir(exist_ok=True)
        return {
            "condition": CONDITION | {"gpus": gpus} | change,
            "sequences": [str(tmp_path / "sequences.npz")],
            "begin": list(begin),
            "seed": 0,
            "step": step,
            "evaluation": {"checkpoints": 4, "head": 0, "train_stride": 1},
            "unfinished": str(tmp_path / folder / "x.a.unfinished"),
            "progress": {"report_seconds": 3600, "checkpoint_seconds": every},
            "device": "cpu",
        }

    return given


def largest_difference(one, other):
    assert one.keys() == other.keys()
    return max(np.abs(np.asarray(one[name], float) - np.asarray(other[name], float)).max() for name in one)


def test_two_processes_train_like_one(arguments, capfd):
    state, trajectory = train_run(**arguments(1))
    (alone,) = capfd.readouterr().out.splitlines()
    two_state, two_trajectory = train_run(**arguments(2, "two"))
    for each in (state, two_state):  # a key's bias moves no attention: its gradient is rounding, which Adam makes large
        name = "layers.0.attention.qkv.bias"
        index = list(dict(Transformer(CONDITION, LENGTH, 0, "cpu").model.named_parameters())).index(name)
        assert each[f"optimizer.{index}.exp_avg"][16:32].abs().max() < 1e-8
        each[f"model.{name}"][16:32] = 0
    assert 0 < largest_difference(two_state, state) <= 1e-6
    assert largest_difference(two_trajectory, trajectory) <= 1e-6
    report, going_on = [line for line in capfd.readouterr().out.splitlines() if "step 25" in line]
    assert report.split()[:4] == alone.split()[:4]  # of the whole batch, and printed once
    assert going_on.startswith("going on after step 25, from")


TRAINED = """
import json, sys
import numpy as np, torch
from memorization.data.sequences import Batches
from memorization.training.checkpoints import write_tensors
from memorization.training.distributed import destroy_process_group, init_process_group
from memorization.zipf.training import Transformer
given = json.loads(sys.argv[1])
torch.set_default_dtype(torch.float64)
first = init_process_group("cpu") == 0
learner = Transformer(given["condition"], len(given["sequences"][0]), 0, "cpu")
batches = Batches(np.array(given["probabilities"]), given["size"], "test", 0)
for n in range(1, 31):
    loss = learner.step(np.array(given["sequences"], np.uint8), batches.ranks(n))
if first:
    write_tensors(given["path"], learner.state() | {"loss": loss}, {})
destroy_process_group()
"""


@pytest.mark.parametrize(("count", "size", "freeze"), [(3, 2, "none"), (COUNT, 30, "all_but_mlp")])
def test_in_float64_they_agree_to_rounding_even_where_one_has_no_sequence(tmp_path, monkeypatch, count, size, freeze):
    (tmp_path / "trained.py").write_text(TRAINED)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    p, condition = zipf_probabilities(count, 1.0), CONDITION | {"freeze": freeze}
    sequences = sample_sequences(count, LENGTH, generator("test", 0, "sequences"))
    given = {"condition": condition, "probabilities": list(p), "sequences": sequences.tolist(), "size": size}
    launch("trained", given | {"path": str(tmp_path / "two")}, world_size=2)
    batches = Batches(p, size, "test", 0)
    assert (min(len(set(batches.ranks(n))) for n in range(1, 31)) == 1) == (count == 3)
    torch.set_default_dtype(torch.float64)
    try:
        learner = Transformer(condition, LENGTH, 0, "cpu")
        for n in range(1, 31):
            loss = learner.step(sequences, batches.ranks(n))
    finally:
        torch.set_default_dtype(torch.float32)
    two = read_tensors(tmp_path / "two")
    assert two["model.head.weight"].dtype == torch.float64
    assert largest_difference(two, learner.state() | {"loss": loss}) <= 1e-12


def test_a_switch_goes_on_in_two_processes(arguments, tmp_path):
    before, _ = train_run(**arguments(1, step=10))
    write_tensors(tmp_path / "before", before, {})
    first = read_arrays(arguments(1)["sequences"][0])
    second = following_set(first["sequences"][None], "resample", np.random.default_rng(1))
    write_arrays(tmp_path / "second.npz", {"sequences": second, "probabilities": first["probabilities"]}, {})
    change = {"step": 20, "begin": [str(tmp_path / "before")], "freeze": "attention_qkv"}
    one, other = (arguments(gpus, folder, **change) for gpus, folder in [(1, "switched"), (2, "two")])
    for given in (one, other):
        given["sequences"].append(str(tmp_path / "second.npz"))
    for ours, theirs in zip(train_run(**one), train_run(**other), strict=True):
        assert largest_difference(ours, theirs) <= 1e-6


JOB = """
import json, sys
from memorization.training.devices import set_up
from memorization.zipf import runs
set_up("cpu", threads=1)
launch = runs.launch
runs.launch = lambda module, *others: launch("stuck", *others)
runs.train_run(**json.loads(sys.argv[1]))
"""
STUCK = """
import json, os, sys, time
from pathlib import Path
from memorization.random_sequences import training
from memorization.zipf.runs import main
given = json.loads(sys.argv[1])

class Stuck(training.Training):
    def step(self, n):
        if n == 13:
            Path(given["unfinished"] + ".rank" + os.environ["RANK"]).touch()
            time.sleep(3600)
        return super().step(n)

training.Training = Stuck
main(given)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes outlive the job that started them")
def test_a_killed_job_takes_its_processes_along_and_ends_like_an_unbroken_one(arguments, tmp_path, monkeypatch, capfd):
    (tmp_path / "stuck.py").write_text(STUCK)  # at step 13, until it is killed
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    broken, unbroken = arguments(3, "broken", every=0), arguments(3, "unbroken")
    job = subprocess.Popen([sys.executable, "-c", JOB, json.dumps(broken)], stdout=subprocess.DEVNULL)
    until(lambda: Path(broken["unfinished"] + ".rank0").exists() or job.poll() is not None)
    started = below(job.pid)
    assert len(started) == 4  # torchrun and three processes: sums of two would not depend on their order
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    until(lambda: not any(map(is_running, started)))
    assert read_tensors(broken["unfinished"])["step"] == 12
    capfd.readouterr()
    state, trajectory = train_run(**broken | {"progress": unbroken["progress"]})
    assert "going on after step 12, from" in capfd.readouterr().out
    expected_state, expected = train_run(**unbroken)
    for name, tensor in state.items():
        assert torch.equal(tensor, expected_state[name]), name
    for name, rows in trajectory.items():
        np.testing.assert_array_equal(rows, expected[name])


def test_a_process_of_a_training_takes_no_slots_since_its_job_has_them(monkeypatch):
    done = []
    monkeypatch.setattr("memorization.training.devices.take_slots", lambda *gpus: done.append("take_slots"))
    for name in ("init_process_group", "train_here", "destroy_process_group"):
        monkeypatch.setattr(f"memorization.zipf.runs.{name}", lambda *given, name=name, **more: done.append(name))
    main({"device": "cuda", "progress": {}})
    assert done == ["init_process_group", "train_here", "destroy_process_group"]


def test_a_failure_in_a_process_is_one_of_the_job_and_is_in_its_log(arguments, capfd):
    given = arguments(2, learning_rate=1e30)
    with pytest.raises(TrainingError, match="one of 2 processes failed; above stands why"):
        train_run(**given)
    assert "TrainingError: step 25: " in capfd.readouterr().out
    assert not Path(given["unfinished"]).exists()
