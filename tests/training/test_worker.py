"""Processes that torchrun starts: none outlives it, nor begins without it."""

import os
import signal
import subprocess
import sys

import pytest
from processes import below, is_running, until

MODULE = """
import os, time
from pathlib import Path

def train(folder, device, progress, keep_last):
    Path(folder, str(os.getpid())).touch()
    time.sleep(3600)
"""


@pytest.fixture
def started(tmp_path, monkeypatch):
    """The folder in which processes that run ``toy.train`` leave a file by their id."""
    (tmp_path / "started").mkdir()
    (tmp_path / "toy.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    return tmp_path / "started"


def test_it_does_nothing_where_torchrun_is_gone(monkeypatch):
    monkeypatch.setenv("MEMORIZATION_TORCHRUN", str(os.getppid()))  # not this process, which starts it
    command = [sys.executable, "-m", "memorization.training.worker", "no task: it would fail over that"]
    result = subprocess.run(command, capture_output=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (1, b"", b"")


JOB = """
import sys
from memorization.training.distributed import launch
arguments = {"folder": sys.argv[1], "device": "cpu", "progress": {}}
launch({"module": "toy", "function": "train", "arguments": arguments}, world_size=2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes outlive the job that started them")
def test_processes_end_where_job_and_torchrun_are_killed_at_once(started):
    job = subprocess.Popen([sys.executable, "-c", JOB, str(started)], stdout=subprocess.DEVNULL)
    until(lambda: len(list(started.iterdir())) == 2 or job.poll() is not None)
    torchrun, *others = below(job.pid)
    assert {int(path.name) for path in started.iterdir()} <= set(others)
    os.kill(torchrun, signal.SIGSTOP)  # so that it stops nobody
    job.kill()
    os.kill(torchrun, signal.SIGKILL)
    job.wait()
    until(lambda: not any(map(is_running, [torchrun, *others])))
