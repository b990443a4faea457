"""The prefix attack: given the beginning of a window, does a model go on with the rest of it?

Greedy decoding reproduces a suffix exactly when each of its tokens is the likeliest after the true ones before it. So
one pass over whole windows decides all prompts that begin where they do, and a pass each the others.
"""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from memorization.extraction.metrics import biderman_score, min_k, window_min_perplexity
from memorization.extraction.passes import Batches, as_tokens, greedy, suffix_scores, token_scores
from memorization.extraction.prompts import Prompt, prompts, tokens_needed
from memorization.models.language_model import LanguageModel
from memorization.training.checkpoints import Unfinished

TIE = 1e-4  # nats between two logits that float32 may order either way, by how many texts are computed at once
NEVER = -1  # a token that was not generated, tokens right of a prompt that was not asked


def attack(
    model: LanguageModel,
    tokens: np.ndarray,
    settings: Mapping,
    generated: np.ndarray,
    unfinished: Unfinished | None = None,
    report_seconds: float = 60,
) -> dict[str, np.ndarray]:
    """Ask a model for the suffixes of windows, in parts; a killed attack goes on from the last part that was kept.

    Parameters
    ----------
    model : what is attacked
    tokens : (n, L) token ids of windows
    settings : ``lengths``, pairs of prefix and suffix; ``temperature`` and ``top_k`` of sampling; ``min_k``, a share;
        ``window_min``, in tokens; ``batch_tokens`` that are computed at once
    generated : (n,) bool, windows whose greedy continuations are wanted; those of exact prompts take no generation.
        The others are asked only for what the pass over whole windows says: with prompts that begin where they do
    unfinished : where the checkpoints go; None for none
    report_seconds : seconds between two lines of progress

    Returns
    -------
    (n, prompts) of ``prompts(lengths)``, in its order: ``exact`` bool; ``matched_run`` int64, tokens that are right
    before the first wrong one, -1 of a prompt that was not asked; float64 and NaN of these ``suffix_nll``, nats per
    token, and ``log_p_z``; ``biderman_score`` float64, NaN where nothing was generated; ``continuation`` (n, prompts,
    longest suffix) int32, -1 where nothing was.
    (n,) float64, of the whole windows but their first tokens: ``nll``, nats per token; ``min_k``; ``min_k_plus_plus``;
    ``window_min_perplexity``.

    Raises
    ------
    ValueError
        If a prompt leaves the window, or windows are longer than the model takes.
    """
    asked = prompts(settings["lengths"])
    n, length = tokens.shape
    if tokens_needed(settings["lengths"]) > length:
        needed = tokens_needed(settings["lengths"])
        raise ValueError(f"lengths: prompts of {needed} tokens, but windows have {length}")
    arrays, batches, done = _empty(n, asked), Batches(settings["batch_tokens"], model.vocabulary), 0
    part = batches.rows(length)
    kept = None if unfinished is None else unfinished.load()
    if kept is not None:
        done, batches.tokens = int(kept["done"]), int(kept["batch_tokens"])
        arrays = {name: kept[name].numpy() for name in arrays}
        print(f"going on after window {done}, from {unfinished.path}", flush=True)
    reported = time.monotonic()
    for first in range(done, n, part):
        rows = slice(first, first + part)
        for name, values in _attack_part(model, tokens[rows], settings, generated[rows], batches).items():
            arrays[name][rows] = values
        done = min(first + part, n)
        if time.monotonic() - reported >= report_seconds or done == n:
            print(f"window {done}/{n}", flush=True)
            reported = time.monotonic()
        if unfinished is not None and done < n and unfinished.due():
            unfinished.save(_state(arrays, done, batches))
    return arrays


def verify(
    model: LanguageModel,
    tokens: np.ndarray,
    names: Sequence[str],
    matched_run: np.ndarray,
    settings: Mapping,
    rng: np.random.Generator,
) -> int:
    """Generate the suffixes of a sample of prompts one token after the other, and compare them with the attack.

    Half of the sample are prompts whose first token is right, as far as there are: what is wrong there tells little.

    Parameters
    ----------
    model : the one that was attacked, in float32: in half precision two ways to compute differ
    tokens : (n, L) token ids of windows
    names : (n,) of the windows
    matched_run : (n, prompts) of ``attack``; a prompt is exact where all of its suffix matched, -1 was not asked
    settings : ``attack``'s; ``verify_generate``, how many prompts are generated
    rng : of the sample

    Returns
    -------
    How many prompts were generated.

    Raises
    ------
    ValueError
        If one goes on otherwise than the attack says: it names the window and the prompt, and says whether two tokens
        are tied there.
    """
    asked = prompts(settings["lengths"])
    sample = _sample(matched_run.ravel(), settings["verify_generate"], rng)
    windows, places = np.divmod(sample, len(asked))
    batches = Batches(settings["batch_tokens"], model.vocabulary)
    for place in np.unique(places):
        prompt, rows = asked[place], windows[places == place]
        continuations = greedy(model, tokens[rows], prompt, batches)
        same = continuations == tokens[rows, prompt.suffix_start : prompt.end]
        runs = same.cumprod(axis=1).sum(axis=1)
        for row, run in zip(rows, runs, strict=True):
            if run != matched_run[row, place]:
                raise ValueError(_disagreement(model, tokens[row], names[row], prompt, matched_run[row, place], run))
    return len(sample)


def _sample(matched_run: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Places of prompts that were asked: half of them, as far as there are, have tokens that match."""
    matching = np.flatnonzero(matched_run > 0)
    first = rng.choice(matching, min(number // 2, len(matching)), replace=False)
    others = np.setdiff1d(np.flatnonzero(matched_run >= 0), first)
    second = rng.choice(others, min(number - len(first), len(others)), replace=False)
    return np.sort(np.concatenate([first, second]))


def _attack_part(
    model: LanguageModel, tokens: np.ndarray, settings: Mapping, generated: np.ndarray, batches: Batches
) -> dict[str, np.ndarray]:
    asked = prompts(settings["lengths"])
    arrays = _empty(len(tokens), asked)
    sampling = settings["temperature"], settings["top_k"]
    of_whole = token_scores(model, tokens, *sampling, batches, standardized=True)
    passes = {0: of_whole}  # by where they start
    for start in sorted({prompt.start for prompt in asked} - {0}) if generated.any() else ():
        end = max(prompt.end for prompt in asked if prompt.start == start)
        passes[start] = token_scores(model, tokens[generated, start:end], *sampling, batches)
    continued: dict[tuple, np.ndarray] = {}
    for place, prompt in enumerate(asked):
        start, first, end = prompt.cut
        if start not in passes:
            continue
        rows = generated if start else np.ones(len(tokens), bool)
        for name, values in suffix_scores(passes[start], first - start, end - start).items():
            arrays[name][rows, place] = values
        suffix = tokens[:, first:end]
        if prompt.cut not in continued:
            missing = generated & ~arrays["exact"][:, place]
            continued[prompt.cut] = np.where(generated[:, None], suffix, NEVER)  # where it is exact, it is the suffix
            if missing.any():
                continued[prompt.cut][missing] = greedy(model, tokens[missing], prompt, batches)
        continuation = continued[prompt.cut]
        arrays["continuation"][:, place, : end - first] = continuation
        score = biderman_score(as_tokens(continuation), as_tokens(suffix)).numpy()
        arrays["biderman_score"][:, place] = np.where(generated, score, np.nan)
    nll, standardized = (torch.from_numpy(of_whole[name]).double() for name in ("nll", "standardized"))
    of_windows = {
        "nll": nll.mean(dim=1),
        "min_k": min_k(-nll, settings["min_k"]),
        "min_k_plus_plus": min_k(standardized, settings["min_k"]),
        "window_min_perplexity": window_min_perplexity(nll, settings["window_min"]),
    }
    return arrays | {name: values.numpy() for name, values in of_windows.items()}


def _empty(n: int, asked: list[Prompt]) -> dict[str, np.ndarray]:
    longest = max(prompt.suffix_length for prompt in asked)
    of_prompts = {"exact": np.zeros((n, len(asked)), bool), "matched_run": np.full((n, len(asked)), NEVER, np.int64)}
    of_prompts |= {name: np.full((n, len(asked)), np.nan) for name in ("suffix_nll", "log_p_z", "biderman_score")}
    of_prompts["continuation"] = np.full((n, len(asked), longest), NEVER, np.int32)
    return of_prompts | {name: np.zeros(n) for name in ("nll", "min_k", "min_k_plus_plus", "window_min_perplexity")}


def _state(arrays: dict[str, np.ndarray], done: int, batches: Batches) -> dict[str, Tensor]:
    counts = {"done": torch.tensor(done), "batch_tokens": torch.tensor(batches.tokens)}
    return {name: torch.from_numpy(array) for name, array in arrays.items()} | counts


def _disagreement(model: LanguageModel, tokens: np.ndarray, name: str, prompt: Prompt, forced: int, run: int) -> str:
    """What is wrong with a window, and whether it is a tie: two tokens as likely as float32 tells."""
    wrong = prompt.suffix_start + min(forced, run)  # the first token that the two ways differ in
    logits = model.logits(as_tokens(tokens[None, prompt.start : wrong]))[0, -1]
    first, second = logits.topk(2).values.tolist()
    apart = first - second
    verdict = "a tie of two tokens" if apart <= TIE else "no tie"
    return (
        f"window {name}, {prompt.protocol}, prefix of {prompt.prefix_length}: generation gives {run} tokens of the "
        f"suffix, one pass {forced}; {verdict}, the likeliest two logits at token {wrong} are {apart:.2g} apart"
    )
