"""Continual training of a memory: a batch is predicted, the weights move, then the batch is stored."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from memorization.associative_memory.model import AssociativeMemory, LinearReadout
from memorization.training.checkpoints import restore, training_state
from memorization.training.devices import seed_torch
from memorization.training.fit import model_sizes


class Memory:
    """A condition's model and its optimizer (Adam), as ``random_sequences.training.SequenceLearner``.

    Parameters
    ----------
    condition : architecture, n_heads, eta, memory_size, epsilon, n_units, init_std, learning_rate
    length : of the sequences, in bits
    seed : of the initial weights
    device : where it runs
    """

    def __init__(self, condition: dict, length: int, seed: int, device: str):
        seed_torch("associative_memory", seed, "initialization")
        self.model, self.device = build(condition, length).to(device), device
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=condition["learning_rate"], fused=True)

    def step(self, n: int, sequences: np.ndarray, ranks: np.ndarray) -> Tensor:
        distinct, counts = np.unique(ranks, return_counts=True)
        batch, drawn = (torch.from_numpy(sequences[chosen]).to(self.device) for chosen in (distinct, ranks))
        loss = -self.model.log_probabilities(batch).mean(dim=1)
        loss = loss @ torch.from_numpy(counts / counts.sum()).to(loss)
        if loss.requires_grad:  # not while the memory is empty
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.model.append(drawn)
        return loss.detach()

    @torch.no_grad()
    def loss(self, sequences: np.ndarray) -> np.ndarray:
        chunks = torch.from_numpy(sequences).to(self.device).split(1000)
        return -torch.cat([self.model.log_probabilities(chunk).float().cpu() for chunk in chunks]).numpy()

    def state(self) -> dict[str, Tensor]:
        return training_state(self.model, self.optimizer)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        restore(self.model, self.optimizer, state)


def build(condition: dict, length: int) -> AssociativeMemory | LinearReadout:
    """The model of a condition, for sequences of ``length`` bits, from torch's global random stream."""
    both = {"length": length, "n_heads": condition["n_heads"], "init_std": condition["init_std"]}
    if condition["architecture"] == "linear_readout":
        return LinearReadout(**both, n_units=condition["n_units"])
    return AssociativeMemory(**both, **{key: condition[key] for key in ("memory_size", "eta", "epsilon")})


def sizes(model: AssociativeMemory | LinearReadout) -> dict[str, np.ndarray]:
    """``training.fit.model_sizes`` but for what no query reads: row n of the maps has n weights in each head."""
    length, heads, _ = model.attention_logits.shape
    unused = heads * length * (length + 1) // 2
    return {name: size - unused for name, size in model_sizes(model).items()}
