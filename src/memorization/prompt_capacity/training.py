"""Training a base model: a small Llama, on text that it sees once."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from memorization.prompt_capacity import FAMILY
from memorization.provenance import generator
from memorization.text_learner import TextLearner
from memorization.training.checkpoints import Unfinished
from memorization.training.fit import Recorder, fit


def base_learner(condition: Mapping, rows: np.ndarray, vocabulary: int, seed: int, device: str) -> TextLearner:
    """A new model and its rows, in an order of the seed's.

    Parameters
    ----------
    condition : settings of ``TextLearner``
    rows : (n_rows, row_length) of tokens
    """
    weights = int(generator(FAMILY, seed, "initialization").integers(2**63))
    order = generator(FAMILY, seed, "order of rows").permutation(len(rows))
    return TextLearner(condition, rows[order], vocabulary, weights, device)


def train(learner: TextLearner, unfinished: Unfinished, report_seconds: float) -> dict[str, Tensor]:
    """The model's tensors after all rows."""
    fit(learner, lambda step: None, Recorder(), learner.steps, unfinished, report_seconds)
    return {name: tensor.detach() for name, tensor in learner.model.state_dict().items()}
