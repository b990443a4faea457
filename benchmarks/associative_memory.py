"""A training step of the associative memory: distinct sequences with counts, against the whole queue."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from modules import Case
from sequences import draws
from torch import Tensor

from memorization.associative_memory.conditions import AssociativeMemory as Family
from memorization.associative_memory.model import AssociativeMemory
from memorization.associative_memory.training import Memory
from memorization.training.devices import set_up

COUNT, LENGTH, BATCH = 200, 32, 64
CONDITION = {
    "architecture": "associative_memory", "n_heads": 8, "eta": 10.0, "epsilon": 1e-6, "init_std": 0.1,
    "learning_rate": 0.03,
}  # fmt: skip
SIZES = (1_000, 4_000, 16_000, 64_000, 500_000)  # of the queue
LARGEST = 16_000  # beyond which the plain forms take gigabytes


class WholeQueue(AssociativeMemory):
    """The definition over the queue as it stands, each stored sequence a row; a loop over the bits."""

    def append(self, sequences: Tensor) -> None:
        kept = self.rows[-(self.memory_size - len(sequences)) :] if hasattr(self, "rows") else sequences[:0]
        self.rows = torch.cat([kept, sequences])

    def log_probabilities(self, sequences: Tensor) -> Tensor:
        signs, stored = sequences.float() * 2 - 1, self.rows.float() * 2 - 1
        patterns, maps = stored @ self.memory_map.T, self.attention
        return torch.stack(
            [self.log_probability(signs @ maps[n].T, patterns, stored[:, n], signs[:, n]) for n in range(LENGTH)], dim=1
        )

    def log_probability(self, query: Tensor, patterns: Tensor, stored: Tensor, true: Tensor) -> Tensor:
        """Of a bit: (…, heads) queries, (queue, heads) patterns, (queue,) and (…,) signs -> (…,) nats."""
        shares = (self.eta * query @ patterns.T).softmax(dim=-1)
        right = (shares * (stored == true[..., None])).sum(dim=-1)
        return ((1 - self.epsilon) * right + self.epsilon / 2).log()


class BatchedOverBits(WholeQueue):
    """The same, in one product over all bits."""

    def log_probabilities(self, sequences: Tensor) -> Tensor:
        signs, stored = sequences.float() * 2 - 1, self.rows.float() * 2 - 1
        queries = torch.einsum("bi,nhi->nbh", signs, self.attention)
        shares = (self.eta * queries @ (stored @ self.memory_map.T).T).softmax(dim=-1)
        right = (shares * (stored.T[:, None, :] == signs.T[:, :, None])).sum(dim=-1)
        return ((1 - self.epsilon) * right + self.epsilon / 2).log().T


class Plain(Memory):
    """The training step with every drawn sequence written out."""

    def __init__(self, condition: dict, kind: type[WholeQueue]):
        super().__init__(condition, LENGTH, 0, "cpu")
        self.model = kind(LENGTH, condition["n_heads"], condition["memory_size"], condition["eta"])
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=condition["learning_rate"], fused=True)

    def step(self, n: int, sequences: np.ndarray, ranks: np.ndarray) -> Tensor:
        drawn = torch.from_numpy(sequences[ranks])
        loss = -self.model.log_probabilities(drawn).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.model.append(drawn)
        return loss.detach()


def steps(memory_size: int, kind: type[WholeQueue] | None = None, count: int = 1) -> Callable[[], None]:
    """``count`` training steps on a full queue; of ours without ``kind``."""
    set_up("cpu", threads=1)
    sequences, batches = draws({"count": COUNT, "length": LENGTH, "exponent": 1.0}, BATCH)
    condition = CONDITION | {"memory_size": memory_size}
    learner = Plain(condition, kind) if kind else Memory(condition, LENGTH, 0, "cpu")
    store(learner, sequences[np.resize(batches.ranks(1), memory_size)])

    def run() -> None:
        for n in range(1, count + 1):
            learner.step(n, sequences, batches.ranks(n))

    return run


def store(learner: Memory, sequences: np.ndarray) -> None:
    """Fill the queue with (count, length) of 0 and 1."""
    for part in torch.from_numpy(sequences).split(10_000):
        learner.model.append(part.to(learner.device))


def row(kind: type[WholeQueue]) -> Callable[[], tuple[Callable[[], None], Callable[[], None]]]:
    return lambda: (steps(4_000, count=5), steps(4_000, kind, count=5))


def curve(milliseconds: Callable[[Callable[[], None]], float]) -> str:
    """A table of milliseconds a step against the size of the queue."""
    lines = [
        f"A training step of the associative memory against the size M of its queue (K={COUNT}, N={LENGTH}, "
        f"H={CONDITION['n_heads']}, batch {BATCH}), in ms; the plain forms beyond M={LARGEST:,} would take gigabytes.",
        "",
        "| M | ours | loop over bits, whole queue | batched over bits, whole queue |",
        "|---|---|---|---|",
    ]
    for size in SIZES:
        plain = [
            f"{milliseconds(steps(size, kind)):.1f}" if size <= LARGEST else "—"
            for kind in (WholeQueue, BatchedOverBits)
        ]
        lines.append(f"| {size:,} | {milliseconds(steps(size)):.1f} | {plain[0]} | {plain[1]} |")
    return "\n".join(lines)


WHAT = "associative memory, 5 steps at M=4,000, K=200, N=32, H=8"
ROWS = [
    (WHAT, "loop over bits on the whole queue", 12.0, row(WholeQueue)),
    (WHAT, "batched over bits on the whole queue", 12.0, row(BatchedOverBits)),
]
CURVES = [curve]


def cases(config: dict, device: str) -> Iterator[Case]:
    """The conditions of the panels, with a full queue."""
    family = Family(config["associative_memory"])
    for name in family.section["panels"]:
        yield case(family, name, device)


def case(family: Family, name: str, device: str) -> Case:
    settings = family.settings(name)
    sequences, batches = draws(family.dataset(name), settings["batch_size"])
    learner = Memory(settings, sequences.shape[1], 0, device)
    drawn = [batches.ranks(n) for n in range(1, 2 + settings.get("memory_size", 0) // batches.size)]
    store(learner, sequences[np.concatenate(drawn)])
    return Case(name, "float32", lambda n: learner.step(n, sequences, batches.ranks(n)))
