"""What the memories retrieve at every place of some texts."""

from collections.abc import Iterator

import numpy as np
import torch

from memorization.memory_layer.model import answer_logits, memories
from memorization.memory_layer.training import Facts
from memorization.models.decoder import Decoder
from memorization.models.memory_layer import FlatKeyMemory

PLACES = 8192  # at once
NUMBERS = 2**26  # logits, or scores of flat keys, at once, of which nothing is kept: 256 MB


@torch.no_grad()
def retrievals(model: Decoder, facts: Facts, rows: np.ndarray) -> Iterator[dict[int, tuple[np.ndarray, ...]]]:
    """Retrievals at every token of some rows, row by row as in ``places``, in parts of bounded size.

    Each token has its own. A token of an answer is predicted from the retrievals of the token before it.

    Yields
    ------
    by layer with a memory: scores, weights, slots, each (places of the part, n_heads, top_k), best first
    """
    model.eval()
    layers = memories(model).values()
    if not layers:
        return
    flat = [memory.n_heads * memory.n_slots for memory in layers if isinstance(memory, FlatKeyMemory)]
    most = max(1, min(PLACES, NUMBERS // max(facts.vocabulary, *flat, 1)) // facts.length)
    for first in range(0, len(rows), most):
        tokens, _, _, lengths, _ = facts.batch(rows[first : first + most])
        there = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        at, columns = there.nonzero(as_tuple=True)
        _, found = answer_logits(model, tokens, at, columns + 1, lengths)
        yield {layer: tuple(each.cpu().numpy() for each in kept) for layer, *kept in found}
