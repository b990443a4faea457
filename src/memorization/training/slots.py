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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_held: list[IO] = []  # open as long as the process lives


class DeviceError(RuntimeError):
    """A device that was asked for and is not there."""


def take_slots(gpus: int = 1, gpu_share: int = 1, poll_seconds: float = 0.5) -> list[str]:
    """Wait for slots on so many GPUs and let this process and those that it starts see no others.

    Held until the process ends. Shared out are the GPUs that ``CUDA_VISIBLE_DEVICES`` names, or all where it is not
    set. Does nothing where Slurm gave the GPUs, since it keeps jobs apart, where ``nvidia-smi`` lists none, and where
    this process has slots already.

    Parameters
    ----------
    gpus : how many, each another device
    gpu_share : slots a device; jobs that share devices agree on it
    poll_seconds : between two looks for a free slot

    Returns
    -------
    The GPUs as ``CUDA_VISIBLE_DEVICES`` names them now; none where nothing was done.

    Raises
    ------
    DeviceError
        If there are fewer GPUs, or one that was named is not there, or the folder of the locks is another user's.
    """
    if _held or slurm_gave_gpus():
        return []
    devices = visible_gpus(list_gpus())
    if not devices:
        return []
    if gpus > len(devices):
        where = "CUDA_VISIBLE_DEVICES names" if "CUDA_VISIBLE_DEVICES" in os.environ else "this machine has"
        raise DeviceError(f"gpus: {gpus}, but {where} {len(devices)}; allowed are 1 to {len(devices)}")
    folder, waiting = lock_folder(), False
    while not (slots := _lock_free(folder, list(devices), gpus, gpu_share)):
        if not waiting:
            print(f"waiting for {gpus} of {len(devices)} GPUs, {gpu_share} slots each: locks in {folder}", flush=True)
            waiting = True
        time.sleep(poll_seconds)
    _held.extend(slots.values())
    taken = [devices[lock] for lock in slots]
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
    print("slots taken:", *(Path(file.name).name for file in slots.values()), flush=True)
    return taken


def slurm_gave_gpus() -> bool | None:
    """Whether Slurm gave this job GPUs; None outside of a job of Slurm's."""
    if "SLURM_JOB_ID" not in os.environ:
        return None
    return not {"CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS"}.isdisjoint(os.environ)


def visible_gpus(listed: list[str]) -> dict[str, str]:
    """The GPUs to share out, by the names of their locks: all, or those that ``CUDA_VISIBLE_DEVICES`` names.

    A lock has the GPU's UUID. Which GPU an index means is up to CUDA, unless there is but one or ``CUDA_DEVICE_ORDER``
    is ``PCI_BUS_ID``, the order of ``listed`` UUIDs; else the index itself names the lock.

    Raises
    ------
    DeviceError
        If a name is neither an index nor a whole UUID of these.
    """
    locks = {uuid: uuid for uuid in listed}
    if "CUDA_VISIBLE_DEVICES" not in os.environ:
        return locks
    names = [name.strip() for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",")]
    if not listed or names in ([""], ["-1"]):  # nothing to hide, or all hidden
        return {}
    known_order = os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len(listed) == 1
    locks |= {str(index): uuid if known_order else str(index) for index, uuid in enumerate(listed)}
    for name in names:
        if name not in locks:
            allowed = f"indices from 0 to {len(listed) - 1} and whole UUIDs, as nvidia-smi -L lists them"
            raise DeviceError(f"CUDA_VISIBLE_DEVICES: {name!r} is no GPU here; allowed are {allowed}")
    return {locks[name]: name for name in names}


def held() -> list[int]:
    """File descriptors of the locks, for a child that shall hold them too: a lock is free once both are gone."""
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
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        raise DeviceError(f"{folder}: not a folder of this user; GPU slots are locked there")
    return folder


def _lock_free(folder: Path, devices: list[str], count: int, gpu_share: int) -> dict[str, IO]:
    """Locked files by device, of ``count`` devices, or none; every device's first slot before any's second."""
    slots: dict[str, IO] = {}
    with _alone(folder / "choosing"):  # two jobs that each hold half of what they want would wait for ever
        for number in range(1, gpu_share + 1):
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
