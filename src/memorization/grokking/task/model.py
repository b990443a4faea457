"""The decoder of the family, and its answer computed from what is needed alone.

The input is ``<eos> a ∘ b =`` and the answer c is read at its last position. Causality leaves little to
compute: what stands before b depends on a alone, so those p prefixes are computed once for a whole batch,
and in the last layer the last position alone asks. The same numbers as the plain decoder's, at a third of its cost.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memorization.models.decoder import Decoder

LENGTH = 5  # of the input <eos> a ∘ b =
SPECIALS = 3  # tokens that are no numbers: <eos>, the operator, =


def build(settings: dict, p: int) -> Decoder:
    """The decoder of a condition, from torch's global random stream.

    Tokens 0 … p-1 are the numbers, then come <eos>, the operator and =. Weights start as PyTorch has it:
    embeddings N(0, 1), as large as the positions that are added to them, linear maps U(±1/√inputs).
    """
    decoder = Decoder(
        vocabulary=p + SPECIALS,
        n_outputs=p + SPECIALS,
        max_length=LENGTH,
        positions="sinusoidal",
        norm="after",
        activation="relu",
        bias=False,
        **{name: settings[name] for name in ("n_layers", "n_heads", "d_model")},
    )
    for module in decoder.modules():
        if isinstance(module, nn.Embedding | nn.Linear):
            module.reset_parameters()
    return decoder


def tokens(a: Tensor, b: Tensor, p: int) -> Tensor:
    """The plain input ``<eos> a ∘ b =``: (n,), (n,) int64 -> (n, 5)."""
    eos, operator, equals = (torch.full_like(a, p + n) for n in range(SPECIALS))
    return torch.stack([eos, a, operator, b, equals], dim=1)


def answer_logits(decoder: Decoder, a: Tensor, b: Tensor) -> Tensor:
    """``decoder(tokens(a, b, p))[:, -1]`` from what is needed alone: (n,), (n,) int64 -> (n, p + 3)."""
    return decoder.head(answer_hidden(decoder, a, b))


def answer_hidden(decoder: Decoder, a: Tensor, b: Tensor) -> Tensor:
    """What the head reads at the last position: (n,), (n,) int64 -> (n, d_model).

    Rows are the states that differ: <eos>, then p of a and p of the operator after it, which no b has touched,
    then n of b and n of =, one an equation.
    """
    n, p = len(a), decoder.token_embedding.num_embeddings - SPECIALS
    inputs, which = _inputs(decoder, b, p)
    x = F.embedding(which, inputs)
    for layer in decoder.layers[:-1]:
        # What a token is asked about itself in the first layer is asked once, not once an equation.
        qkv = layer.attention.qkv(x) if inputs is None else F.embedding(which, layer.attention.qkv(inputs))
        query, key, value = (rows.unflatten(-1, (layer.attention.n_heads, -1)) for rows in qkv.chunk(3, dim=-1))
        before_b = [rows[: 1 + 2 * p] for rows in (query, key, value)]
        keys, values = (_of_equations(rows, a, p) for rows in (key, value))
        queries = torch.stack([query[-2 * n : -n], query[-n:]], dim=1)
        from_b = _mix(queries, keys, values).transpose(0, 1).flatten(0, 1)
        x = _rest(layer, x, torch.cat([_mix_before_b(*before_b, p), from_b]))
        inputs = None
    layer = decoder.layers[-1]
    weight, width = layer.attention.qkv.weight, x.shape[-1]
    key, value = (
        rows.unflatten(-1, (layer.attention.n_heads, -1)) for rows in F.linear(x, weight[width:]).chunk(2, -1)
    )
    query = F.linear(x[-n:], weight[:width]).unflatten(-1, (layer.attention.n_heads, -1))
    keys, values = (_of_equations(rows, a, p) for rows in (key, value))
    return _rest(layer, x[-n:], _mix(query[:, None], keys, values)[:, 0])


def _inputs(decoder: Decoder, b: Tensor, p: int) -> tuple[Tensor, Tensor]:
    """The 2p + 3 distinct inputs (2p + 3, d_model), and which of them each row is (1 + 2p + 2n,)."""
    embedding, position = decoder.token_embedding.weight, decoder.position_table
    number, (eos, operator, equals) = embedding[:p], embedding[p:, None]
    places = (eos, number, operator, number, equals)
    inputs = torch.cat([rows + position[n] for n, rows in enumerate(places)])
    rows = [torch.arange(1 + p, device=b.device), b.new_full((p,), 1 + p), b + 2 + p, torch.full_like(b, 2 + 2 * p)]
    return inputs, torch.cat(rows)


def _of_equations(rows: Tensor, a: Tensor, p: int) -> Tensor:
    """The five positions of each equation: (1 + 2p + 2n, heads, d_head) -> (n, 5, heads, d_head)."""
    n = len(a)
    own = torch.arange(1 + 2 * p, 1 + 2 * p + n, device=a.device)
    which = torch.stack([torch.zeros_like(a), 1 + a, 1 + p + a, own, own + n], dim=1)
    return F.embedding(which, rows.flatten(1)).unflatten(-1, rows.shape[1:])


def _mix_before_b(query: Tensor, key: Tensor, value: Tensor, p: int) -> Tensor:
    """Attention of <eos>, a and the operator: (1 + 2p, heads, d_head) three times -> (1 + 2p, d_model)."""
    number = torch.arange(p, device=query.device)
    which = torch.stack([torch.zeros_like(number), 1 + number, 1 + p + number], dim=1)
    mixed = _mix(*(rows[which] for rows in (query, key, value)))
    return torch.cat([mixed[:1, 0], mixed[:, 1], mixed[:, 2]])


def _mix(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention of the last q of k positions: (rows, q, heads, d_head), (rows, k, …) twice -> (rows, q, d).

    Written out: for five positions the products of a fused kernel are too small to be worth their calls.
    """
    q, k, d_head = query.shape[1], key.shape[1], query.shape[-1]
    scores = (query[:, :, None] * key[:, None]).sum(-1) / d_head**0.5  # (rows, q, k, heads)
    ahead = torch.ones(q, k, dtype=torch.bool, device=query.device).triu(k - q + 1)
    weights = scores.masked_fill(ahead[:, :, None], -torch.inf).softmax(2)
    return (weights[..., None] * value[:, None]).sum(2).flatten(2)


def _rest(layer, x: Tensor, mixed: Tensor) -> Tensor:
    """A post-norm layer after its attention has mixed: (rows, d_model), (rows, d_model) -> (rows, d_model)."""
    x = layer.attention_norm(x + layer.attention.output(mixed))
    return layer.feed_forward_norm(x + layer.feed_forward(x))
