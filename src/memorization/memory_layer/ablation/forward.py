"""A decoder's forward pass in two pieces around a memory, and what the memory reads and makes between them."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from memorization.memory_layer.model import embedded, memories
from memorization.memory_layer.training import ANSWERS, Facts
from memorization.models.decoder import Decoder
from memorization.models.memory_layer import PEER, Memory, ProductKeyMemory

LN2 = np.log(2)
Read = Callable[[int, Tensor, Tensor], Tensor]  # layer, normed input (…, d_model), text of each place -> what goes out


class Kept(NamedTuple):
    """What the memory of a layer reads and makes at n places of some texts, and how these are answered.

    The places of a memory in the last layer are those that predict the answers' tokens; of an earlier one, all up to
    the last of these.

    Parameters
    ----------
    layer : of the memory
    rows : of the texts in the data set
    stream : (texts, length, d_model), the residual stream before the layer's feed-forward part, up to the last place
    text, column : (n,) each, the places
    residual, inner : (n, d_model) each, the residual stream there, and normed
    queries : (n, n_heads, key_dim)
    scores, slots : (n, n_heads, top_k + 1) each, best first: the last one is not read, it enters where one is masked
    weights : (n, n_heads, top_k)
    pooled, gate : (n, d_model) each; a memory without a gate has ones
    at, columns, targets : (m,) each, the answers' tokens: text, column, and what is right
    logits : (m, vocabulary) of these
    """

    layer: int
    rows: np.ndarray
    stream: Tensor
    text: Tensor
    column: Tensor
    residual: Tensor
    inner: Tensor
    queries: Tensor
    scores: Tensor
    slots: Tensor
    weights: Tensor
    pooled: Tensor
    gate: Tensor
    at: Tensor
    columns: Tensor
    targets: Tensor
    logits: Tensor


def before(model: Decoder, tokens: Tensor, layer: int) -> Tensor:
    """The residual stream before the feed-forward part of a layer: (texts, length) -> (texts, length, d_model)."""
    x = embedded(model, tokens)
    for each in model.layers[:layer]:
        x = each(x)
    of_layer = model.layers[layer]
    return x + of_layer.attention(of_layer.attention_norm(x))


def after(model: Decoder, x: Tensor, layer: int, at: Tensor, columns: Tensor, read: Read | None = None) -> Tensor:
    """Logits (m, vocabulary) of the tokens at some places, from the residual stream before a feed-forward part.

    Parameters
    ----------
    x : (texts, length, d_model)
    layer : of this feed-forward part
    at, columns : (m,) each, texts and columns, from 1
    read : what the feed-forward parts from this layer on do; by default what they are trained to
    """
    texts = torch.arange(len(x), device=x.device)[:, None].expand(x.shape[:2])
    for n, of_layer in enumerate(model.layers[layer:], layer):
        if n > layer:
            x = x + of_layer.attention(of_layer.attention_norm(x))
        if n == len(model.layers) - 1:
            x, texts = x[at, columns - 1], at
        inner = of_layer.feed_forward_norm(x)
        x = x + (of_layer.feed_forward(inner) if read is None else read(n, inner, texts))
    return model.head(model.final_norm(x))


@torch.no_grad()
def keep(model: Decoder, facts: Facts, rows: np.ndarray, layer: int, answers: int = ANSWERS) -> Iterator[Kept]:
    """What the memory of a layer reads and makes for some rows, in parts of about so many tokens of answers.

    Raises
    ------
    ValueError
        As ``ablated``.
    """
    memory = ablated(model, layer)
    model.eval()
    for part in facts.batches(rows, answers):
        tokens, at, columns, _, targets = facts.batch(part)
        stream = before(model, tokens[:, : int(columns.max())], layer)
        if layer == len(model.layers) - 1:
            text, column = at, columns - 1
        else:
            length = torch.arange(stream.shape[1], device=tokens.device)
            last = torch.zeros(len(tokens), dtype=torch.int64, device=tokens.device)
            last.scatter_reduce_(0, at, columns, "amax")
            text, column = (length < last[:, None]).nonzero(as_tuple=True)
        residual = stream[text, column]
        inner = model.layers[layer].feed_forward_norm(residual)
        queries = memory.queries(inner)
        scores, slots = best(memory, queries, memory.top_k + 1)
        weights = scores[..., : memory.top_k].softmax(dim=-1)
        pooled = weighted_sum(memory, weights, slots[..., : memory.top_k])
        gate = inner.new_ones(1, 1).expand(inner.shape) if memory.gate is None else F.silu(memory.gate(inner))
        if layer == len(model.layers) - 1:
            logits = model.head(model.final_norm(residual + output(memory, pooled, gate)))
        else:
            logits = after(model, stream, layer, at, columns)
        yield Kept(
            layer, part, stream, text, column, residual, inner, queries, scores, slots, weights, pooled, gate,
            at, columns, targets, logits,
        )  # fmt: skip


def ablated(model: Decoder, layer: int) -> Memory:
    """The memory of a layer, whose slots can be ablated.

    Raises
    ------
    ValueError
        If the layer has none, or one of arm peer, which sums neurons, not values.
    """
    found = memories(model)
    if layer not in found:
        raise ValueError(f"layer: {layer} has no memory; allowed: {', '.join(map(str, found)) or 'none'}")
    if isinstance(found[layer], PEER):
        raise ValueError(f"layer: {layer} is of arm peer, whose slots are not ablated; allowed: arm memory")
    return found[layer]


def ablatable(model: Decoder) -> dict[int, Memory]:
    """The memories of a model by their layer; as ``ablated``, it refuses arm peer."""
    return {layer: ablated(model, layer) for layer in memories(model)}


def answer_places(kept: Kept) -> Tensor:
    """Of each token of the answers the place that predicts it, (m,) in the n places."""
    length = kept.stream.shape[1]
    return torch.searchsorted(kept.text * length + kept.column, kept.at * length + kept.columns - 1)


def positions(kept: Kept) -> Tensor:
    """Of each token of the answers its place in its answer, (m,), from 0."""
    return torch.arange(len(kept.at), device=kept.at.device) - torch.searchsorted(kept.at, kept.at)


def nll_bits(logits: Tensor, targets: Tensor) -> Tensor:
    """What tokens cost: logits (m, vocabulary), targets (m,) -> (m,) bits."""
    return -logits.float().log_softmax(dim=-1).gather(1, targets[:, None])[:, 0] / LN2


def best(memory: Memory, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """As ``Memory.best``, for any k: where there are fewer slots, the others score -inf."""
    if not isinstance(memory, ProductKeyMemory) or k > memory.n_keys:
        scores, slots = memory.scores(queries).topk(min(k, memory.n_slots), dim=-1)
        missing = (0, k - scores.shape[-1])
        return F.pad(scores, missing, value=-torch.inf), F.pad(slots, missing, value=-1)
    return memory.best(queries, k)


def weighted_sum(memory: Memory, weights: Tensor, slots: Tensor) -> Tensor:
    """What is read: weights and slots (n, n_heads, k), where those below 0 weigh nothing -> (n, d_model)."""
    bags = slots.clamp(min=0).flatten(1)
    return F.embedding_bag(bags, memory.values.weight, per_sample_weights=weights.flatten(1), mode="sum")


def output(memory: Memory, pooled: Tensor, gate: Tensor) -> Tensor:
    """As ``Memory.output``, from a gate that is known already, silu(gate x); all (n, d_model)."""
    return pooled if memory.value_proj is None else memory.value_proj(pooled * gate)


def weights_of(scores: Tensor) -> Tensor:
    """The softmax of (n, n_heads, k) scores, best first: several times as fast as torch's is over few of them."""
    exponentials = (scores - scores[..., :1]).exp()
    return exponentials / exponentials.sum(dim=-1, keepdim=True)


def best_without(scores: Tensor, slots: Tensor, without: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best of (n, n_heads, more) scores and slots that are not ``without``, bool of the same shape."""
    scores, chosen = scores.masked_fill(without, -torch.inf).topk(k, dim=-1)
    return scores, slots.gather(-1, chosen)
