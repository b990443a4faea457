"""Several real processes on a machine with pretended GPUs: a stand-in for nvidia-smi lists them."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from memorization.provenance import ROOT
from memorization.training.slots import DeviceError, held, lock_folder, take_slots

TAKE = """
import json, os, sys, time
from memorization.training.slots import take_slots
gpus, share = map(int, sys.argv[1:3])
taken = take_slots(gpus, share, poll_seconds=0.02)
begin = time.time()
print("took", json.dumps([taken, os.environ.get("CUDA_VISIBLE_DEVICES")]), flush=True)
time.sleep(float(sys.argv[3]))
print("torch" in sys.modules, begin, time.time(), flush=True)
os._exit(0)  # no clean-up: the kernel gives the slot back
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with the GPUs A and B and nothing that names them; ``machine(1, 1, 0.5)`` starts a process there."""
    smi = tmp_path / "bin/nvidia-smi"
    smi.parent.mkdir()
    smi.write_text("#!/bin/sh\nprintf 'GPU-A\\nGPU-B\\n'\n")
    smi.chmod(0o755)
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "SLURM_JOB_GPUS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(smi.parent))  # no nvidia-smi but this one
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # read TMPDIR again
    started = []

    def start(gpus=1, share=1, seconds=0.3, **environment):
        command = [sys.executable, "-c", TAKE, *map(str, (gpus, share, seconds))]
        process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ended(process):
    """What a process waited for, what it took, and from when to when it held it."""
    *waited, took, times = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 0
    without_torch, begin, end = times.split()
    assert without_torch == "False"
    taken, visible = json.loads(took.removeprefix("took "))
    return [line for line in waited if line.startswith("waiting")], taken, visible, float(begin), float(end)


@pytest.mark.parametrize("share", [1, 2])
def test_many_jobs_never_hold_one_slot_at_a_time_and_use_all_of_them(machine, share):
    processes = [machine(share=share) for _ in range(7)]
    results = [ended(process) for process in processes]
    assert all([visible] == taken for _, taken, visible, *_ in results)
    assert {taken[0] for _, taken, *_ in results} == {"GPU-A", "GPU-B"}
    most = 0
    for device in ("GPU-A", "GPU-B"):
        held = [(begin, end) for _, taken, _, begin, end in results if taken == [device]]
        at_once = [sum(begin <= moment < end for begin, end in held) for moment, _ in held]
        assert max(at_once) <= share
        most = max(most, *at_once)
    assert most == share
    assert any(line for waited, *_ in results for line in waited)


def test_a_killed_process_frees_its_slot(machine):
    holders = [machine(seconds=600), machine(seconds=600)]
    lines = [[holder.stdout.readline() for _ in range(2)][1] for holder in holders]
    taken = [json.loads(line.removeprefix("took "))[0] for line in lines]
    assert sorted(taken) == [["GPU-A"], ["GPU-B"]]
    waiting = machine(seconds=0)
    assert waiting.stdout.readline().startswith("waiting for 1 of 2 GPUs, 1 slots each: locks in ")
    time.sleep(0.2)
    assert waiting.poll() is None
    holders[0].kill()
    assert ended(waiting)[1] == taken[0]


HAND_ON = """
import subprocess, sys
from memorization.training.slots import held, take_slots
take_slots()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], pass_fds=held(), stdout=sys.stderr)
print(child.pid)
"""


def test_a_slot_is_held_as_long_as_a_process_that_computes_there(machine):
    holder = machine(seconds=600)
    assert "took" in [holder.stdout.readline() for _ in range(2)][1]
    gone = subprocess.run([sys.executable, "-c", HAND_ON], stdout=subprocess.PIPE, text=True, check=True)
    child = int(gone.stdout.splitlines()[-1])
    try:
        waiting = machine(seconds=0)
        assert waiting.stdout.readline().startswith("waiting for 1 of 2 GPUs")
        time.sleep(0.2)
        assert waiting.poll() is None
    finally:
        os.kill(child, signal.SIGKILL)
    assert ended(waiting)[1] == ["GPU-B"]


def test_several_gpus_are_taken_at_once_or_not_at_all(machine):
    results = [ended(process) for process in [machine(gpus=2), machine(gpus=1), machine(gpus=2)]]
    assert [sorted(taken) for _, taken, *_ in results] == [["GPU-A", "GPU-B"], results[1][1], ["GPU-A", "GPU-B"]]
    (*_, begin, end), (*_, other_begin, other_end) = results[0], results[2]
    assert end <= other_begin or other_end <= begin


@pytest.mark.parametrize(
    "environment",
    [{"CUDA_VISIBLE_DEVICES": "0,1"}, {"CUDA_VISIBLE_DEVICES": ""}, {"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "3"}],
)
def test_gpus_that_were_given_are_left_alone(machine, environment, tmp_path):
    _, taken, visible, *_ = ended(machine(seconds=0, **environment))
    assert taken == []
    assert visible == environment.get("CUDA_VISIBLE_DEVICES")
    assert not list(tmp_path.glob("memorization-gpus-*"))


def test_a_slurm_job_whose_gpus_nobody_named_takes_a_slot(machine):
    assert ended(machine(seconds=0, SLURM_JOB_ID="7"))[1] == ["GPU-A"]


def test_more_gpus_than_there_are_are_refused(machine):
    with pytest.raises(DeviceError, match="gpus: 3, but this machine has 2; allowed are 1 to 2"):
        take_slots(3)
    assert held() == []


def test_a_machine_without_gpus_has_no_slots(machine, tmp_path):
    (tmp_path / "bin/nvidia-smi").write_text("#!/bin/sh\necho No devices were found\nexit 6\n")
    assert take_slots() == []
    (tmp_path / "bin/nvidia-smi").unlink()
    assert take_slots() == []
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_locks_in_a_folder_that_another_could_have_made_are_refused(machine, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"memorization-gpus-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DeviceError, match="not a folder of this user"):
        lock_folder()
