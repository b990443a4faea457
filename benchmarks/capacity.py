"""capacity: a step of Muon against one of Adam; and the time until as many bits are held."""

from collections.abc import Callable, Iterator

import numpy as np
from modules import Case

from memorization.capacity.conditions import Capacity
from memorization.capacity.data import TOKENS, bits_to_hold, sample_sequences, sequence_bits
from memorization.capacity.training import FullBatch
from memorization.models.shape import TRAINING
from memorization.training.devices import set_up

STEPS, LENGTH, ALPHABET = 10, 16, 16
MODEL = {"n_layers": 2, "n_heads": 4, "d_model": 8, "d_ff": 16, "init_std": 0.02, "precision": "float32"}
RATES = {"muon": 0.08, "adamw": 0.045}  # the default study's
HELD = 0.9  # share of all bits at which a race ends


def learner(optimizer: str, count: int, steps: int) -> FullBatch:
    sequences = sample_sequences(count, LENGTH, ALPHABET, np.random.default_rng(0))
    schedule = {"optimizer": optimizer, "learning_rate": RATES[optimizer], "warmup": 0.02, "steps": steps}
    return FullBatch(MODEL | schedule, sequences, ALPHABET, 0, "cpu")


def steps(count: int) -> Callable[[], tuple[Callable[[], None], Callable[[], None]]]:
    """Some steps of either optimizer."""

    def make() -> tuple[Callable[[], None], Callable[[], None]]:
        set_up("cpu", threads=1)

        def run(ours: FullBatch) -> None:
            for n in range(1, STEPS + 1):
                ours.step(n)

        sides = [learner(name, count, STEPS) for name in RATES]
        return tuple(lambda side=side: run(side) for side in sides)

    return make


def race(count: int, steps: int) -> Callable[[], tuple[Callable[[], None], Callable[[], None]]]:
    """Trainings of either optimizer until most of all bits are held."""
    wanted = count * sequence_bits(LENGTH, ALPHABET) - HELD * bits_to_hold(count, LENGTH, ALPHABET)

    def make() -> tuple[Callable[[], None], Callable[[], None]]:
        set_up("cpu", threads=1)

        def run(optimizer: str) -> None:
            ours = learner(optimizer, count, steps)
            for n in range(1, steps + 1):
                if ours.step(n).item() * count * LENGTH / np.log(2) <= wanted:
                    return
            raise RuntimeError(f"{optimizer} has not held {HELD} of all bits in {steps} steps")

        return tuple(lambda name=name: run(name) for name in RATES)

    return make


ROWS = [
    (f"capacity, Muon, {STEPS} steps on all sequences, K=128, N=16, V=16", "Adam", 0.7, steps(128)),
    (f"capacity, Muon until {HELD:.0%} of all bits, K=32, N=16, V=16", "Adam", 0.5, race(32, 1200)),
]


def cases(config: dict, device: str) -> Iterator[Case]:
    """The models in either precision, on as many of their sequences as are computed at once."""
    family = Capacity(config["capacity"])
    for name in family.section["models"]:
        sizes = {key: family.dataset(name)[key] for key in ("count", "length", "alphabet")}
        sizes["count"] = min(sizes["count"], TOKENS // sizes["length"])
        sequences = sample_sequences(**sizes, rng=np.random.default_rng(0))
        flops = TRAINING * sizes["count"] * family.forward_flops(name)
        for precision in ("float32", "bfloat16"):
            settings = family.settings(name) | {"precision": precision}
            ours = FullBatch(settings, sequences, sizes["alphabet"], 0, device)
            yield Case(name, precision, ours.step, lambda n, flops=flops: flops)
