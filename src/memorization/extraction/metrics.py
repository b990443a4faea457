"""What is measured of a text, given a model's logits for it.

Logits at a place are those of the token at that place, given the tokens before it: who runs a model over a text
shifts by one and leaves out the text's first token, which nothing stands before. Tokens are compared, never strings.
Logits may be ``-inf`` where a token cannot be. Arrays of numpy do as well as tensors.
"""

import math
import zlib

import numpy as np
import torch
from torch import Tensor

from memorization.extraction.sampling import log_suffix_probability, of_targets, with_targets

LEAST_DEVIATION = 1e-6  # nats; of a distribution that is sure or uniform


def teacher_forced_match(logits: Tensor, targets: Tensor) -> Tensor:
    """Where the likeliest token is the true one, given the true ones before it.

    All of a suffix match exactly when greedy decoding reproduces it (Carlini et al. 2022, arXiv 2202.07646).

    Parameters
    ----------
    logits : (batch, k, vocabulary)
    targets : (batch, k)

    Returns
    -------
    (batch, k) bool.
    """
    logits, targets = with_targets(logits, targets)
    return logits.argmax(dim=-1) == targets


def token_nll(logits: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood of each token, in nats: (…, L, vocabulary), (…, L) -> (…, L) float32."""
    logits, targets = with_targets(logits, targets)
    logits = logits.float()
    return logits.logsumexp(dim=-1) - of_targets(logits, targets)


def zlib_bytes(text: str) -> int:
    """How many bytes zlib makes of a text in UTF-8 (Carlini et al. 2021, arXiv 2012.07805)."""
    return len(zlib.compress(text.encode("utf-8")))


def min_k(log_probs: Tensor, k: float) -> Tensor:
    """Min-K% Prob: the mean of the lowest max(1, ⌊kL⌋) log-probabilities (Shi et al. 2023, arXiv 2310.16789).

    Parameters
    ----------
    log_probs : (…, L), nats
    k : share of the tokens, 0 < k ≤ 1

    Returns
    -------
    (…,) nats.

    Raises
    ------
    ValueError
        If ``k`` is out of range, or there are no tokens.
    """
    log_probs = torch.as_tensor(log_probs)
    if not 0 < k <= 1:
        raise ValueError(f"k: {k}, but a share of the tokens is over 0 and at most 1")
    length = _length(log_probs)
    count = max(1, math.floor(k * length + 1e-9))  # .29 of 100 tokens are 29, whatever the product rounds to
    return log_probs.sort(dim=-1).values[..., :count].mean(dim=-1)


def standardized_log_probs(logits: Tensor, targets: Tensor) -> Tensor:
    """(log p - μ) / σ of each token: its log-probability among those of all tokens at its place.

    μ and σ are the mean and the deviation of log p under p: σ² = Σ p (log p - μ)², in a pass of its own after μ, in
    float32. Tokens that cannot be count for nothing; σ is at least 1e-6 nats.

    Parameters
    ----------
    logits : (…, L, vocabulary)
    targets : (…, L)

    Returns
    -------
    (…, L) float32.
    """
    logits, targets = with_targets(logits, targets)
    log_probs = logits.float().log_softmax(dim=-1)
    probs = log_probs.exp()
    finite = log_probs.masked_fill(probs == 0, 0)  # 0 · -inf is no number
    mean = (probs * finite).sum(dim=-1)
    variance = (probs * (finite - mean[..., None]) ** 2).sum(dim=-1)
    return (of_targets(log_probs, targets) - mean) / variance.sqrt().clamp(min=LEAST_DEVIATION)


def min_k_plus_plus(logits: Tensor, targets: Tensor, k: float) -> Tensor:
    """Min-K%++: ``min_k`` of ``standardized_log_probs`` (Zhang et al. 2024, arXiv 2404.02936).

    Parameters
    ----------
    logits : (…, L, vocabulary)
    targets : (…, L)
    k : share of the tokens, 0 < k ≤ 1

    Returns
    -------
    (…,).

    Raises
    ------
    ValueError
        If ``k`` is out of range, or there are no tokens.
    """
    return min_k(standardized_log_probs(logits, targets), k)


def window_min_perplexity(nll: Tensor, window: int) -> Tensor:
    """The least perplexity of min(window, L) tokens in a row (Carlini et al. 2021, arXiv 2012.07805, of 50).

    Parameters
    ----------
    nll : (…, L), nats per token
    window : tokens

    Returns
    -------
    (…,) float64.

    Raises
    ------
    ValueError
        If ``window`` is not positive, or there are no tokens.
    """
    nll = torch.as_tensor(nll).double()
    if window < 1:
        raise ValueError(f"window: {window}, but it has at least 1 token")
    return nll.unfold(-1, min(window, _length(nll)), 1).mean(dim=-1).amin(dim=-1).exp()


def biderman_score(generated: Tensor, target: Tensor) -> Tensor:
    """The share of a suffix's tokens that stand where they should (Biderman et al. 2023, arXiv 2304.11158).

    Parameters
    ----------
    generated, target : (…, k), the greedy continuation and the suffix

    Returns
    -------
    (…,) float64.

    Raises
    ------
    ValueError
        If they are not of one length.
    """
    generated, target = torch.as_tensor(generated), torch.as_tensor(target)
    if generated.shape[-1] != target.shape[-1]:
        raise ValueError(f"generated: {generated.shape[-1]} tokens, but the target has {target.shape[-1]}")
    return (generated == target).double().mean(dim=-1)


def suffix_probability(logits: Tensor, targets: Tensor, temperature: float, top_k: int | None) -> Tensor:
    """p_z: how likely one draw is the suffix (Hayes et al. 2024, arXiv 2410.19482).

    Parameters
    ----------
    logits : (batch, k, vocabulary)
    targets : (batch, k)
    temperature, top_k : as in ``sampling.sampling_distribution``

    Returns
    -------
    (batch,) float64; 0 where a token is none of the ``top_k``.

    Raises
    ------
    ValueError
        If ``temperature`` or ``top_k`` is not positive.
    """
    return log_suffix_probability(logits, targets, temperature, top_k).exp()


def draws_needed(p_z: float | np.ndarray, p: float) -> float | np.ndarray:
    """The fewest draws of which one or more is the suffix with probability p: n ≥ log(1 - p) / log(1 - p_z).

    (n, p)-discoverable extraction, Hayes et al. 2024, arXiv 2410.19482.

    Parameters
    ----------
    p_z : how likely one draw is the suffix, from 0 to 1; any shape
    p : over 0 and under 1

    Returns
    -------
    A whole number, as a float, or float64 of the shape of ``p_z``; 1 where p_z is 1, infinite where it is 0.

    Raises
    ------
    ValueError
        If a probability is out of range.
    """
    probability = np.asarray(p_z, np.float64)
    if not 0 < p < 1:
        raise ValueError(f"p: {p}, but it is over 0 and under 1")
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError(f"p_z: {p_z}, but a probability is from 0 to 1")
    with np.errstate(divide="ignore", over="ignore"):
        draws = np.divide(np.log1p(-p), np.log1p(-probability))
    draws = np.maximum(1, np.ceil(draws * (1 - 1e-12)))  # log .25 / log .5 is 2, not 3, whatever it rounds to
    return draws if draws.ndim else float(draws)


def _length(values: Tensor) -> int:
    if not values.ndim or not values.shape[-1]:
        raise ValueError("there are no tokens")
    return values.shape[-1]
