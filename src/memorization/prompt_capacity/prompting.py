"""Trained embeddings in the input of a frozen model, many trials at once: prompt tuning, not PEFT's keys and values.

A trial is one P of k vectors with the texts that share it. Trials are rows of one pass and do not see each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from memorization.prompt_capacity.layouts import MASKED, place_of_text

PAD = 0  # a token behind a row's end: nothing attends to it, and nothing of it is scored
INITS = ("embedding_std", "sampled_tokens", "normal_0.1", "mean_embedding")


class PromptEmbeddings(nn.Module):
    """The prompts P of several trials, each a parameter of its own: an optimizer leaves those without gradient alone.

    Parameters
    ----------
    trials : how many prompts there are
    length : k, vectors of a prompt
    d_model : their width
    init : of the number of a trial, its first P, (k, d_model)
    rank : P stays in a subspace of so many dimensions around its first value; None for all
    subspace : of the number of a trial, an orthonormal basis of it, (rank, d_model)
    """

    def __init__(
        self,
        trials: int,
        length: int,
        d_model: int,
        init: Callable[[int], np.ndarray],
        rank: int | None = None,
        subspace: Callable[[int], np.ndarray] | None = None,
    ):
        super().__init__()
        first = [torch.as_tensor(np.asarray(init(trial), np.float32)) for trial in range(trials)]
        for trial, each in enumerate(first):
            if each.shape != (length, d_model):
                raise ValueError(f"init: trial {trial} begins with {tuple(each.shape)}, not ({length}, {d_model})")
        self.rank = rank
        if rank is None:
            self.trained = nn.ParameterList([nn.Parameter(each.clone()) for each in first])
            return
        self.register_buffer("first", torch.stack(first))
        bases = [torch.as_tensor(np.asarray(subspace(trial), np.float32)) for trial in range(trials)]
        self.register_buffer("bases", torch.stack(bases))
        self.trained = nn.ParameterList([nn.Parameter(torch.zeros(length, rank)) for _ in range(trials)])

    def forward(self, trials: Sequence[int] | None = None) -> Tensor:
        """The prompts of some trials, by default of all: (n, k, d_model) float32."""
        wanted = range(len(self.trained)) if trials is None else trials
        trained = torch.stack([self.trained[trial] for trial in wanted])
        if self.rank is None:
            return trained
        rows = torch.as_tensor(list(wanted), device=trained.device)
        return self.first[rows] + trained @ self.bases[rows]


@dataclass(frozen=True)
class Inputs:
    """Rows of tokens with a prompt in each, padded behind their ends, ready for a model.

    Attributes
    ----------
    prompts : (n_prompts, k, d_model), or None where rows have none
    tokens : (rows, length) int64; where a prompt stands, any
    place : (rows,) where the prompt of a row begins
    owner : (rows,) which prompt it is
    masked : (rows,) whether P does not attend to what stands before it
    scored : (rows, length) which tokens are predicted and scored; never the first of a row
    """

    prompts: Tensor | None
    tokens: Tensor
    place: Tensor
    owner: Tensor
    masked: Tensor
    scored: Tensor

    def of(self, rows: Tensor, prompts: Tensor | None, owner: Tensor) -> "Inputs":
        """Some rows, with other prompts."""
        kept = {name: getattr(self, name)[rows] for name in ("tokens", "place", "masked", "scored")}
        return replace(self, prompts=prompts, owner=owner, **kept)

    def to(self, device: str) -> "Inputs":
        """All of it on a device."""
        names = ("tokens", "place", "owner", "masked", "scored")
        prompts = None if self.prompts is None else self.prompts.to(device)
        return Inputs(prompts, **{name: getattr(self, name).to(device) for name in names})

    def embedded(self, table: nn.Module) -> Tensor:
        """What the model takes, (rows, length, d_model), by its own embedding of tokens."""
        found = table(self.tokens)
        if self.prompts is None:
            return found
        length = self.prompts.shape[1]
        columns = self.place[:, None] + torch.arange(length, device=found.device)
        rows = torch.arange(len(found), device=found.device)[:, None].expand_as(columns)
        return found.index_put((rows, columns), self.prompts[self.owner].to(found.dtype))

    def attention(self, dtype: torch.dtype) -> Tensor | None:
        """What is added to scores of attention, (rows, 1, length, length); None where the causal mask is all."""
        if self.prompts is None or not bool(self.masked.any()):
            return None
        at = torch.arange(self.tokens.shape[1], device=self.tokens.device)
        first, end = self.place[:, None], self.place[:, None] + self.prompts.shape[1]
        of_prompt, before = (at >= first) & (at < end), at < first
        hidden = (of_prompt & self.masked[:, None])[:, :, None] & before[:, None, :]
        allowed = (at[:, None] >= at) & ~hidden
        return torch.zeros(allowed.shape, dtype=dtype, device=at.device).masked_fill(~allowed, torch.finfo(dtype).min)[
            :, None
        ]


def assemble(embeddings: Tensor, ids: Tensor, texts: Tensor, layout: str | int) -> Inputs:
    """Rows of texts with their IDs and the P that they share.

    Parameters
    ----------
    embeddings : (trials, k, d_model), a P a trial; in the layout ``solo`` (trials · group, k, d_model), a P a text
    ids : (trials, group, id_length) tokens; of ``solo`` not used
    texts : (trials, group, length) tokens, all scored
    layout : ``prefix`` [P][ID][text]; ``infix`` [ID][P][text]; ``infix_masked``, as infix, but P does not attend to
        the ID; ``solo`` [P][text]; or a number n, P behind n tokens of the ID

    Raises
    ------
    ValueError
        If the layout is none of these, or there are not as many prompts as it takes.
    """
    trials, group, length = texts.shape
    solo = layout == "solo"
    owner = torch.arange(trials).repeat_interleave(group) if not solo else torch.arange(trials * group)
    needed = trials * group if solo else trials
    if len(embeddings) != needed:
        raise ValueError(f"embeddings: {len(embeddings)} prompts, but {layout} needs {needed}")
    before = place_of_text(layout, ids.shape[2])
    rows = trials * group
    ids = ids.reshape(rows, -1)[:, : 0 if solo else None]
    room = torch.full((rows, embeddings.shape[1]), PAD)
    tokens = torch.cat([ids[:, :before], room, ids[:, before:], texts.reshape(rows, length)], dim=1)
    scored = torch.zeros_like(tokens, dtype=torch.bool)
    scored[:, -length:] = True
    return Inputs(
        prompts=embeddings,
        tokens=tokens,
        place=torch.full((rows,), before),
        owner=owner,
        masked=torch.full((rows,), layout == MASKED),
        scored=scored,
    )


def without_prompts(ids: Tensor, texts: Tensor, layout: str | int, begin: int) -> Inputs:
    """As ``assemble`` without P: [ID][text], and of ``solo`` a token ``begin`` in its place."""
    trials, group, length = texts.shape
    rows = trials * group
    ids = ids.reshape(rows, -1) if layout != "solo" else torch.full((rows, 1), begin)
    tokens = torch.cat([ids, texts.reshape(rows, length)], dim=1)
    scored = torch.zeros_like(tokens, dtype=torch.bool)
    scored[:, -length:] = True
    zeros = torch.zeros(rows, dtype=torch.int64)
    return Inputs(None, tokens, zeros, zeros, zeros.bool(), scored)


def joined(parts: Sequence[Inputs]) -> Inputs:
    """Rows of several layouts as one, shorter ones padded behind their ends; prompts one behind the other."""
    firsts = np.cumsum([0, *(len(part.prompts) if part.prompts is not None else 0 for part in parts)])
    longest = max(part.tokens.shape[1] for part in parts)

    def padded(name: str, value) -> Tensor:
        rows = [row for part in parts for row in getattr(part, name)]
        whole = pad_sequence(rows, batch_first=True, padding_value=value)
        return whole[:, :longest]

    prompts = None if parts[0].prompts is None else torch.cat([part.prompts for part in parts])
    return Inputs(
        prompts=prompts,
        tokens=padded("tokens", PAD),
        place=torch.cat([part.place for part in parts]),
        owner=torch.cat([part.owner + int(first) for part, first in zip(parts, firsts[:-1], strict=True)]),
        masked=torch.cat([part.masked for part in parts]),
        scored=padded("scored", False),
    )


def first_prompts(
    name: str, embedding: np.ndarray, length: int, rng: Callable[[int], np.random.Generator]
) -> Callable[[int], np.ndarray]:
    """How the prompts of trials begin.

    Parameters
    ----------
    name : ``embedding_std``, normal with the standard deviation of the embedding's entries; ``sampled_tokens``, those
        of random tokens; ``normal_0.1``, normal of .1, as TokMem; ``mean_embedding``, the mean of all tokens
    embedding : (vocabulary, d_model) of the model
    length : k
    rng : the random stream of a trial

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    shape = (length, embedding.shape[1])
    std, mean = embedding.std(), embedding.mean(axis=0)
    draws = {
        "embedding_std": lambda rng: std * rng.standard_normal(shape),
        "sampled_tokens": lambda rng: embedding[rng.integers(len(embedding), size=length)],
        "normal_0.1": lambda rng: 0.1 * rng.standard_normal(shape),
        "mean_embedding": lambda _: np.broadcast_to(mean, shape),
    }
    if name not in draws:
        raise ValueError(f"init: {name!r} is not one of {', '.join(INITS)}")
    return lambda trial: draws[name](rng(trial)).astype(np.float32)


def subspaces(rank: int, d_model: int, rng: Callable[[int], np.random.Generator]) -> Callable[[int], np.ndarray]:
    """Of each trial a random orthonormal basis of ``rank`` dimensions, (rank, d_model)."""
    return lambda trial: np.linalg.qr(rng(trial).standard_normal((d_model, rank)))[0].T.astype(np.float32)
