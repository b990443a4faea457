"""How torch computes in a job: where, with how many threads, and the same each time."""

import os

import torch

from memorization.provenance import generator
from memorization.training.slots import DeviceError, take_slots

PRECISIONS = ("float32", "bfloat16")


def set_up(device: str, threads: int, gpus: int = 1, gpu_share: int = 1) -> str:
    """Settle on a device, wait for a slot on it, and make torch compute the same bytes each time it runs there.

    Float32 products stay float32 on a GPU (no TF32), kernels are deterministic, denormal
    numbers count as zero (Adam's second moments of rarely used weights fall that low and slow a CPU down).

    Parameters
    ----------
    device : ``cpu``, ``cuda``, or ``auto`` for cuda where there is one
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
    if device != "cpu":
        take_slots(gpus, gpu_share)  # before torch looks for GPUs
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("device: cuda, but torch sees no GPU here; allowed are auto, cpu, cuda")
    if device == "cuda" and torch.cuda.device_count() < gpus:
        raise DeviceError(f"gpus: {gpus}, but torch sees {torch.cuda.device_count()} here")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # finds reads of it while debugging, costs 3%
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False  # by default convolutions have it, products do not
    torch.set_flush_denormal(True)
    return device


def autocast(device: str, precision: str) -> torch.autocast:
    """Where a model runs in training: products in ``precision``, weights, sums and losses in their own.

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
