"""Training a language model on packed rows of text, once, following windows as it goes."""

import json
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memorization.files import to_json
from memorization.models.language_model import LanguageModel, build
from memorization.provenance import generator
from memorization.text_files import write_text
from memorization.training.checkpoints import Unfinished, restore, training_state
from memorization.training.devices import autocast
from memorization.training.fit import Recorder, fit, log_spaced_steps, model_sizes
from memorization.training.optimizers import build_optimizer, learning_rate, set_learning_rate

CLIP = 1.0  # largest norm of a gradient
AT_ONCE = 1024  # tokens that are evaluated together


class TextLearner:
    """A language model, its optimizer and its rows of text: a ``fit.Learner``.

    The rate rises over the first steps and falls to 0 as a cosine. Every row is seen once, in the order of the packing.

    Parameters
    ----------
    condition : settings of ``language_model.build``; batch_size, learning_rate, warmup, weight_decay, precision
    rows : (n_rows, row_length) of tokens
    vocabulary : how many tokens there are
    seed : of the initial weights
    device : where it runs
    """

    def __init__(self, condition: Mapping, rows: np.ndarray, vocabulary: int, seed: int, device: str):
        self.condition, self.vocabulary, self.device = condition, vocabulary, device
        weights = generator("extraction", seed, "initialization").integers(2**63)
        self.model = build(condition, vocabulary, int(weights)).to(device)
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

    @torch.no_grad()
    def evaluate(self, windows: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Of windows (n, length) the tokens from ``start`` on, given those before: nll (n,) in nats, right (n,)."""
        model = LanguageModel(self.model, self.vocabulary, self.device)
        nll, right = np.empty(len(windows), np.float32), np.empty(len(windows), np.int64)
        at_once = max(1, AT_ONCE // windows.shape[1])
        for first in range(0, len(windows), at_once):
            here = slice(first, first + at_once)
            tokens = torch.from_numpy(windows[here].astype(np.int64)).to(self.device)
            logits, targets = model.logits(tokens)[:, start - 1 : -1], tokens[:, start:]
            losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
            nll[here] = losses.sum(dim=1).cpu()
            right[here] = (logits.argmax(dim=-1) == targets).sum(dim=1).cpu()
        return nll, right

    def state(self) -> dict[str, Tensor]:
        return training_state(self.model, self.optimizer)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        restore(self.model, self.optimizer, state)


def steps_of(n_rows: int, batch_size: int) -> int:
    """Optimizer steps that see each row once; the last batch may be smaller."""
    return -(-n_rows // batch_size)


def train(
    learner: TextLearner,
    tokens: np.ndarray,
    rows: np.ndarray,
    prefix: int,
    suffix: int,
    n_records: int,
    unfinished: Unfinished,
    report_seconds: float,
) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    """Train on all rows of text, scoring the suffixes of some windows behind one length of prefix.

    Parameters
    ----------
    learner : what is trained
    tokens : (windows, length)
    rows : (n,), the windows that are followed
    prefix, suffix : tokens that stand before, and that are scored
    n_records : log-spaced steps at which they are scored
    unfinished, report_seconds : as in ``training.fit.fit``

    Returns
    -------
    The model's tensors; of each recorded step ``step``, ``nll`` (…, n) float32 nats and ``right`` (…, n) tokens;
    ``loss`` (steps,), before each step, in nats per token; ``rows``; how many tokens are ``n_scored`` of a
    ``vocabulary``; the model's sizes.
    """
    steps, n = {*log_spaced_steps(learner.steps, n_records)}, len(rows)
    windows = tokens[rows, : prefix + suffix]
    recorder = Recorder(step=((), np.int64), nll=((n,), np.float32), right=((n,), np.int64), loss=((), np.float32))

    def record(step: int) -> None:
        if step:
            recorder.append(loss=float(learner.loss))
        if step in steps:
            nll, right = learner.evaluate(windows, prefix)
            recorder.append(step=step, nll=nll, right=right)

    fit(learner, record, recorder, learner.steps, unfinished, report_seconds)
    state = {name: tensor.detach() for name, tensor in learner.model.state_dict().items()}
    about = {"rows": rows, "n_scored": np.array(suffix), "vocabulary": np.array(learner.vocabulary)}
    return state, recorder.arrays() | about | model_sizes(learner.model)


def write_model(model: nn.Module, tokenizer: str, paths: Mapping[str, str], made_by: dict) -> None:
    """What makes a folder with the weights one in Hugging Face's format: ``config`` and ``tokenizer``, JSON."""
    settings = json.loads(model.config.to_json_string(use_diff=False))
    settings |= {"architectures": [type(model).__name__], "made_by": made_by}
    write_text(paths["config"], to_json(settings))
    write_text(paths["tokenizer"], tokenizer)
