"""Passes of a model over texts, as many at once as memory takes, and what they say of each token.

Texts of one pass are of one length, never padded.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from memorization.extraction.metrics import (
    standardized_log_probs,
    teacher_forced_match,
    token_nll,
)
from memorization.extraction.prompts import Prompt
from memorization.extraction.sampling import sampling_log_probs
from memorization.models.language_model import LanguageModel

LOGITS = 2**27  # at once
NO_MEMORY = ("out of memory", "allocate memory", "ALLOC_FAILED")  # of CUDA, of the CPU, of cuBLAS


class Batches:
    """How many tokens are computed at once: half as many from each time on that memory is too small.

    Parameters
    ----------
    tokens : at most so many in a batch, which has at least one row
    vocabulary : fewer where these tokens have too many logits; 3 GB are needed of ``LOGITS``
    """

    def __init__(self, tokens: int, vocabulary: int = 1):
        self.tokens = min(tokens, LOGITS // vocabulary)

    def rows(self, length: int) -> int:
        """How many texts of ``length`` tokens are computed at once."""
        return max(1, self.tokens // length)

    def map(self, compute: Callable[..., dict[str, Tensor]], *rows: Tensor, length: int) -> dict[str, np.ndarray]:
        """What ``compute`` says of rows, batch by batch, put together again.

        Parameters
        ----------
        compute : of tensors with some of the rows, to tensors with as many, by name
        rows : (n, …) each, n > 0
        length : tokens that a row is to the model

        Raises
        ------
        RuntimeError
            If memory is too small for one row.
        """
        parts, done = [], 0
        while done < len(rows[0]):
            count = min(self.rows(length), len(rows[0]) - done)
            try:
                made = compute(*(each[done : done + count] for each in rows))
                parts.append({name: values.cpu().numpy() for name, values in made.items()})
            except RuntimeError as error:
                if count == 1 or not any(words in str(error) for words in NO_MEMORY):
                    raise
            else:
                done += count
                continue
            self.tokens = count // 2 * length  # outside of except, where the error still holds what does not fit
            torch.cuda.empty_cache()
            print(f"out of memory with {count} texts of {length} tokens: going on with {count // 2}", flush=True)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def token_scores(
    model: LanguageModel,
    rows: np.ndarray,
    temperature: float,
    top_k: int | None,
    batches: Batches,
    standardized: bool = False,
) -> dict[str, np.ndarray]:
    """What a model says of each token of texts but their first, given the true tokens before it.

    Parameters
    ----------
    model : of logits
    rows : (n, L) token ids, n > 0, L > 1
    temperature, top_k : as in ``sampling.sampling_distribution``
    batches : how many are computed at once
    standardized : whether ``standardized`` is wanted too, which takes more passes over the logits

    Returns
    -------
    Of tokens 1 … L - 1, (n, L - 1): ``right`` bool, whether it is the likeliest; ``nll`` float32 nats; ``sampled``
    float64, its log-probability in sampling; ``standardized`` float32, of ``metrics.standardized_log_probs``.

    Raises
    ------
    ValueError
        If a loss is not a number.
    """

    @torch.no_grad()
    def compute(tokens: Tensor) -> dict[str, Tensor]:
        logits = model.logits(tokens)[:, :-1]
        targets = tokens[:, 1:].to(logits.device)
        scores = {
            "right": teacher_forced_match(logits, targets),
            "nll": token_nll(logits, targets),
            "sampled": sampling_log_probs(logits, targets, temperature, top_k),
        }
        if standardized:
            scores["standardized"] = standardized_log_probs(logits, targets)
        return scores

    scores = batches.map(compute, as_tokens(rows), length=rows.shape[1])
    if np.isnan(scores["nll"]).any():
        raise ValueError("the model's losses are not all numbers")
    return scores


def suffix_scores(scores: dict[str, np.ndarray], first: int, end: int) -> dict[str, np.ndarray]:
    """What ``token_scores`` say of suffixes.

    Parameters
    ----------
    scores : of n texts
    first, end : the suffixes are tokens ``first`` … ``end`` - 1, first > 0

    Returns
    -------
    (n,) each: ``exact`` bool, whether greedy decoding gives the suffix; ``matched_run``, how many of its tokens greedy
    decoding gives before the first wrong one; ``suffix_nll`` float64, nats per token; ``log_p_z`` float64.
    """
    right, nll, sampled = (scores[name][:, first - 1 : end - 1] for name in ("right", "nll", "sampled"))
    return {
        "exact": right.all(axis=1),
        "matched_run": right.cumprod(axis=1).sum(axis=1),
        "suffix_nll": nll.mean(axis=1, dtype=np.float64),
        "log_p_z": sampled.sum(axis=1),
    }


def greedy(model: LanguageModel, rows: np.ndarray, prompt: Prompt, batches: Batches) -> np.ndarray:
    """The greedy continuations of a prompt in windows: (n, L) -> (n, suffix_length)."""
    prefixes = as_tokens(rows[:, prompt.start : prompt.suffix_start])

    def compute(tokens: Tensor) -> dict[str, Tensor]:
        return {"continuation": model.continue_greedily(tokens, prompt.suffix_length)}

    return batches.map(compute, prefixes, length=prompt.end - prompt.start)["continuation"]


def window_nll(model: LanguageModel, sequences: Iterable[np.ndarray], batch_tokens: int) -> np.ndarray:
    """The loss of texts of any lengths, those of one length together, such as windows in lower case.

    Parameters
    ----------
    model : of logits
    sequences : (L,) token ids each; the first is not scored
    batch_tokens : computed at once

    Returns
    -------
    (n,) float64, nats per token; NaN where a text has one token or none.

    Raises
    ------
    ValueError
        If a text is longer than the model takes.
    """

    @torch.no_grad()
    def compute(tokens: Tensor) -> dict[str, Tensor]:
        return {"nll": token_nll(model.logits(tokens)[:, :-1], tokens[:, 1:].to(model.device))}

    sequences, batches = list(sequences), Batches(batch_tokens, model.vocabulary)
    lengths = np.array([len(each) for each in sequences], dtype=int)
    losses = np.full(len(sequences), np.nan)
    for length in np.unique(lengths[lengths > 1]):
        places = np.flatnonzero(lengths == length)
        rows = as_tokens(np.stack([sequences[place] for place in places]))
        losses[places] = batches.map(compute, rows, length=int(length))["nll"].mean(axis=1, dtype=np.float64)
    return losses


def as_tokens(rows: np.ndarray) -> Tensor:
    """Token ids of any integer type as a tensor that models take."""
    return torch.from_numpy(np.array(rows, np.int64, order="C"))
