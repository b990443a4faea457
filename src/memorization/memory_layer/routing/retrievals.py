"""What the memories retrieve at every place of some texts."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch

from memorization.memory_layer.model import answer_logits, memories
from memorization.memory_layer.training import Facts, answers
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


def slot_use(model: Decoder, facts: Facts, rows: np.ndarray) -> pd.DataFrame:
    """What the answer of each row retrieves.

    Returns
    -------
    DataFrame indexed by the rows: ``n_slots``, different ones over its tokens, heads and layers (a slot of another
    layer is another); ``weight_entropy_bits`` of a head's weights at a token, the mean. Empty without a memory.
    """
    parts = [pd.DataFrame({"n_slots": [], "weight_entropy_bits": []}, index=pd.Index([], dtype=np.int64))]
    for part, at, _, _, retrieved in answers(model, facts, rows):
        row, counts, bits = part[at.cpu().numpy()], [], []
        for _, _, weights, slots in retrieved:
            w = weights.double().cpu().numpy()
            logs = np.log2(w, out=np.zeros_like(w), where=w > 0)
            bits.append(-(w * logs).sum(axis=-1).mean(axis=-1))
            pairs = np.unique(
                np.stack([np.broadcast_to(row[:, None, None], w.shape), slots.cpu().numpy()]).reshape(2, -1), axis=1
            )
            counts.append(pd.Series(pairs[0]).value_counts())
        if retrieved:
            of_row = pd.Series(np.mean(bits, axis=0)).groupby(row).mean()
            parts.append(pd.DataFrame({"n_slots": sum(counts), "weight_entropy_bits": of_row}))
    return pd.concat(parts[1:] or parts)
