"""Processes that torchrun starts: none outlives it, nor begins without it."""

import json
import os
import signal
import subprocess
import sys

import pytest
from processes import below, is_running, until

MODULE = """
import json, os, sys, time
from pathlib import Path
given = json.loads(sys.argv[1])
Path(given["folder"], str(os.getpid())).write_text(f"{__name__} of {len(sys.argv)}")
time.sleep(given["seconds"])
"""


@pytest.fixture
def told(tmp_path, monkeypatch):
    """The folder in which processes of the module ``tells`` tell that they are there."""
    (tmp_path / "told").mkdir()
    (tmp_path / "tells.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    return tmp_path / "told"


def run_worker(torchrun, folder):
    arguments = json.dumps({"folder": str(folder), "seconds": 0})
    command = [sys.executable, "-m", "memorization.training.worker", "tells", arguments]
    return subprocess.run(command, env=os.environ | {"MEMORIZATION_TORCHRUN": str(torchrun)}, check=False).returncode


def test_a_module_is_run_as_if_by_itself(told):
    assert run_worker(os.getpid(), told) == 0
    assert [path.read_text() for path in told.iterdir()] == ["__main__ of 2"]


def test_it_is_not_run_where_torchrun_is_gone(told):
    assert run_worker(os.getppid(), told) == 1
    assert not list(told.iterdir())


JOB = """
import sys
from memorization.training.distributed import launch
launch("tells", {"folder": sys.argv[1], "seconds": 3600}, world_size=2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes outlive the job that started them")
def test_processes_end_where_job_and_torchrun_are_killed_at_once(told):
    job = subprocess.Popen([sys.executable, "-c", JOB, str(told)], stdout=subprocess.DEVNULL)
    until(lambda: len(list(told.iterdir())) == 2 or job.poll() is not None)
    torchrun, *others = below(job.pid)
    assert {int(path.name) for path in told.iterdir()} <= set(others)
    os.kill(torchrun, signal.SIGSTOP)  # so that it stops nobody
    job.kill()
    os.kill(torchrun, signal.SIGKILL)
    job.wait()
    until(lambda: not any(map(is_running, [torchrun, *others])))
