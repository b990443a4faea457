"""How torch computes in a job: where, with how many threads, and the same each time."""

import os

import torch

from memorization.provenance import generator


class DeviceError(RuntimeError):
    """A device that was asked for and is not there."""


def set_up(device: str, threads: int) -> str:
    """Settle on a device and make torch compute the same bytes each time it runs there.

    Float32 matrix products stay float32 on a GPU (no TF32), kernels are deterministic, denormal
    numbers count as zero (Adam's second moments of rarely used weights fall that low and slow a CPU down).

    Parameters
    ----------
    device : ``cpu``, ``cuda``, or ``auto`` for cuda where there is one
    threads : of the CPU

    Returns
    -------
    ``cpu`` or ``cuda``.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError("device: cuda, but torch sees no GPU here; allowed are auto, cpu, cuda")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # finds reads of it while debugging, costs 3%
    torch.set_float32_matmul_precision("highest")
    torch.set_flush_denormal(True)
    return device


def seed_torch(*names: str | int) -> None:
    """Start torch's random stream from what ``names`` name, as ``provenance.generator`` does numpy's."""
    torch.manual_seed(int(generator(*names).integers(2**63)))
