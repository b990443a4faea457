"""A training step of zipf: distinct sequences weighted by count, against the batch written out."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from memorization.data.sequences import Batches, sample_sequences, zipf_probabilities
from memorization.training.devices import set_up
from memorization.zipf.training import Transformer

BATCH, STEPS = 256, 10
MEDIUM = {
    "architecture": "decoder", "n_layers": 2, "n_heads": 8, "d_model": 64, "positions": "learned",
    "init_std": 0.07, "learning_rate": 1e-3, "freeze": "none", "precision": "float32",
}  # fmt: skip


class Plain(Transformer):
    """Trains on every drawn sequence as often as it was drawn."""

    def step(self, sequences: np.ndarray, ranks: np.ndarray) -> Tensor:
        return super().step(sequences[ranks], np.arange(len(ranks)))


def row(count: int, length: int) -> Callable[[], tuple[Callable[[], None], Callable[[], None]]]:
    def make() -> tuple[Callable[[], None], Callable[[], None]]:
        set_up("cpu", threads=1)
        sequences = sample_sequences(count, length, np.random.default_rng(0))
        batches = Batches(zipf_probabilities(count, 1.0), BATCH, "benchmark", 0)
        sides = [kind(MEDIUM, length, 0, "cpu") for kind in (Transformer, Plain)]

        def run(learner: Transformer) -> None:
            for n in range(1, STEPS + 1):
                learner.step(sequences, batches.ranks(n))

        return tuple(lambda side=side: run(side) for side in sides)

    return make


ROWS = [
    (f"zipf, {STEPS} steps on distinct sequences, K=256, N=24", "plain batch of 256", 2.0, row(256, 24)),
    (f"zipf, {STEPS} steps on distinct sequences, K=100,000, N=100", "plain batch of 256", 1.2, row(100_000, 100)),
]
