"""Training a transformer on the distinct sequences of each batch."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memorization.data.sequences import Batches, read_sets
from memorization.random_sequences.training import train
from memorization.training.checkpoints import Unfinished, read_tensors, restore, training_state
from memorization.training.devices import autocast, seed_torch
from memorization.training.distributed import all_reduce_sum, data_parallel, shard, world_size
from memorization.training.fit import model_sizes
from memorization.training.freezing import freeze
from memorization.training.optimizers import build_optimizer, learning_rate, set_learning_rate
from memorization.zipf.models import build, frozen, with_bos

TOKENS = 100_000  # evaluated at once


def train_run(
    condition: dict,
    sequences: Sequence[str],
    before: Sequence[str],
    seed: int,
    steps: int,
    evaluation: dict,
    unfinished: str,
    progress: dict,
    device: str,
    keep_last: bool = False,
) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    """Train a condition to a step, in this process alone or as one of several (``training.distributed.launch``).

    Parameters
    ----------
    condition : settings of ``Transformer``; batch_size, dataset
    sequences : files of the sets, in their order
    before : the file of the checkpoint that a switch goes on from; empty from the beginning
    seed : of the run
    steps, evaluation, keep_last : as in ``random_sequences.training.train``
    unfinished : the path of the job's checkpoint
    progress : ``report_seconds``, ``checkpoint_seconds``
    device : ``cpu`` or ``cuda``

    Returns
    -------
    As ``random_sequences.training.train``, with the model's sizes among the arrays.
    """
    sets, probabilities = read_sets(sequences)
    state_before = next(map(read_tensors, before), None)
    first = 0 if state_before is None else int(state_before["step"])
    learner = Transformer(condition, sets.shape[2], seed, device, first, steps)
    state, trajectory = train(
        learner,
        sets,
        Batches(probabilities, condition["batch_size"], condition["dataset"], seed),
        steps,
        evaluation,
        Unfinished(unfinished, progress["checkpoint_seconds"]),
        progress["report_seconds"],
        before=state_before,
        keep_last=keep_last,
    )
    return state, trajectory | model_sizes(learner.model)


class Transformer:
    """A condition's model and its optimizer (no weight decay), as ``random_sequences.training.SequenceLearner``.

    Parameters
    ----------
    condition : architecture, n_layers, n_heads, d_model, positions, init_std, optimizer, learning_rate, decay, freeze,
        precision
    length : of the sequences, in bits
    seed : of the initial weights, the same for conditions of one architecture and size
    device : where it runs
    first, last : the step that a training goes on from, and its last one, before which the rate falls; without a last
        one the rate is constant
    """

    def __init__(self, condition: dict, length: int, seed: int, device: str, first: int = 0, last: int | None = None):
        seed_torch("zipf", seed, "initialization")
        self.model, self.device = build(condition, length).to(device), device
        freeze(self.model, frozen(self.model, condition["freeze"]))
        self.optimizer = build_optimizer(condition["optimizer"], self.model)
        self.peak, self.last = condition["learning_rate"], last or first
        self.decay = round(condition["decay"] * (self.last - first))
        self.data_parallel, self.precision = data_parallel(self.model), condition["precision"]

    def step(self, n: int, sequences: np.ndarray, ranks: np.ndarray) -> Tensor:
        set_learning_rate(self.optimizer, learning_rate(n, self.peak, self.last, decay=self.decay))
        distinct, counts = shard(*np.unique(ranks, return_counts=True))
        weights = counts * world_size() / len(ranks)  # the mean over processes of their losses is that of the batch
        batch, weights = (torch.from_numpy(each).to(self.device) for each in (sequences[distinct], weights))
        loss = weighted_loss(self.data_parallel, batch, weights, self.precision)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return all_reduce_sum(loss.detach()) / world_size()

    def loss(self, sequences: np.ndarray) -> np.ndarray:
        return evaluate(self.model, torch.from_numpy(sequences).to(self.device))

    def state(self) -> dict[str, Tensor]:
        return training_state(self.model, self.optimizer)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        restore(self.model, self.optimizer, state)


def negative_log_likelihood(model: nn.Module, sequences: Tensor) -> Tensor:
    """Loss at each bit given the bits before it: (batch, length) of 0 and 1 -> (batch, length) nats."""
    logits = model(with_bos(sequences))
    return F.cross_entropy(logits.transpose(1, 2), sequences.long(), reduction="none")


def weighted_loss(model: nn.Module, sequences: Tensor, weights: Tensor, precision: str = "float32") -> Tensor:
    """Loss of a batch in which each of the (distinct) sequences has a weight.

    Weighted by its share of the batch, the same value and gradient as the mean over the batch written out, at the
    cost of its distinct sequences.

    Parameters
    ----------
    sequences : (distinct, length) of 0 and 1
    weights : (distinct,), of a whole batch summing to one
    precision : as in ``devices.autocast``; losses are weighted outside of it

    Returns
    -------
    Scalar, nats per bit.
    """
    with autocast(sequences.device.type, precision):
        loss = negative_log_likelihood(model, sequences).mean(dim=1)
    return loss @ weights.to(loss.dtype)


@torch.no_grad()
def evaluate(model: nn.Module, sequences: Tensor) -> np.ndarray:
    """Loss of all sequences at each bit: (count, length) of 0 and 1 -> (count, length) float32 nats."""
    chunks = sequences.split(max(1, TOKENS // sequences.shape[1]))
    return torch.cat([negative_log_likelihood(model, chunk).float().cpu() for chunk in chunks]).numpy()
