"""Speed on a GPU at the sources' scale (config/paper.yaml), by family; writes docs/performance.md's section on GPUs.

    python benchmarks/gpu.py

A family joins by a function of ``FAMILIES`` that yields its cases. Where there is no GPU nothing is measured.
"""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import yaml
from flops import PEAK, TRAINING, transformer_flops
from page import PAGE, has_gpus, machine, write
from snakemake.utils import update_config
from torch.nn import functional as F

from memorization.associative_memory.conditions import MemoryConditions
from memorization.associative_memory.training import Memory
from memorization.data.sequences import Batches, sample_sequences, zipf_probabilities
from memorization.grokking.conditions import condition as grokking_condition
from memorization.grokking.conditions import dataset as grokking_dataset
from memorization.grokking.task.model import answer_logits, build
from memorization.provenance import ROOT
from memorization.training.devices import set_up
from memorization.zipf.conditions import ZipfConditions
from memorization.zipf.training import Transformer

WARM_UP, STEPS = 10, 100
NOT_MEASURED = "Not measured: no GPU machine was at hand. On one, `make bench-gpu` writes this section."
HEAD = """Written by `make bench-gpu`: one job on one {gpu} ({machine}; torch {torch}, CUDA {cuda}),
conditions of `config/paper.yaml`, {steps} steps after {warm_up}. Model FLOPs are the matrix products of forward and
backward pass on the distinct sequences of a batch; utilization is their rate over the device's peak in that precision,
TF32 off.

| family | condition | precision | steps/s | model FLOP utilization | peak memory (GB) |
|---|---|---|---|---|---|
"""


class Case(NamedTuple):
    """``step(n)`` is a training step; ``flops``, of one, where they are a decoder's."""

    family: str
    condition: str
    precision: str
    step: Callable[[int], torch.Tensor]
    flops: float | None


def zipf(config: dict, device: str, names: tuple[str, ...] = ("small", "medium", "large_lr")) -> Iterator[Case]:
    """Transformers, in either precision."""
    conditions = ZipfConditions(config["zipf"])
    for name in names:
        for precision in ("float32", "bfloat16"):
            settings = conditions.settings(name) | {"precision": precision}
            sequences, batches = data(conditions.dataset(name), settings["batch_size"])
            learner = Transformer(settings, sequences.shape[1], 0, device)
            distinct = np.mean([len(np.unique(batches.ranks(n))) for n in range(WARM_UP + 1, WARM_UP + STEPS + 1)])
            flops = TRAINING * distinct * transformer_flops(settings, sequences.shape[1])
            yield Case("zipf", name, precision, trains(learner, sequences, batches), flops)


def associative_memory(config: dict, device: str, name: str = "heads_10") -> Iterator[Case]:
    """A memory with a full queue."""
    conditions = MemoryConditions(config["associative_memory"])
    settings = conditions.settings(name)
    sequences, batches = data(conditions.dataset(name), settings["batch_size"])
    learner = Memory(settings, sequences.shape[1], 0, device)
    ranks = np.concatenate([batches.ranks(n) for n in range(1, 2 + settings["memory_size"] // batches.size)])
    for part in np.array_split(ranks, 1 + len(ranks) // 10_000):
        learner.model.append(torch.from_numpy(sequences[part]).to(device))
    yield Case("associative_memory", name, "float32", trains(learner, sequences, batches), None)


def grokking(config: dict, device: str, name: str = "wd_1") -> Iterator[Case]:
    """The answer alone, with shared prefixes: less than a decoder's FLOPs, so none are told."""
    settings = grokking_condition(config["grokking"], name)
    p = grokking_dataset(config["grokking"], settings["dataset"])["p"]
    model = build(settings, p).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings["learning_rate"], betas=(0.9, 0.98), fused=True)
    a, b = torch.randint(0, p, (2, settings["batch_size"]), device=device)

    def step(_: int) -> torch.Tensor:
        loss = F.cross_entropy(answer_logits(model, a, b), (a + b) % p)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    yield Case("grokking", name, "float32", step, None)


FAMILIES = (zipf, associative_memory, grokking)


def data(dataset: dict, size: int) -> tuple[np.ndarray, Batches]:
    sequences = sample_sequences(dataset["count"], dataset["length"], np.random.default_rng(0))
    return sequences, Batches(zipf_probabilities(dataset["count"], dataset["exponent"]), size, "benchmark", 0)


def trains(learner, sequences: np.ndarray, batches: Batches) -> Callable[[int], torch.Tensor]:
    return lambda n: learner.step(sequences, batches.ranks(n))


def paper() -> dict:
    """The configuration of ``--configfile config/paper.yaml``."""
    config, overlay = (
        yaml.safe_load((ROOT.parent / f"config/{name}.yaml").read_text()) for name in ("config", "paper")
    )
    update_config(config, overlay)
    return config


def row(case: Case, name: str, device: str = "cuda") -> str:
    """The row of a case in the table, measured on a device of that name."""
    for n in range(1, WARM_UP + 1):
        loss = case.step(n)
    float(loss)  # waits for the device
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    for n in range(WARM_UP + 1, WARM_UP + STEPS + 1):
        loss = case.step(n)
    float(loss)
    rate = STEPS / (time.perf_counter() - start)
    memory = f"{torch.cuda.max_memory_allocated() / 1e9:.2f}" if device == "cuda" else "—"
    used = utilization(case, rate, name)
    share = "—" if used is None else f"{100 * used:.1f}%"
    return f"| {case.family} | {case.condition} | {case.precision} | {rate:.1f} | {share} | {memory} |"


def utilization(case: Case, rate: float, name: str) -> float | None:
    """The model FLOPs of so many steps a second over a device's peak; None where either is unknown."""
    if case.flops is None or name not in PEAK:
        return None
    return case.flops * rate / 1e12 / PEAK[name][case.precision == "bfloat16"]


def main() -> None:
    if not torch.cuda.is_available():
        if not has_gpus():
            write(gpus=NOT_MEASURED)
        print(f"no GPU here: nothing measured, {PAGE.name} keeps its section on GPUs")
        return
    name, config, lines = torch.cuda.get_device_name(), paper(), []
    for family in FAMILIES:
        for case in family(config, "cuda"):
            lines.append(row(case, name))
            print(lines[-1], flush=True)
    versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "steps": STEPS, "warm_up": WARM_UP}
    write(gpus=HEAD.format(gpu=name, machine=machine(), **versions) + "\n".join(lines))


if __name__ == "__main__":
    set_up("auto", threads=1)
    main()
