"""extraction: training Mamba with our scan; one pass instead of a generation for each prefix."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from memorization.extraction.passes import Batches, greedy, token_scores
from memorization.extraction.prompts import prompts
from memorization.models.language_model import LanguageModel, build
from memorization.training.devices import set_up

VOCABULARY, ROWS_OF_A_STEP, LENGTH = 1024, 2, 320
SIZES = {"neox": {"n_layers": 3, "d_model": 160}, "mamba": {"n_layers": 5, "d_model": 160}}  # of the default study's m
SHAPE = {"n_heads": 4, "rotary_share": 1.0, "state_size": 16, "max_length": 512, "init_std": 0.02}
LENGTHS = [[8, 16], [16, 16], [24, 16], [32, 16], [40, 16], [48, 16]]
WINDOWS = 48

Sides = Callable[[], tuple[Callable[[], None], Callable[[], None]]]


def model(architecture: str, scan: str = "own") -> torch.nn.Module:
    return build(SHAPE | SIZES[architecture] | {"architecture": architecture, "scan": scan}, VOCABULARY)


def training() -> tuple[Callable[[], None], Callable[[], None]]:
    """Forward and backward of a step's rows, with our scan and as transformers computes where it has no kernels."""
    set_up("cpu", threads=1)
    tokens = torch.from_numpy(np.random.default_rng(0).integers(VOCABULARY, size=(ROWS_OF_A_STEP, LENGTH)))

    def side(scan: str) -> Callable[[], None]:
        ours = model("mamba", scan).train()

        def run() -> None:
            logits = ours(input_ids=tokens, use_cache=False).logits
            F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).backward()
            ours.zero_grad()

        return run

    return side("own"), side("mamba_ssm")


def attack(architecture: str) -> Sides:
    """The decision over six prefixes of each window."""

    def make() -> tuple[Callable[[], None], Callable[[], None]]:
        set_up("cpu", threads=1)
        ours = LanguageModel(model(architecture), VOCABULARY)
        windows = np.random.default_rng(0).integers(VOCABULARY, size=(WINDOWS, 64))
        asked = [prompt for prompt in prompts(LENGTHS) if prompt.protocol == "fixed_start"]

        def forced() -> None:
            token_scores(ours, windows, 1.0, 40, Batches(4096))

        def generated() -> None:
            for prompt in asked:
                greedy(ours, windows, prompt, Batches(4096))

        return forced, generated

    return make


ROWS = [
    (f"extraction, Mamba, forward and backward, {ROWS_OF_A_STEP} × {LENGTH} tokens", "transformers", 6.0, training),
    *(
        (f"extraction, {name}, six prefixes of {WINDOWS} windows, one pass", "batched `generate`", 3.0, attack(name))
        for name in SIZES
    ),
]
