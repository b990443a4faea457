"""How likely sampling draws a token: with a temperature first, then from the likeliest tokens, renormalised."""

import torch
from torch import Tensor


def sampling_distribution(logits: Tensor, temperature: float, top_k: int | None) -> Tensor:
    """Log-probabilities of sampling with a temperature, then from the ``top_k`` likeliest tokens, renormalised.

    Tokens as likely as the last of the ``top_k`` are drawn too, as by transformers.

    Parameters
    ----------
    logits : (…, vocabulary)
    temperature : over 0
    top_k : None for all tokens

    Returns
    -------
    (…, vocabulary) float64 nats; ``-inf`` where a token is never drawn.

    Raises
    ------
    ValueError
        If ``temperature`` or ``top_k`` is not positive.
    """
    logits = torch.as_tensor(logits)
    least, total = _kept(logits, temperature, top_k)
    log_probs = logits.double() / temperature - total[..., None]
    return log_probs.masked_fill(logits < least[..., None], -torch.inf)


def sampling_log_probs(logits: Tensor, targets: Tensor, temperature: float, top_k: int | None) -> Tensor:
    """``sampling_distribution`` of the true tokens alone: (…, L, vocabulary), (…, L) -> (…, L) float64 nats."""
    logits, targets = with_targets(logits, targets)
    least, total = _kept(logits, temperature, top_k)
    chosen = of_targets(logits, targets)
    return (chosen.double() / temperature - total).masked_fill(chosen < least, -torch.inf)


def log_suffix_probability(logits: Tensor, targets: Tensor, temperature: float, top_k: int | None) -> Tensor:
    """log p_z of ``metrics.suffix_probability``, which does not vanish: (…,) float64 nats; ``-inf`` where p_z is 0."""
    return sampling_log_probs(logits, targets, temperature, top_k).sum(dim=-1)


def with_targets(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (…, vocabulary) and the tokens (…) that they are for, as tensors on one device.

    Raises
    ------
    ValueError
        If there are not as many of them.
    """
    logits, targets = torch.as_tensor(logits), torch.as_tensor(targets)
    if logits.shape[:-1] != targets.shape:
        raise ValueError(f"logits: of {tuple(logits.shape[:-1])} tokens, but the targets are {tuple(targets.shape)}")
    return logits, targets.to(logits.device, torch.int64)


def of_targets(values: Tensor, targets: Tensor) -> Tensor:
    """Of values of all tokens those of the true ones: (…, vocabulary), (…) -> (…)."""
    return values.gather(-1, targets[..., None])[..., 0]


def _kept(logits: Tensor, temperature: float, top_k: int | None) -> tuple[Tensor, Tensor]:
    """The least logit that is drawn, and the logarithm of what the probabilities are divided by, float64.

    The order of temperature and ``top_k`` matters for the probabilities alone: a temperature changes no ranks.
    """
    if not temperature > 0:
        raise ValueError(f"temperature: {temperature}, but it is over 0")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k: {top_k}, but it is at least 1, or null for all tokens")
    if top_k is None or top_k >= logits.shape[-1]:
        every = logits.double() / temperature
        total = every.logsumexp(dim=-1)
        return torch.full_like(total, -torch.inf), total
    top = logits.topk(top_k, dim=-1).values
    least = top[..., -1]
    ties = (logits >= least[..., None]).sum(dim=-1) - top_k
    top = top.double() / temperature
    top[..., -1] += ties.double().log1p()
    return least, top.logsumexp(dim=-1)
