"""Training on sequences drawn with Zipf frequencies, recording the loss of every sequence as it goes."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memorization.data.sequences import Batches
from memorization.training.checkpoints import Unfinished, restore, training_state
from memorization.training.devices import seed_torch
from memorization.training.loop import log_spaced_steps, run
from memorization.zipf.models import build, with_bos

TOKENS = 100_000  # evaluated at once


def train(
    condition: dict,
    sequences: np.ndarray,
    batches: Batches,
    seed: int,
    steps: int,
    evaluation: dict,
    device: str,
    unfinished: Unfinished,
    report_seconds: float,
) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    """Train a condition's model and record the loss of its sequences at log-spaced steps.

    Parameters
    ----------
    condition : architecture, n_layers, n_heads, d_model, positions, init_std, learning_rate
    sequences : (count, length) of 0 and 1
    batches : what is drawn at each step
    seed : of the initial weights, the same for conditions of one architecture and size
    steps : optimizer steps (Adam, no weight decay)
    evaluation : ``checkpoints`` log-spaced steps are recorded, of the ``head`` most frequent sequences and every
        ``train_stride``-th; the last step is recorded of all sequences
    device, unfinished, report_seconds : where it runs, its checkpoint, its progress

    Returns
    -------
    state : model, optimizer, ``presentations`` and ``last_presentation`` (count,) after the last step
    trajectory : arrays of one entry a recorded (step, sequence): ``step``, ``rank``, ``presentations``
        (how often it was in a batch so far), ``last_presentation`` (the last such step, 0 for never),
        ``nll`` (…, length) float32 in nats per bit; of one entry a recorded step: ``weighted_step``,
        ``weighted_loss``, the p-weighted mean over all sequences; and ``parameters``, the number of weights.
    """
    training = Training(condition, sequences, batches, seed, device)
    every = np.arange(len(sequences))
    some = every[(every < evaluation["head"]) | (every % evaluation["train_stride"] == 0)]
    record_at = set(log_spaced_steps(steps, evaluation["checkpoints"])) | {steps}

    def record(n: int) -> None:
        if n in record_at:
            training.record(n, every if n == steps else some)

    def step(n: int) -> Tensor:
        loss = training.step(n)
        record(n)
        return loss

    kept = unfinished.load()
    if kept is None:
        first = 0
        record(0)
    else:
        first = int(kept["step"])
        training.restore(kept)
        print(f"going on after step {first}, from {unfinished.path}", flush=True)
    run(step, first, steps, unfinished, lambda n: training.state() | {"step": torch.tensor(n)}, report_seconds)
    return training.final_state(), training.trajectory()


class Training:
    """A model in training, how often it has seen each sequence, and what was recorded of it."""

    def __init__(self, condition: dict, sequences: np.ndarray, batches: Batches, seed: int, device: str):
        count, length = sequences.shape
        seed_torch("zipf", seed, "initialization")
        self.model = build(condition, length).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=condition["learning_rate"], fused=True)
        self.bits, self.batches = torch.from_numpy(sequences).to(device), batches
        self.presentations, self.last_presentation = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.recorded = {
            "step": np.zeros(0, np.int64),
            "rank": np.zeros(0, np.int64),
            "presentations": np.zeros(0, np.int64),
            "last_presentation": np.zeros(0, np.int64),
            "nll": np.zeros((0, length), np.float32),
            "weighted_step": np.zeros(0, np.int64),
            "weighted_loss": np.zeros(0),
        }

    def step(self, n: int) -> Tensor:
        """Optimizer step n, on the distinct sequences of its batch; the loss before it, in nats per bit."""
        ranks, counts = self.batches.distinct(n)
        weights = torch.from_numpy(counts).to(self.bits.device)
        loss = weighted_loss(self.model, self.bits[torch.from_numpy(ranks).to(self.bits.device)], weights)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.presentations[ranks] += counts
        self.last_presentation[ranks] = n
        return loss.detach()

    def record(self, n: int, rank: np.ndarray) -> None:
        """Record the loss of the sequences of these ranks after step n, and the p-weighted loss of all."""
        nll = evaluate(self.model, self.bits)
        new = {
            "step": np.full(len(rank), n),
            "rank": rank,
            "presentations": self.presentations[rank],
            "last_presentation": self.last_presentation[rank],
            "nll": nll[rank],
            "weighted_step": [n],
            "weighted_loss": [self.batches.probabilities @ nll.mean(axis=1, dtype=np.float64)],
        }
        self.recorded = {name: np.concatenate([rows, new[name]]) for name, rows in self.recorded.items()}

    def trajectory(self) -> dict[str, np.ndarray]:
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        return self.recorded | {"parameters": np.array(parameters)}

    def final_state(self) -> dict[str, Tensor]:
        counts = {"presentations": self.presentations, "last_presentation": self.last_presentation}
        return training_state(self.model, self.optimizer) | {k: torch.from_numpy(v) for k, v in counts.items()}

    def state(self) -> dict[str, Tensor]:
        recorded = {f"recorded.{name}": torch.from_numpy(rows) for name, rows in self.recorded.items()}
        return self.final_state() | recorded

    def restore(self, state: Mapping[str, Tensor]) -> None:
        restore(self.model, self.optimizer, state)
        self.presentations, self.last_presentation = (
            state[name].numpy() for name in ("presentations", "last_presentation")
        )
        self.recorded = {name: state[f"recorded.{name}"].numpy() for name in self.recorded}


def negative_log_likelihood(model: nn.Module, sequences: Tensor) -> Tensor:
    """Loss at each bit given the bits before it: (batch, length) of 0 and 1 -> (batch, length) nats."""
    logits = model(with_bos(sequences))
    return F.cross_entropy(logits.transpose(1, 2), sequences.long(), reduction="none")


def weighted_loss(model: nn.Module, sequences: Tensor, counts: Tensor) -> Tensor:
    """Mean loss of a batch in which each of the (distinct) sequences stands ``counts`` times.

    The same value and gradient as the batch written out, at the cost of its distinct sequences.

    Parameters
    ----------
    sequences : (distinct, length) of 0 and 1
    counts : (distinct,) integers

    Returns
    -------
    Scalar, nats per bit.
    """
    loss = negative_log_likelihood(model, sequences).mean(dim=1)
    return loss @ (counts / counts.sum()).to(loss.dtype)


@torch.no_grad()
def evaluate(model: nn.Module, sequences: Tensor) -> np.ndarray:
    """Loss of all sequences at each bit: (count, length) of 0 and 1 -> (count, length) float32 nats."""
    chunks = sequences.split(max(1, TOKENS // sequences.shape[1]))
    return torch.cat([negative_log_likelihood(model, chunk).float().cpu() for chunk in chunks]).numpy()
