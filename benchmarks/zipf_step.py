"""A training step of zipf: distinct sequences weighted by count, against the batch written out."""

from collections.abc import Callable

import numpy as np

from memorization.data.sequences import Batches, sample_sequences, zipf_probabilities
from memorization.training.devices import set_up
from memorization.zipf.training import Training

BATCH, STEPS = 256, 10
MEDIUM = {
    "architecture": "decoder", "n_layers": 2, "n_heads": 8, "d_model": 64, "positions": "learned",
    "init_std": 0.07, "learning_rate": 1e-3,
}  # fmt: skip


class Plain(Batches):
    """Every drawn sequence as often as it was drawn."""

    def distinct(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        return self.ranks(step), np.ones(self.size, np.int64)


def row(count: int, length: int) -> Callable[[], tuple[Callable[[], None], Callable[[], None]]]:
    def make() -> tuple[Callable[[], None], Callable[[], None]]:
        set_up("cpu", threads=1)
        sequences = sample_sequences(count, length, np.random.default_rng(0))
        p = zipf_probabilities(count, 1.0)
        sides = [Training(MEDIUM, sequences, kind(p, BATCH, "benchmark", 0), 0, "cpu") for kind in (Batches, Plain)]

        def run(training: Training) -> None:
            for n in range(1, STEPS + 1):
                training.step(n)

        return tuple(lambda side=side: run(side) for side in sides)

    return make


ROWS = [
    (f"zipf, {STEPS} steps on distinct sequences, K=256, N=24", "plain batch of 256", 2.0, row(256, 24)),
    (f"zipf, {STEPS} steps on distinct sequences, K=100,000, N=100", "plain batch of 256", 1.2, row(100_000, 100)),
]
