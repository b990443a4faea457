"""Attacks from other places: windows behind unrelated tokens, and prompts all along a document."""

from collections.abc import Mapping

import numpy as np

from memorization.extraction.passes import Batches, suffix_scores, token_scores
from memorization.extraction.prompts import longest_prompt, tokens_needed
from memorization.models.language_model import LanguageModel


def behind(model: LanguageModel, tokens: np.ndarray, fillers: np.ndarray, settings: Mapping) -> dict[str, np.ndarray]:
    """The attack with the longest prompt of each window, behind unrelated tokens; behind none it is the plain one.

    Parameters
    ----------
    model : what is attacked
    tokens : (n, L) token ids of windows
    fillers : (n, m) token ids that stand before the windows
    settings : ``lengths``, ``temperature``, ``top_k``, ``batch_tokens``, as in ``attack.attack``

    Returns
    -------
    (n,) each: ``exact`` bool, ``matched_run`` int64, ``log_p_z`` float64.

    Raises
    ------
    ValueError
        If the prompt leaves the window, or a prompt is longer than the model takes with the tokens before it.
    """
    prompt, m = longest_prompt(settings["lengths"]), fillers.shape[1]
    if tokens_needed([(prompt.prefix_length, prompt.suffix_length)]) > tokens.shape[1]:
        raise ValueError(f"lengths: a prompt of {prompt.end} tokens, but windows have {tokens.shape[1]}")
    rows = np.concatenate([fillers, tokens[:, : prompt.end]], axis=1)
    batches = Batches(settings["batch_tokens"], model.vocabulary)
    scores = token_scores(model, rows, settings["temperature"], settings["top_k"], batches)
    found = suffix_scores(scores, m + prompt.suffix_start, m + prompt.end)
    return {name: found[name] for name in ("exact", "matched_run", "log_p_z")}


def sliding(
    model: LanguageModel,
    document: np.ndarray,
    prefix_length: int,
    suffix_length: int,
    stride: int,
    temperature: float,
    top_k: int | None,
    batch_tokens: int,
) -> dict[str, np.ndarray]:
    """How likely each part of a document is drawn after its prefix alone (Cooper et al. 2025, arXiv 2505.12546).

    Parameters
    ----------
    model : what is attacked
    document : (T,) token ids
    prefix_length, suffix_length : of each prompt, in tokens; nothing else of the document stands before a prefix
    stride : tokens from one prompt to the next
    temperature, top_k : of sampling, as in ``sampling.sampling_distribution``
    batch_tokens : computed at once

    Returns
    -------
    (prompts,) each: ``start`` int64, where in the document the prefix begins; ``log_p_z`` float64; ``exact`` bool.

    Raises
    ------
    ValueError
        If the document is shorter than a prompt, or a length is not positive.
    """
    length = prefix_length + suffix_length
    if min(prefix_length, suffix_length, stride) < 1:
        raise ValueError(f"prefix {prefix_length}, suffix {suffix_length}, stride {stride}: each is at least 1 token")
    if len(document) < length:
        raise ValueError(f"document: {len(document)} tokens, but a prompt has {length}")
    starts = np.arange(0, len(document) - length + 1, stride)
    rows = np.lib.stride_tricks.sliding_window_view(document, length)[starts]
    found = suffix_scores(
        token_scores(model, rows, temperature, top_k, Batches(batch_tokens, model.vocabulary)), prefix_length, length
    )
    return {"start": starts, "log_p_z": found["log_p_z"], "exact": found["exact"]}
