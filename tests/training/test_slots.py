"""Several real processes on a machine with pretended GPUs: a stand-in for nvidia-smi lists them."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from processes import until

from memorization.provenance import ROOT
from memorization.training.slots import DeviceError, held, lock_folder, take_slots, visible_gpus

TAKE = """
import json, os, sys, time
from memorization.training.slots import take_slots
gpus, share = map(int, sys.argv[1:3])
taken = take_slots(gpus, share, poll_seconds=0.02)
assert "torch" not in sys.modules
print("took", json.dumps([taken, os.environ.get("CUDA_VISIBLE_DEVICES")]), flush=True)
sys.stdin.read()
os._exit(0)  # no clean-up: the kernel gives the slot back
"""


class Process:
    """A process that takes slots and holds them until it is let go."""

    def __init__(self, path, gpus, share, environment):
        self.path = path
        command = [sys.executable, "-c", TAKE, str(gpus), str(share)]
        with path.open("w") as out:
            self.process = subprocess.Popen(command, env=os.environ | environment, stdin=subprocess.PIPE, stdout=out)

    def printed(self, word):
        """The rest of the line that it began with that word; None so far."""
        lines = [line for line in self.path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return next((line.removeprefix(word).strip() for line in lines if line.startswith(word)), None)

    def waits(self):
        return self.printed("waiting") is not None and self.printed("took") is None

    def took(self):
        """What it took and what it lets CUDA see, once it has."""
        until(lambda: self.printed("took") or self.process.poll() is not None)
        return json.loads(self.printed("took"))

    def let_go(self):
        self.process.stdin.close()
        assert self.process.wait(60) == 0


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with the GPUs A and B and nothing that names them; ``machine(1, 1)`` starts a process there."""
    smi = tmp_path / "bin/nvidia-smi"
    smi.parent.mkdir()
    smi.write_text("#!/bin/sh\nprintf 'GPU-A\\nGPU-B\\n'\n")
    smi.chmod(0o755)
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "SLURM_JOB_ID", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(smi.parent))  # no nvidia-smi but this one
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # read TMPDIR again
    started = []

    def start(gpus=1, share=1, **environment):
        started.append(Process(tmp_path / f"{len(started)}.out", gpus, share, environment))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()


@pytest.mark.parametrize("share", [1, 2])
def test_many_jobs_never_hold_one_slot_at_a_time_and_use_all_of_them(machine, share):
    left = [machine(share=share) for _ in range(7)]
    while left:
        until(lambda: all(each.printed("took") or each.printed("waiting") for each in left))
        until(lambda: sum(each.printed("took") is not None for each in left) >= min(len(left), 2 * share))
        holders = [each for each in left if each.printed("took")]
        assert len(holders) == min(len(left), 2 * share)
        taken = [each.took() for each in holders]
        assert all(visible == devices[0] for devices, visible in taken)
        if len(left) >= 2 * share:
            assert sorted(visible for _, visible in taken) == sorted(["GPU-A", "GPU-B"] * share)
        holders[0].let_go()
        left.remove(holders[0])


def test_a_killed_process_frees_its_slot(machine):
    holders = [machine(), machine()]
    taken = [holder.took()[0] for holder in holders]
    assert sorted(taken) == [["GPU-A"], ["GPU-B"]]
    waiting = machine()
    until(waiting.waits)
    assert waiting.printed("waiting").startswith("for 1 of 2 GPUs, 1 slots each: locks in ")
    holders[0].process.kill()
    assert waiting.took()[0] == taken[0]


HAND_ON = """
import subprocess, sys
from memorization.training.slots import held, take_slots
take_slots()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], pass_fds=held(), stdout=sys.stderr)
print(child.pid)
"""


def test_a_slot_is_held_as_long_as_a_process_that_computes_there(machine):
    assert machine().took()[0] == ["GPU-A"]
    gone = subprocess.run([sys.executable, "-c", HAND_ON], stdout=subprocess.PIPE, text=True, check=True)
    child = int(gone.stdout.splitlines()[-1])
    try:
        waiting = machine()
        until(waiting.waits)
        time.sleep(0.2)
        assert waiting.waits()
    finally:
        os.kill(child, signal.SIGKILL)
    assert waiting.took()[0] == ["GPU-B"]


def test_several_gpus_are_taken_at_once_or_not_at_all(machine):
    one = machine()
    assert one.took()[0] == ["GPU-A"]
    both = [machine(gpus=2), machine(gpus=2)]
    until(lambda: all(each.waits() for each in both))
    other = machine()
    assert other.took()[0] == ["GPU-B"]  # which those that wait for two do not hold
    one.let_go()
    other.let_go()
    until(lambda: any(each.printed("took") for each in both))
    both.sort(key=Process.waits)
    assert both[0].took() == [["GPU-A", "GPU-B"], "GPU-A,GPU-B"]
    assert both[1].waits()
    both[0].let_go()
    assert both[1].took()[0] == ["GPU-A", "GPU-B"]


@pytest.mark.parametrize("named", ["1,0", "GPU-B,GPU-A"])
def test_gpus_that_the_user_named_are_shared_out_by_these_names(machine, named):
    first, second = named.split(",")
    holders = [machine(CUDA_VISIBLE_DEVICES=named) for _ in range(2)]
    taken = [holder.took() for holder in holders]
    assert sorted(taken) == sorted([[[first], first], [[second], second]])
    waiting = machine(CUDA_VISIBLE_DEVICES=named)
    until(waiting.waits)
    holders[1].let_go()
    assert waiting.took() == taken[1]


def test_a_run_that_names_a_gpu_and_one_that_names_none_share_its_lock(machine):
    assert machine(CUDA_VISIBLE_DEVICES="GPU-B").took()[1] == "GPU-B"
    assert machine().took()[0] == ["GPU-A"]
    waiting = machine()
    until(waiting.waits)


@pytest.mark.parametrize(
    ("named", "order", "listed", "locks"),
    [
        ("0, 1", "PCI_BUS_ID", ["GPU-A", "GPU-B"], {"GPU-A": "0", "GPU-B": "1"}),
        ("0,GPU-B", "FASTEST_FIRST", ["GPU-A", "GPU-B"], {"0": "0", "GPU-B": "GPU-B"}),
        ("0", "FASTEST_FIRST", ["GPU-A"], {"GPU-A": "0"}),
        ("0", "PCI_BUS_ID", [], {}),
    ],
)
def test_an_index_locks_by_the_uuid_where_its_gpu_is_known(monkeypatch, named, order, listed, locks):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", order)
    assert visible_gpus(listed) == locks


@pytest.mark.parametrize("name", ["2", "-1", "01", "", "GPU-1", "GPU-12f0", "MIG-GPU-12f/1/0", "all"])
def test_what_is_neither_an_index_nor_a_whole_uuid_is_refused(monkeypatch, name):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"0,{name}")
    with pytest.raises(
        DeviceError, match=f"S: '{name}' is no GPU here; allowed are indices from 0 to 1 and whole UUIDs"
    ):
        visible_gpus(["GPU-12f", "GPU-34a"])


@pytest.mark.parametrize(
    "environment",
    [
        {"CUDA_VISIBLE_DEVICES": ""},
        {"CUDA_VISIBLE_DEVICES": "-1"},
        {"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "3"},
        {"SLURM_JOB_ID": "7", "SLURM_STEP_GPUS": "3"},
        {"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "0,1"},
    ],
)
def test_gpus_that_slurm_gave_or_the_user_hid_are_left_alone(machine, environment, tmp_path):
    assert machine(**environment).took() == [[], environment.get("CUDA_VISIBLE_DEVICES")]
    assert not list(tmp_path.glob("memorization-gpus-*"))


def test_a_process_takes_slots_once(machine):
    twice = "from memorization.training.slots import take_slots; print(take_slots(), take_slots())"
    done = subprocess.run([sys.executable, "-c", twice], stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["slots taken: GPU-A.1", "['GPU-A'] []"]


def test_a_slurm_job_that_insists_on_a_gpu_takes_a_slot(machine):
    """``devices.set_up`` asks for none here where the device is ``auto``."""
    assert machine(SLURM_JOB_ID="7").took()[0] == ["GPU-A"]


def test_more_gpus_than_there_are_are_refused(machine, monkeypatch):
    with pytest.raises(DeviceError, match="gpus: 3, but this machine has 2; allowed are 1 to 2"):
        take_slots(3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(DeviceError, match="gpus: 2, but CUDA_VISIBLE_DEVICES names 1; allowed are 1 to 1"):
        take_slots(2)
    assert held() == []


def test_a_machine_without_gpus_has_no_slots(machine, tmp_path):
    (tmp_path / "bin/nvidia-smi").write_text("#!/bin/sh\necho No devices were found\nexit 6\n")
    assert take_slots() == []
    (tmp_path / "bin/nvidia-smi").unlink()
    assert take_slots() == []
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize("make", [lambda path: path.symlink_to(path.parent / "bin"), lambda path: path.touch()])
def test_locks_in_what_is_no_folder_of_this_user_are_refused(machine, tmp_path, make):
    make(tmp_path / f"memorization-gpus-{os.getuid()}")
    with pytest.raises(DeviceError, match="not a folder of this user"):
        lock_folder()
