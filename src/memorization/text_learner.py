"""A language model that is trained on packed rows of text, each once, and what it is written as.

Stands above ``training`` and ``models``, which do not know each other.
"""

import json
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memorization.files import to_json
from memorization.models.language_model import build
from memorization.text_files import write_text
from memorization.training.checkpoints import restore, training_state
from memorization.training.devices import autocast
from memorization.training.optimizers import build_optimizer, learning_rate, set_learning_rate

CLIP = 1.0  # largest norm of a gradient


class TextLearner:
    """A language model, its optimizer and its rows of text: a ``fit.Learner``.

    The rate rises over the first steps and falls to 0 as a cosine. Every row is seen once, in the order of the packing.

    Parameters
    ----------
    condition : settings of ``language_model.build``; batch_size, learning_rate, warmup, weight_decay, precision
    rows : (n_rows, row_length) of tokens
    vocabulary : how many tokens there are
    weights : the seed of the initial weights
    device : where it runs
    """

    def __init__(self, condition: Mapping, rows: np.ndarray, vocabulary: int, weights: int, device: str):
        self.condition, self.vocabulary, self.device = condition, vocabulary, device
        self.model = build(condition, vocabulary, weights).to(device)
        self.optimizer = build_optimizer("adamw", self.model, condition["weight_decay"])
        self.rows = torch.from_numpy(rows.astype(np.int64))
        self.steps = steps_of(len(rows), condition["batch_size"])
        self.loss = torch.tensor(float("nan"))  # before the last step

    def step(self, n: int) -> Tensor:
        """Optimizer step n; the loss before it, in nats per token."""
        peak, warmup = self.condition["learning_rate"], round(self.condition["warmup"] * self.steps)
        rate = learning_rate(n + 1, peak, self.steps + 1, warmup, self.steps - warmup, "cosine")
        set_learning_rate(self.optimizer, rate)
        size = self.condition["batch_size"]
        tokens = self.rows[(n - 1) * size : n * size].to(self.device)
        self.model.train()
        with autocast(self.device, self.condition["precision"]):
            logits = self.model(input_ids=tokens, use_cache=False).logits
        loss = F.cross_entropy(logits[:, :-1].float().flatten(0, 1), tokens[:, 1:].flatten())
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        self.loss = loss.detach()
        return self.loss

    def state(self) -> dict[str, Tensor]:
        return training_state(self.model, self.optimizer)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        restore(self.model, self.optimizer, state)


def steps_of(n_rows: int, batch_size: int) -> int:
    """Optimizer steps that see each row once; the last batch may be smaller."""
    return -(-n_rows // batch_size)


def write_model(model: nn.Module, tokenizer: str, paths: Mapping[str, str], made_by: dict) -> None:
    """What makes a folder with the weights one in Hugging Face's format: ``config`` and ``tokenizer``, JSON."""
    settings = json.loads(model.config.to_json_string(use_diff=False))
    settings |= {"architectures": [type(model).__name__], "made_by": made_by}
    write_text(paths["config"], to_json(settings))
    write_text(paths["tokenizer"], tokenizer)
