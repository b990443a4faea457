"""How likely sampling draws a suffix that differs from the true one in one token or none.

A suffix with another token at one place has a probability of its own: that of all tokens after it changes too. So each
such suffix takes a pass, but where the other token is the last one.
"""

import numpy as np
import torch
from torch import Tensor

from memorization.extraction.passes import Batches, as_tokens
from memorization.extraction.sampling import of_targets, sampling_distribution, sampling_log_probs
from memorization.models.language_model import LanguageModel


def mass(
    model: LanguageModel,
    prefix: np.ndarray,
    suffix: np.ndarray,
    temperature: float,
    top_k: int | None,
    batch_tokens: int,
) -> tuple[float, float]:
    """The probability of all suffixes within Hamming distance 1 of the true one, each of them computed.

    Parameters
    ----------
    model : of logits
    prefix, suffix : (n,) and (k,) token ids
    temperature, top_k : of sampling, as in ``sampling.sampling_distribution``
    batch_tokens : computed at once

    Returns
    -------
    p_z, that of the true suffix; and the mass, at least p_z.
    """
    return _within_one(model, prefix, suffix, temperature, top_k, batch_tokens, model.vocabulary - 1)


def lower_bound(
    model: LanguageModel,
    prefix: np.ndarray,
    suffix: np.ndarray,
    temperature: float,
    top_k: int | None,
    batch_tokens: int,
    substitutes: int,
) -> tuple[float, float]:
    """A part of ``mass``: of the suffixes with another token at a place, those of the likeliest ``substitutes``.

    It is certified: a sum of probabilities of different suffixes, all of which ``mass`` counts. So are the bounds of
    decoding-constrained beam search (Cooper et al. 2026, arXiv 2603.24917). The last place takes no pass, and counts
    whole.

    Parameters
    ----------
    model, prefix, suffix, temperature, top_k, batch_tokens : ``mass``'s
    substitutes : other tokens a place, 0 or more

    Returns
    -------
    p_z, and the bound: at least p_z, at most the mass.

    Raises
    ------
    ValueError
        If ``substitutes`` is negative.
    """
    if substitutes < 0:
        raise ValueError(f"substitutes: {substitutes}, but it is at least 0")
    return _within_one(model, prefix, suffix, temperature, top_k, batch_tokens, min(substitutes, model.vocabulary - 1))


@torch.no_grad()
def _within_one(
    model: LanguageModel,
    prefix: np.ndarray,
    suffix: np.ndarray,
    temperature: float,
    top_k: int | None,
    batch_tokens: int,
    substitutes: int,
) -> tuple[float, float]:
    n, k = len(prefix), len(suffix)
    true, targets = as_tokens(np.concatenate([prefix, suffix])), as_tokens(suffix)
    drawn = sampling_distribution(model.logits(true[None])[0, n - 1 : -1], temperature, top_k).cpu()  # (k, vocabulary)
    of_true = of_targets(drawn, targets)
    reached = torch.cat([torch.zeros(1, dtype=drawn.dtype), of_true.cumsum(dim=0)])[:k]  # true tokens before each place
    others = drawn.scatter(1, targets[:, None], -torch.inf)
    p_z = of_true.sum().exp()
    last = (reached[-1] + others[-1].logsumexp(dim=0)).exp()
    so_far, token = (reached[:-1, None] + others[:-1]).topk(substitutes, dim=1)
    place, rank = torch.nonzero(so_far > -torch.inf, as_tuple=True)
    if not len(place):
        return p_z.item(), (p_z + last).item()

    def after(place: Tensor, token: Tensor) -> dict[str, Tensor]:
        """Of true suffixes but for ``token`` at ``place``, both (rows,), the tokens behind it."""
        rows = true.repeat(len(place), 1)
        rows[torch.arange(len(place)), n + place] = token
        logits = model.logits(rows)[:, n - 1 : -1]
        log_probs = sampling_log_probs(logits, rows[:, n:], temperature, top_k).cpu()
        behind = torch.arange(k) > place[:, None]
        return {"log_probs": log_probs.where(behind, torch.zeros_like(log_probs)).sum(dim=1)}

    found = Batches(batch_tokens, model.vocabulary).map(after, place, token[place, rank], length=n + k)["log_probs"]
    return p_z.item(), (p_z + last).item() + np.exp(so_far[place, rank].numpy() + found).sum().item()
