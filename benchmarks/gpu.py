"""Speed on a GPU at the sources' scale (config/paper.yaml), by family; writes docs/performance.md's section on GPUs.

    python benchmarks/gpu.py

A family joins by ``cases`` of its module. Where there is no GPU nothing is measured.
"""

import statistics
import time

import torch
import yaml
from modules import Case, modules
from page import PAGE, has_gpus, machine, write
from peaks import PEAK

from memorization.families import complete
from memorization.provenance import ROOT
from memorization.training.devices import set_up

WARM_UP, STEPS = 10, 100
NOT_MEASURED = "Not measured: no GPU machine was at hand. On one, `make bench-gpu` writes this section."
HEAD = """Written by `make bench-gpu`: one job on one {gpu} ({machine}; torch {torch}, CUDA {cuda}),
conditions of `config/paper.yaml`, {steps} steps after {warm_up}. Model FLOPs are the matrix products of forward and
backward pass on the distinct sequences of a batch; utilization is their rate over the device's peak in that precision,
TF32 off.

| family | condition | precision | steps/s | model FLOP utilization | peak memory (GB) |
|---|---|---|---|---|---|
"""


def paper() -> dict:
    """The configuration of ``--configfile config/paper.yaml``."""
    return complete(yaml.safe_load((ROOT.parent / "config/paper.yaml").read_text()))


def row(family: str, case: Case, name: str, device: str = "cuda") -> str:
    """The row of a case in the table, measured on a device of that name."""
    for n in range(1, WARM_UP + 1):
        loss = case.step(n)
    float(loss)  # waits for the device
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    measured = range(WARM_UP + 1, WARM_UP + STEPS + 1)
    start = time.perf_counter()
    for n in measured:
        loss = case.step(n)
    float(loss)
    rate = STEPS / (time.perf_counter() - start)
    memory = f"{torch.cuda.max_memory_allocated() / 1e9:.2f}" if device == "cuda" else "—"
    flops = None if case.flops is None else rate * statistics.fmean(map(case.flops, measured))
    used = None if flops is None else utilization(flops, case.precision, name)
    share = "—" if used is None else f"{100 * used:.1f}%"
    return f"| {family} | {case.condition} | {case.precision} | {rate:.1f} | {share} | {memory} |"


def utilization(flops: float, precision: str, name: str) -> float | None:
    """Model FLOPs a second over a device's peak in a precision; None of an unknown device."""
    return flops / 1e12 / PEAK[name][precision == "bfloat16"] if name in PEAK else None


def main() -> None:
    if not torch.cuda.is_available():
        if not has_gpus():
            write(gpus=NOT_MEASURED)
        print(f"no GPU here: nothing measured, {PAGE.name} keeps its section on GPUs")
        return
    name, config, lines = torch.cuda.get_device_name(), paper(), []
    for family, module in modules().items():
        for case in module.cases(config, "cuda") if hasattr(module, "cases") else ():
            lines.append(row(family, case, name))
            print(lines[-1], flush=True)
    versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "steps": STEPS, "warm_up": WARM_UP}
    write(gpus=HEAD.format(gpu=name, machine=machine(), **versions) + "\n".join(lines))


if __name__ == "__main__":
    set_up("auto", threads=1)
    main()
