"""How torch computes in a job: where, with how many threads, and the same each time."""

import os

import torch

from memorization.provenance import generator
from memorization.training.slots import DeviceError, slurm_gave_gpus, take_slots

PRECISIONS = ("float32", "bfloat16")


def set_up(device: str, threads: int, gpus: int = 1, gpu_share: int = 1) -> str:
    """Settle on a device, wait for a slot on it, and make torch compute the same bytes each time it runs there.

    Parameters
    ----------
    device : ``cpu``, ``cuda``, or ``auto`` for cuda where there is one, but not in a job of Slurm's that was given
        none: those of its node are others'
    threads : of the CPU
    gpus, gpu_share : how many GPUs it takes and how many jobs may share one, where it takes any (``slots.take_slots``)

    Returns
    -------
    ``cpu`` or ``cuda``.

    Raises
    ------
    DeviceError
        If ``cuda`` is asked for and not there, or fewer GPUs than ``gpus`` are.
    """
    if device == "auto" and slurm_gave_gpus() is False:
        device = "cpu"
    if device != "cpu":
        take_slots(gpus, gpu_share)  # before torch looks for GPUs
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("device: cuda, but torch sees no GPU here; allowed are auto, cpu, cuda")
    if device == "cuda" and torch.cuda.device_count() < gpus:
        raise DeviceError(f"gpus: {gpus}, but torch sees {torch.cuda.device_count()} here")
    compute_deterministically(threads)
    return device


def compute_deterministically(threads: int) -> None:
    """Make torch compute the same bytes each time it runs on one kind of device, on so many threads of the CPU.

    Float32 products stay float32 on a GPU (no TF32), kernels are deterministic, denormal
    numbers count as zero (Adam's second moments of rarely used weights fall that low and slow a CPU down).
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # finds reads of it while debugging, costs 3%
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False  # by default convolutions have it, products do not
    torch.set_flush_denormal(True)


def autocast(device: str, precision: str) -> torch.autocast:
    """Where a model runs in training.

    With ``bfloat16``, linear maps, their biases included, attention and the activation between two maps are computed
    in bfloat16; weights, the decoder's residual stream and norms, and losses stay float32. So it is on a CPU.

    Parameters
    ----------
    device : ``cpu`` or ``cuda``
    precision : ``float32``, which changes nothing, or ``bfloat16``; it has float32's range, so no loss is scaled

    Raises
    ------
    ValueError
        If ``precision`` is another.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: {precision!r} is not one of {', '.join(PRECISIONS)}")
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")


def seed_torch(*names: str | int) -> None:
    """Start torch's random stream from what ``names`` name, as ``provenance.generator`` does numpy's."""
    torch.manual_seed(int(generator(*names).integers(2**63)))
