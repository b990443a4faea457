"""One training in several processes, on a CPU by gloo: they are started, share out, fail, and are killed, together."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import below, is_running, until

from memorization.training.checkpoints import read_tensors
from memorization.training.distributed import launch, take_part, train_in
from memorization.training.fit import TrainingError

TOY = '''
import json, os, time
from pathlib import Path

import numpy as np
import torch

from memorization.training.checkpoints import Unfinished, restore, training_state, write_tensors
from memorization.training.distributed import all_reduce_sum, data_parallel, shard, world_size
from memorization.training.fit import Recorder, fit


def share_out(folder, device, progress, keep_last):
    """Say which part of ten rows is this process's, and what it was told; then one of two fails."""
    rows, names = shard(np.arange(10), list("abcdefghij"))
    told = {"rows": rows.tolist(), "names": names, "processes": world_size(), "keep_last": keep_last, **progress}
    told["total"] = all_reduce_sum(torch.tensor(float(rows.sum()))).item()
    Path(folder, os.environ["RANK"]).write_text(json.dumps(told))
    print("said by", os.environ["RANK"], flush=True)
    if os.environ["RANK"] == "1":
        raise RuntimeError("this one fails")


class Line:
    """A linear map that learns to sum by Adam, each process on its rows of a batch."""

    def __init__(self, unfinished, stuck_at):
        torch.manual_seed(0)
        self.model, self.unfinished, self.stuck_at = torch.nn.Linear(40, 1), unfinished, stuck_at
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.01)
        self.data_parallel = data_parallel(self.model)
        self.recorder = Recorder(weight=((40,), np.float32))

    def step(self, n):
        if n == self.stuck_at:  # until it is killed
            Path(self.unfinished + ".rank" + os.environ["RANK"]).touch()
            time.sleep(3600)
        (batch,) = shard(torch.randn(30, 40, generator=torch.Generator().manual_seed(n)))
        loss = (self.data_parallel(batch)[:, 0] - batch.sum(dim=1)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return all_reduce_sum(loss.detach()) / world_size()

    def state(self):
        return training_state(self.model, self.optimizer)

    def restore(self, state):
        restore(self.model, self.optimizer, state)

    def record(self, n):
        self.recorder.append(weight=self.model.weight[0].detach())


def train(folders, device, progress, keep_last=False, stuck_at=None):
    """One training in each folder, to step 25."""
    for folder in folders:
        unfinished = folder + "/x.a.unfinished"
        line = Line(unfinished, stuck_at)
        kept = Unfinished(unfinished, progress["checkpoint_seconds"])
        fit(line, line.record, line.recorder, 25, kept, progress["report_seconds"], keep_last=keep_last)
    return line.state() | line.recorder.state()
'''
PROGRESS = {"report_seconds": 3600, "checkpoint_seconds": 0}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The module ``toy``, found by this process and by those that it starts; the folder of what they write."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy.py").write_text(TOY)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
        import toy

        yield toy
    del sys.modules["toy"]


@pytest.fixture(scope="module")
def shared_out(toy, tmp_path_factory):
    """What two processes said of themselves, what they printed, and the error of the job."""
    folder = tmp_path_factory.mktemp("said")
    arguments = {"folder": str(folder), "device": "cpu", "progress": PROGRESS}
    printed = folder / "printed"
    with printed.open("w") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", file)
        with pytest.raises(TrainingError) as error:
            launch({"module": "toy", "function": "share_out", "arguments": arguments}, world_size=2)
    said = [json.loads((folder / rank).read_text()) for rank in "01"]
    return said, printed.read_text(), str(error.value)


def test_each_process_has_its_rows_and_sums_are_of_all(shared_out):
    (first, second), *_ = shared_out
    assert (first["rows"], second["rows"]) == ([0, 2, 4, 6, 8], [1, 3, 5, 7, 9])
    assert (first["names"], second["names"]) == (list("acegi"), list("bdfhj"))
    assert first["processes"] == second["processes"] == 2
    assert first["total"] == second["total"] == 45


def test_the_first_process_writes_and_prints_for_all(shared_out):
    (first, second), printed, _ = shared_out
    assert (first["keep_last"], second["keep_last"]) == (True, False)
    assert (first["checkpoint_seconds"], second["checkpoint_seconds"]) == (0, math.inf)
    assert printed.count("said by") == printed.count("said by 0") == 1


def test_a_failure_in_a_process_is_one_of_the_job_and_is_in_its_log(shared_out):
    _, printed, error = shared_out
    assert error == "one of 2 processes failed; above stands why"
    assert "RuntimeError: this one fails" in printed


JOB = """
import json, sys
import toy
from memorization.training.distributed import train_in
train_in(3, toy.train, **json.loads(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes outlive the job that started them")
def test_a_killed_job_takes_its_processes_along_and_ends_like_an_unbroken_one(toy, tmp_path, capfd):
    folders = [str(tmp_path / name) for name in ("unbroken", "broken")]
    unfinished = Path(folders[1], "x.a.unfinished")
    given = {"device": "cpu", "progress": PROGRESS, "folders": folders[1:]}
    job = subprocess.Popen([sys.executable, "-c", JOB, json.dumps(given | {"stuck_at": 13})], stdout=subprocess.DEVNULL)
    unfinished.parent.mkdir()
    until(lambda: Path(f"{unfinished}.rank0").exists() or job.poll() is not None)
    started = below(job.pid)
    assert len(started) == 4  # torchrun and three processes: sums of two would not depend on their order
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    until(lambda: not any(map(is_running, started)))
    assert read_tensors(unfinished)["step"] == 12
    capfd.readouterr()
    state = train_in(3, toy.train, **given | {"folders": folders})
    printed = capfd.readouterr().out
    assert [line for line in printed.splitlines() if "going on" in line] == [
        f"going on after step 12, from {unfinished}",
        *(f"going on after step 25, from {folder}/x.a.unfinished" for folder in folders),
    ]
    unbroken = read_tensors(f"{folders[0]}/x.a.unfinished")
    for name, tensor in state.items():
        assert torch.equal(tensor, unbroken[name]), name
    assert state["recorded.weight"].shape == (26, 40)


def test_one_process_trains_here(toy, tmp_path, monkeypatch):
    monkeypatch.setattr("memorization.training.distributed.launch", None)
    state = train_in(1, toy.train, folders=[str(tmp_path)], device="cpu", progress=PROGRESS)
    weights = state["recorded.weight"].numpy()
    assert len(weights) == 26
    assert np.abs(weights[-1] - 1).mean() < np.abs(weights[0] - 1).mean()
    assert state["model.weight"][0].tolist() == weights[-1].tolist()


def test_a_process_of_a_training_takes_no_slots_since_its_job_has_them(monkeypatch):
    done = []
    monkeypatch.setattr("memorization.training.devices.take_slots", lambda *gpus: done.append("take_slots"))
    for name in ("init_process_group", "destroy_process_group"):
        part = f"memorization.training.distributed.{name}"
        monkeypatch.setattr(part, lambda *given, name=name: done.append(name) or 0)
    monkeypatch.setattr("memorization.training.fit.fit", lambda **given: done.append("train"))
    arguments = {"device": "cuda", "progress": {}}
    take_part({"module": "memorization.training.fit", "function": "fit", "arguments": arguments})
    assert done == ["init_process_group", "train", "destroy_process_group"]
