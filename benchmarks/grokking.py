"""grokking: a training step on the answer alone with shared prefixes, against the plain decoder on six tokens;
eigenvalues of Hankel-DMD at the size of a run, against PyDMD's, at equal accuracy.
"""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
from modules import Case
from pydmd import HankelDMD
from torch import Tensor
from torch.nn import functional as F

from memorization.grokking.conditions import Grokking
from memorization.grokking.dynamics.dmd import dmd_eigenvalues, spectral_distance
from memorization.grokking.task.model import answer_logits, build, tokens
from memorization.models.decoder import Decoder
from memorization.training.devices import seed_torch, set_up

P, BATCH, STEPS = 97, 512, 5
SIZE = {"n_layers": 2, "n_heads": 4, "d_model": 128}
SNAPSHOTS, CHANNELS, DELAYS, RANK = 3001, 19, 32, 10


def trains(model: Decoder, logits: Callable[[], Tensor], c: Tensor, learning_rate: float) -> Callable[[], Tensor]:
    """A training step on one batch, whose answers are ``c``."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), fused=True)

    def step() -> Tensor:
        loss = F.cross_entropy(logits(), c)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def steps() -> tuple[Callable[[], None], Callable[[], None]]:
    set_up("cpu", threads=1)
    seed_torch("benchmark", 0)
    a, b = torch.randint(0, P, (2, BATCH))
    c = (a + b) % P
    six = torch.cat([tokens(a, b, P), c[:, None]], dim=1)  # <eos> a ∘ b = c, as the source has it
    ours = build(SIZE, P)
    plain = Decoder(
        P + 3, P + 3, six.shape[1], positions="sinusoidal", norm="after", activation="relu", bias=False, **SIZE
    )

    def run(step: Callable[[], Tensor]) -> None:
        for _ in range(STEPS):
            step()

    sides = trains(ours, lambda: answer_logits(ours, a, b), c, 1e-3), trains(plain, lambda: plain(six)[:, 4], c, 1e-3)
    return tuple(lambda side=side: run(side) for side in sides)


def snapshots() -> np.ndarray:
    """Ten smooth modes in 19 channels and a little noise: (3001, 19)."""
    rng = np.random.default_rng(0)
    angles, t = np.array([0.002, 0.01, 0.05, 0.2, 0.6]), np.arange(SNAPSHOTS)[:, None]
    courses = 0.9995**t * np.concatenate([np.cos(angles * t), np.sin(angles * t)], axis=1)
    return courses @ rng.standard_normal((10, CHANNELS)) + 1e-3 * rng.standard_normal((SNAPSHOTS, CHANNELS))


def eigenvalues() -> tuple[Callable[[], np.ndarray], Callable[[], np.ndarray]]:
    data = snapshots()

    def theirs() -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the condition number of a Hankel matrix
            return HankelDMD(svd_rank=RANK, d=DELAYS).fit(data.T).eigs

    def ours() -> np.ndarray:
        return dmd_eigenvalues(data, DELAYS, RANK)

    if spectral_distance(ours(), theirs()) * RANK > 1e-8:
        raise RuntimeError("the two sides give different eigenvalues")
    return ours, theirs


WHAT = f"grokking, DMD eigenvalues, T={SNAPSHOTS}, {CHANNELS} channels, d={DELAYS}"
ROWS = [
    (f"grokking, {STEPS} steps on the answer alone, p={P}, batch {BATCH}", "plain decoder, six tokens", 2.5, steps),
    (WHAT, "PyDMD's HankelDMD", 4.0, eigenvalues),
]


def cases(config: dict, device: str) -> Iterator[Case]:
    """The first condition, on one batch. A step takes less than a plain decoder's FLOPs, so none are said."""
    family = Grokking(config["grokking"])
    name = family.names[0]
    settings, p = family.settings(name), family.dataset(name)["p"]
    seed_torch("benchmark", 0)
    model = build(settings, p).to(device)
    a, b = torch.randint(0, p, (2, settings["batch_size"]), device=device)
    step = trains(model, lambda: answer_logits(model, a, b), (a + b) % p, settings["learning_rate"])
    yield Case(name, "float32", lambda n: step())
