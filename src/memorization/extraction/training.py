"""Training a language model on packed rows of text, once, following windows as it goes."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from memorization.models.language_model import LanguageModel
from memorization.provenance import generator
from memorization.text_learner import TextLearner
from memorization.training.checkpoints import Unfinished
from memorization.training.fit import Recorder, fit, log_spaced_steps, model_sizes

AT_ONCE = 1024  # tokens that are evaluated together


def initial_weights(seed: int) -> int:
    """The seed of a model's initial weights, the same for all conditions of one seed of a run."""
    return int(generator("extraction", seed, "initialization").integers(2**63))


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
            nll, right = evaluate(learner, windows, prefix)
            recorder.append(step=step, nll=nll, right=right)

    fit(learner, record, recorder, learner.steps, unfinished, report_seconds)
    state = {name: tensor.detach() for name, tensor in learner.model.state_dict().items()}
    about = {"rows": rows, "n_scored": np.array(suffix), "vocabulary": np.array(learner.vocabulary)}
    return state, recorder.arrays() | about | model_sizes(learner.model)


@torch.no_grad()
def evaluate(learner: TextLearner, windows: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Of windows (n, length) the tokens from ``start`` on, given those before: nll (n,) in nats, right (n,)."""
    model = LanguageModel(learner.model, learner.vocabulary, learner.device)
    nll, right = np.empty(len(windows), np.float32), np.empty(len(windows), np.int64)
    at_once = max(1, AT_ONCE // windows.shape[1])
    for first in range(0, len(windows), at_once):
        here = slice(first, first + at_once)
        tokens = torch.from_numpy(windows[here].astype(np.int64)).to(learner.device)
        logits, targets = model.logits(tokens)[:, start - 1 : -1], tokens[:, start:]
        losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        nll[here] = losses.sum(dim=1).cpu()
        right[here] = (logits.argmax(dim=-1) == targets).sum(dim=1).cpu()
    return nll, right
