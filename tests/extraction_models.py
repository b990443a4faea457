"""Tiny models, untrained, for several test files of the family extraction: what they say is sharp, and is nonsense."""

import numpy as np
import torch

from memorization.models.language_model import LanguageModel, build
from memorization.provenance import generator

SHAPE = {
    "n_layers": 2, "d_model": 16, "n_heads": 2, "rotary_share": 1.0, "state_size": 4, "max_length": 128,
    "init_std": 0.4, "scan": "own",
}  # fmt: skip


def tiny(architecture: str, vocabulary: int = 40) -> LanguageModel:
    return LanguageModel(build(SHAPE | {"architecture": architecture}, vocabulary), vocabulary)


def known_windows(model: LanguageModel, n: int, prefix: int, length: int) -> np.ndarray:
    """Windows that a model goes on with from ``prefix`` tokens on; of the second half one token is another, at random.

    Returns
    -------
    (n, length) int32.
    """
    rng = generator("test", 0, "windows")
    begun = torch.from_numpy(rng.integers(model.vocabulary, size=(n, prefix)))
    tokens = torch.cat([begun, model.continue_greedily(begun, length - prefix)], dim=1).numpy().astype(np.int32)
    for row in range(n // 2, n):
        place = rng.integers(prefix, length)
        tokens[row, place] = (tokens[row, place] + 1) % model.vocabulary
    return tokens
