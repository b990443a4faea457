"""A training step of grokking: the answer alone with shared prefixes, against the plain decoder on six tokens."""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from memorization.grokking.task.model import answer_logits, build, tokens
from memorization.models.decoder import Decoder
from memorization.training.devices import seed_torch, set_up

P, BATCH, STEPS = 97, 512, 5
SIZE = {"n_layers": 2, "n_heads": 4, "d_model": 128}


def make() -> tuple[Callable[[], None], Callable[[], None]]:
    set_up("cpu", threads=1)
    seed_torch("benchmark", 0)
    a, b = torch.randint(0, P, (2, BATCH))
    c = (a + b) % P
    six = torch.cat([tokens(a, b, P), c[:, None]], dim=1)  # <eos> a ∘ b = c, as the source has it
    ours = build(SIZE, P)
    plain = Decoder(
        P + 3, P + 3, six.shape[1], positions="sinusoidal", norm="after", activation="relu", bias=False, **SIZE
    )

    def side(model: Decoder, logits: Callable[[], torch.Tensor]) -> Callable[[], None]:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), fused=True)

        def run() -> None:
            for _ in range(STEPS):
                loss = F.cross_entropy(logits(), c)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

        return run

    return side(ours, lambda: answer_logits(ours, a, b)), side(plain, lambda: plain(six)[:, 4])


ROWS = [(f"grokking, {STEPS} steps on the answer alone, p={P}, batch {BATCH}", "plain decoder, six tokens", 2.5, make)]
