"""GPUs of one machine, shared out to its jobs: a slot is a share of a GPU, held by a lock on a file.

The kernel releases the lock when the process that holds it dies, however it dies. Knows nothing of torch: a slot is
taken before torch looks for GPUs, which it does once.
"""

import fcntl
import os
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_held: list[IO] = []  # open as long as the process lives


class DeviceError(RuntimeError):
    """A device that was asked for and is not there."""


def take_slots(gpus: int = 1, gpu_share: int = 1, poll_seconds: float = 0.5) -> list[str]:
    """Wait for slots on so many GPUs and let this process and those that it starts see no others.

    Held until the process ends. Does nothing where ``CUDA_VISIBLE_DEVICES`` is set or Slurm gave the GPUs: who chose
    them keeps jobs apart. GPUs are listed by ``nvidia-smi``; where it lists none there is nothing to share out.

    Parameters
    ----------
    gpus : how many, each another device
    gpu_share : slots a device; jobs that share devices agree on it
    poll_seconds : between two looks for a free slot

    Returns
    -------
    The UUIDs of the GPUs, as ``CUDA_VISIBLE_DEVICES`` names them now; none where nothing was done.

    Raises
    ------
    DeviceError
        If the machine has fewer GPUs, or the folder of the locks is another user's.
    """
    if "CUDA_VISIBLE_DEVICES" in os.environ or {"SLURM_JOB_ID", "SLURM_JOB_GPUS"} <= os.environ.keys():
        return []
    devices = list_gpus()
    if not devices:
        return []
    if gpus > len(devices):
        raise DeviceError(f"gpus: {gpus}, but this machine has {len(devices)}; allowed are 1 to {len(devices)}")
    folder, waiting = lock_folder(), False
    while not (slots := _lock_free(folder, devices, gpus, gpu_share)):
        if not waiting:
            print(f"waiting for {gpus} of {len(devices)} GPUs, {gpu_share} slots each: locks in {folder}", flush=True)
            waiting = True
        time.sleep(poll_seconds)
    _held.extend(slots.values())
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(slots)
    print("slots taken:", *(Path(file.name).name for file in slots.values()), flush=True)
    return list(slots)


def held() -> list[int]:
    """File descriptors of the locks, for a child that shall hold them too: they are free once both are gone."""
    return [file.fileno() for file in _held]


def list_gpus() -> list[str]:
    """The UUIDs of all GPUs of this machine: unlike their numbers, the same to nvidia-smi and to CUDA."""
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout
    except FileNotFoundError:
        return []
    return [line.strip() for line in listed.splitlines() if line.startswith("GPU-")]


def lock_folder() -> Path:
    """This user's folder of locks, made if need be.

    Raises
    ------
    DeviceError
        If somebody else made it: whoever may write there could hold every slot.
    """
    folder = Path(tempfile.gettempdir()) / f"memorization-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        raise DeviceError(f"{folder}: not a folder of this user; GPU slots are locked there")
    return folder


def _lock_free(folder: Path, devices: list[str], count: int, share: int) -> dict[str, IO]:
    """Locked files by device, of ``count`` devices, or none; every device's first slot before any's second."""
    slots: dict[str, IO] = {}
    with _alone(folder / "choosing"):  # two jobs that each hold half of what they want would wait for ever
        for number in range(1, share + 1):
            for device in devices:
                if len(slots) < count and device not in slots:
                    file = (folder / f"{device}.{number}").open("a")
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        slots[device] = file
                    except BlockingIOError:
                        file.close()
        if len(slots) < count:
            for file in slots.values():
                file.close()
            slots = {}
    return slots


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
