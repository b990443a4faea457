"""The model of a condition, and its forward pass where answers are: the last feed-forward layer and the head alone."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from memorization.memory_layer.sizes import MEMORIES, feed_forward_width, layers, slots
from memorization.models.decoder import Decoder, FeedForward
from memorization.models.memory_layer import PEER, FlatKeyMemory, Memory, ProductKeyMemory


class Retrieved(NamedTuple):
    """What a layer's memory retrieved at some tokens: each (n, n_heads, top_k), best first."""

    layer: int
    scores: Tensor
    weights: Tensor
    slots: Tensor


class Nothing(nn.Module):
    """A feed-forward layer that adds nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def build(condition: Mapping, vocabulary: int, length: int) -> Decoder:
    """The decoder of a condition, from torch's global random stream.

    Parameters
    ----------
    condition : n_layers, n_heads, d_model, positions, init_std; arm, memory_layers, shared_pool, keys, n_keys,
        memory_heads, top_k, key_dim, query_norm, gate, value_update
    vocabulary, length : tokens that there are, and the longest input
    """
    size = {key: condition[key] for key in ("n_layers", "n_heads", "d_model", "positions", "init_std")}
    modules: dict[int, nn.Module] = {}
    for layer in layers(condition):
        shared = next(iter(modules.values())) if modules and condition["shared_pool"] else None
        modules[layer] = _module(condition, shared)
    return Decoder(vocabulary, vocabulary, length, feed_forward=modules, **size)


def _module(condition: Mapping, shared: nn.Module | None) -> nn.Module:
    d_model = condition["d_model"]
    if condition["arm"] == "none":
        return Nothing()
    if condition["arm"] not in MEMORIES:
        return FeedForward(d_model, feed_forward_width(condition), "gelu", bias=True)
    size = {"n_heads": condition["memory_heads"], "top_k": condition["top_k"], "key_dim": condition["key_dim"]}
    values = None if shared is None else shared.values
    options = {"query_norm": condition["query_norm"], "values": values, "sparse": condition["value_update"] != "dense"}
    if condition["arm"] == "peer":
        down = None if shared is None else shared.down
        return PEER(d_model, condition["n_keys"], **size, **options, down=down)
    options["gate"] = condition["gate"]
    if condition["keys"] == "flat":
        return FlatKeyMemory(d_model, slots(condition), **size, **options)
    return ProductKeyMemory(d_model, condition["n_keys"], **size, **options)


def memories(model: Decoder) -> dict[int, Memory]:
    """The memories of a model by their layer."""
    found = {n: layer.feed_forward for n, layer in enumerate(model.layers)}
    return {n: module for n, module in found.items() if isinstance(module, Memory)}


def pools(model: Decoder) -> dict[int, nn.Embedding]:
    """The pools of values by the first layer that reads them."""
    found: dict[int, nn.Embedding] = {}
    for n, memory in memories(model).items():
        if not any(memory.values is values for values in found.values()):
            found[n] = memory.values
    return found


def embedded(model: Decoder, tokens: Tensor) -> Tensor:
    """The residual stream before the first layer: (batch, length) int64 -> (batch, length, d_model)."""
    x = model.token_embedding(tokens)
    if model.positions == "learned":
        return x + model.position_embedding.weight[: tokens.shape[1]]
    return x + model.position_table[: tokens.shape[1]] if model.positions == "sinusoidal" else x


def answer_logits(
    model: Decoder, tokens: Tensor, rows: Tensor, columns: Tensor, lengths: Tensor, whole_texts: bool = False
) -> tuple[Tensor, list[Retrieved]]:
    """Logits of the tokens at some places, given those before them.

    What changes nothing here is not computed: tokens behind the last place, and the last feed-forward layer and the
    head at other places.

    Parameters
    ----------
    tokens : (batch, length) int64, padded behind
    rows, columns : (n,) each, the places of the predicted tokens; columns from 1
    lengths : (batch,) of the unpadded tokens
    whole_texts : whether ``retrieved`` of the layers before the last is that of all unpadded tokens before the last
        place, all that a loss there can move

    Returns
    -------
    logits : (n, vocabulary)
    retrieved : of each layer with a memory, for the tokens that predict those places
    """
    tokens = tokens[:, : int(columns.max())]
    x = embedded(model, tokens)
    unpadded = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
    retrieved = []
    for n, layer in enumerate(model.layers):
        x = x + layer.attention(layer.attention_norm(x))
        is_last = n == len(model.layers) - 1
        if is_last:
            x = x[rows, columns - 1]
        inner, memory = layer.feed_forward_norm(x), layer.feed_forward
        if isinstance(memory, Memory):
            scores, slots = memory.retrieve(inner, None if is_last else unpadded)
            weights = scores.softmax(dim=-1)
            x = x + memory.read(inner, weights, slots)
            kept, there = (scores, weights, slots), unpadded if whole_texts else (rows, columns - 1)
            retrieved.append(Retrieved(n, *(each if is_last else each[there] for each in kept)))
        else:
            x = x + memory(inner)
    return model.head(model.final_norm(x)), retrieved
