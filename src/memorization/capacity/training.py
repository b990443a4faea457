"""Training a decoder on all of its sequences at each step, recording how many bits it holds as it goes."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from memorization.capacity.data import TOKENS
from memorization.models.decoder import Decoder
from memorization.training.checkpoints import Unfinished, restore, training_state
from memorization.training.devices import autocast, seed_torch
from memorization.training.fit import Recorder, fit, log_spaced_steps, model_sizes
from memorization.training.optimizers import build_optimizer, learning_rate, set_learning_rate

LATE = 0.1  # share of a training that stands for its end


def build(condition: dict, length: int, alphabet: int) -> Decoder:
    """The decoder of a condition, from torch's global random stream. BOS is the token behind the alphabet's."""
    size = {key: condition[key] for key in ("n_layers", "n_heads", "d_model", "d_ff", "init_std")}
    return Decoder(vocabulary=alphabet + 1, n_outputs=alphabet, max_length=length, **size)


class FullBatch:
    """A decoder, its optimizer (no weight decay) and all of its sequences: a ``fit.Learner``.

    The rate rises over the first steps and falls to 0 as a cosine, so that the loss stands still in the end.

    Parameters
    ----------
    condition : n_layers, n_heads, d_model, d_ff, init_std, optimizer, learning_rate, warmup, steps, precision
    sequences : (count, length) of symbols
    alphabet : how many symbols there are
    seed : of the initial weights, the same for conditions of one size
    device : where it runs
    """

    def __init__(self, condition: dict, sequences: np.ndarray, alphabet: int, seed: int, device: str):
        seed_torch("capacity", seed, "initialization")
        self.model, self.device = build(condition, sequences.shape[1], alphabet).to(device), device
        self.optimizer = build_optimizer(condition["optimizer"], self.model)
        self.peak, self.steps, self.precision = (condition[key] for key in ("learning_rate", "steps", "precision"))
        self.warmup = round(condition["warmup"] * self.steps)
        targets = torch.from_numpy(sequences.astype(np.int64)).to(device)
        inputs = F.pad(targets[:, :-1], (1, 0), value=alphabet)
        self.shape, self.n_symbols = sequences.shape, sequences.size
        rows = max(1, TOKENS // sequences.shape[1])
        self.parts = list(zip(inputs.split(rows), targets.split(rows), strict=True))

    def step(self, n: int) -> Tensor:
        """Optimizer step n; the loss before it, in nats per symbol."""
        rate = learning_rate(n, self.peak, self.steps, self.warmup, self.steps - self.warmup, "cosine")
        set_learning_rate(self.optimizer, rate)
        self.optimizer.zero_grad()
        loss = torch.zeros((), device=self.device)
        for inputs, targets in self.parts:
            with autocast(self.device, self.precision):
                logits = self.model(inputs)
            nll = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="sum")
            part = nll / self.n_symbols
            part.backward()
            loss += part.detach()
        self.optimizer.step()
        return loss

    @torch.no_grad()
    def evaluate(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each sequence its loss, (count,) float32 nats, and how many of its symbols are predicted right."""
        losses, right, at = np.empty(self.shape[0], np.float32), np.empty(self.shape[0], np.int64), 0
        for inputs, targets in self.parts:
            rows, at = slice(at, at + len(targets)), at + len(targets)
            logits = self.model(inputs)
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
            losses[rows] = loss.view(targets.shape).sum(dim=1).cpu()
            right[rows] = (logits.argmax(dim=-1) == targets).sum(dim=1).cpu()
        return losses, right

    def state(self) -> dict[str, Tensor]:
        return training_state(self.model, self.optimizer)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        restore(self.model, self.optimizer, state)


def recorded_steps(steps: int, n_records: int, n_late: int) -> list[int]:
    """Log-spaced steps from 0 to the last, and where ``n_late`` equal parts of the last tenth begin and end."""
    late = {steps - round(steps * LATE * part / n_late) for part in range(n_late + 1)}
    return sorted({*log_spaced_steps(steps, n_records), *late})


def train(learner: FullBatch, evaluation: dict, unfinished: Unfinished, report_seconds: float) -> dict[str, np.ndarray]:
    """Train to the condition's last step.

    Parameters
    ----------
    learner : what is trained
    evaluation : ``n_records`` and ``n_late`` as in ``recorded_steps``; ``n_items``, the first sequences, which are
        recorded one by one
    unfinished, report_seconds : as in ``training.fit.fit``

    Returns
    -------
    Of each recorded step ``step``; ``nll`` (nats, float64), ``right`` (symbols) and ``exact`` (sequences), all
    sequences together; ``item_nll`` and ``item_right`` (…, n_items) of the first ones. The model's sizes.
    """
    steps = {*recorded_steps(learner.steps, evaluation["n_records"], evaluation["n_late"])}
    count, length = learner.shape
    items = min(evaluation["n_items"], count)
    counts = dict.fromkeys(("step", "right", "exact"), ((), np.int64))
    of_items = {"item_nll": ((items,), np.float32), "item_right": ((items,), np.int64)}
    recorder = Recorder(**counts, nll=((), np.float64), **of_items)

    def record(n: int) -> None:
        if n in steps:
            nll, right = learner.evaluate()
            total = {"nll": nll.sum(dtype=np.float64), "right": right.sum(), "exact": (right == length).sum()}
            recorder.append(step=n, **total, item_nll=nll[:items], item_right=right[:items])

    fit(learner, record, recorder, learner.steps, unfinished, report_seconds)
    return recorder.arrays() | model_sizes(learner.model)
