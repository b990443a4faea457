"""A training step of zipf: distinct sequences weighted by count, against the batch written out."""

from collections.abc import Callable, Iterator

import numpy as np
from modules import Case
from sequences import draws
from torch import Tensor

from memorization.models.shape import TRAINING
from memorization.training.devices import set_up
from memorization.zipf.conditions import Zipf
from memorization.zipf.training import Transformer

BATCH, STEPS = 256, 10
MEDIUM = {
    "architecture": "decoder", "n_layers": 2, "n_heads": 8, "d_model": 64, "positions": "learned",
    "init_std": 0.07, "optimizer": "adamw", "learning_rate": 1e-3, "decay": 0, "freeze": "none", "precision": "float32",
}  # fmt: skip


class Plain(Transformer):
    """Trains on every drawn sequence as often as it was drawn."""

    def step(self, n: int, sequences: np.ndarray, ranks: np.ndarray) -> Tensor:
        return super().step(n, sequences[ranks], np.arange(len(ranks)))


def row(count: int, length: int) -> Callable[[], tuple[Callable[[], None], Callable[[], None]]]:
    def make() -> tuple[Callable[[], None], Callable[[], None]]:
        set_up("cpu", threads=1)
        sequences, batches = draws({"count": count, "length": length, "exponent": 1.0}, BATCH)
        sides = [kind(MEDIUM, length, 0, "cpu") for kind in (Transformer, Plain)]

        def run(learner: Transformer) -> None:
            for n in range(1, STEPS + 1):
                learner.step(n, sequences, batches.ranks(n))

        return tuple(lambda side=side: run(side) for side in sides)

    return make


ROWS = [
    (f"zipf, {STEPS} steps on distinct sequences, K=256, N=24", "plain batch of 256", 2.0, row(256, 24)),
    (f"zipf, {STEPS} steps on distinct sequences, K=100,000, N=100", "plain batch of 256", 1.2, row(100_000, 100)),
]


def cases(config: dict, device: str) -> Iterator[Case]:
    """The conditions of the panels, in either precision."""
    family = Zipf(config["zipf"])
    for name in family.section["panels"]:
        for precision in ("float32", "bfloat16"):
            yield case(family, name, precision, device)


def case(family: Zipf, name: str, precision: str, device: str) -> Case:
    settings = family.settings(name) | {"precision": precision}
    sequences, batches = draws(family.dataset(name), settings["batch_size"])
    learner, forward = Transformer(settings, sequences.shape[1], 0, device), family.forward_flops(name)
    return Case(
        name,
        precision,
        lambda n: learner.step(n, sequences, batches.ranks(n)),
        lambda n: TRAINING * len(np.unique(batches.ranks(n))) * forward,
    )
