"""A causal transformer decoder, in one file that reads from top to bottom.

The parts in which studies of memorization differ are options: where the norm stands, how positions
are told, the activation, biases, and what stands in a layer's feed-forward place.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

POSITIONS = ("learned", "rope", "sinusoidal", "none")
ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu, "silu": F.silu}


class Decoder(nn.Module):
    """Causal decoder (Vaswani et al. 2017; pre-norm as in GPT-2, Radford et al. 2019), head not tied.

    Weights of linear maps and embeddings start as N(0, init_std²), those that write into the residual
    stream as N(0, init_std² / (2 n_layers)) as in GPT-2; biases at 0.

    Parameters
    ----------
    vocabulary, n_outputs : input tokens, and the tokens that the head tells apart
    max_length : longest input, in tokens
    n_layers, n_heads, d_model : size; d_model divisible by n_heads
    positions : ``learned`` embeddings, ``sinusoidal`` ones (Vaswani et al. 2017), both added to the
        tokens'; ``rope``, which rotates queries and keys (Su et al. 2021); or ``none``
    norm : ``before`` each sublayer and once at the end, or ``after`` each sum with the residual
    activation : of the feed-forward layers, a name in ``ACTIVATIONS``
    bias : whether linear maps have biases; LayerNorm always has weight and bias
    d_ff : width of the feed-forward layers, 4 d_model unless given
    feed_forward : modules (…, d_model) -> (…, d_model) by layer, from 0, that stand in the feed-forward's
        place; a ``FeedForward`` (of another width) starts as the others do, another module keeps its weights

    Raises
    ------
    ValueError
        If ``d_model`` is not divisible by ``n_heads``, or an option is unknown.
    """

    def __init__(
        self,
        vocabulary: int,
        n_outputs: int,
        max_length: int,
        n_layers: int,
        n_heads: int,
        d_model: int,
        positions: str = "learned",
        norm: str = "before",
        activation: str = "gelu",
        bias: bool = True,
        d_ff: int | None = None,
        feed_forward: Mapping[int, nn.Module] | None = None,
        init_std: float = 0.02,
    ):
        super().__init__()
        if positions not in POSITIONS:
            raise ValueError(f"positions: {positions!r} is not one of {', '.join(POSITIONS)}")
        if norm not in ("before", "after"):
            raise ValueError(f"norm: {norm!r} is not one of before, after")
        self.max_length, self.positions = max_length, positions
        replaced = dict(feed_forward or {})
        if not replaced.keys() <= set(range(n_layers)):
            raise ValueError(f"feed_forward: layers {sorted(replaced)}; allowed are 0 to {n_layers - 1}")
        self.token_embedding = nn.Embedding(vocabulary, d_model)
        if positions == "learned":
            self.position_embedding = nn.Embedding(max_length, d_model)
        elif positions == "sinusoidal":
            self.register_buffer("position_table", sinusoids(max_length, d_model), persistent=False)
        self.layers = nn.ModuleList()
        for i in range(n_layers):
            attention = CausalSelfAttention(n_heads, d_model, max_length, positions == "rope", bias)
            mlp = replaced[i] if i in replaced else FeedForward(d_model, d_ff or 4 * d_model, activation, bias)
            self.layers.append(Layer(attention, mlp, d_model, norm))
        self.final_norm = nn.LayerNorm(d_model) if norm == "before" else nn.Identity()
        self.head = nn.Linear(d_model, n_outputs, bias=bias)
        others = [module for module in replaced.values() if not isinstance(module, FeedForward)]
        self._initialize(init_std, keep={id(part) for module in others for part in module.modules()})

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of the next token: (batch, length) int64 -> (batch, length, n_outputs)."""
        return self.head(self.hidden(tokens))

    def hidden(self, tokens: Tensor) -> Tensor:
        """What the head reads: (batch, length) int64 -> (batch, length, d_model)."""
        length = tokens.shape[1]
        if length > self.max_length:
            raise ValueError(f"{length} tokens, more than the decoder's max_length of {self.max_length}")
        x = self.token_embedding(tokens)
        if self.positions == "learned":
            x = x + self.position_embedding.weight[:length]
        elif self.positions == "sinusoidal":
            x = x + self.position_table[:length]
        for layer in self.layers:
            x = layer(x)
        return self.final_norm(x)

    @torch.no_grad()
    def _initialize(self, std: float, keep: set[int]) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Embedding) and id(module) not in keep:
                writes = name.endswith((".attention.output", ".feed_forward.down"))
                module.weight.normal_(0, std / math.sqrt(2 * len(self.layers)) if writes else std)
                if getattr(module, "bias", None) is not None:
                    module.bias.zero_()


class Layer(nn.Module):
    """Attention, then feed-forward, each added to the residual stream."""

    def __init__(self, attention: nn.Module, feed_forward: nn.Module, d_model: int, norm: str):
        super().__init__()
        self.norm_before = norm == "before"
        self.attention_norm = nn.LayerNorm(d_model)
        self.attention = attention
        self.feed_forward_norm = nn.LayerNorm(d_model)
        self.feed_forward = feed_forward

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, d_model) -> the same shape."""
        if self.norm_before:
            x = x + self.attention(self.attention_norm(x))
            return x + self.feed_forward(self.feed_forward_norm(x))
        x = self.attention_norm(x + self.attention(x))
        return self.feed_forward_norm(x + self.feed_forward(x))


class CausalSelfAttention(nn.Module):
    """Multi-head attention in which a position sees itself and what stands before it."""

    def __init__(self, n_heads: int, d_model: int, max_length: int, rope: bool, bias: bool, output: bool = True):
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"d_model: {d_model} is not divisible by n_heads, {n_heads}")
        self.n_heads = n_heads
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=bias)
        self.output = nn.Linear(d_model, d_model, bias=bias) if output else nn.Identity()
        self.rope = rope
        if rope:
            cos, sin = rotations(max_length, d_model // n_heads)
            self.register_buffer("cos", cos, persistent=False)
            self.register_buffer("sin", sin, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, d_model) -> the same shape."""
        batch, length, d_model = x.shape
        heads = self.qkv(x).view(batch, length, 3, self.n_heads, d_model // self.n_heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        if self.rope:
            query = rotate(query, self.cos[:length], self.sin[:length])
            key = rotate(key, self.cos[:length], self.sin[:length])
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.output(mixed.transpose(1, 2).reshape(batch, length, d_model))


class FeedForward(nn.Module):
    """Two linear maps and an activation between them."""

    def __init__(self, d_model: int, d_ff: int, activation: str, bias: bool):
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation: {activation!r} is not one of {', '.join(ACTIVATIONS)}")
        self.up = nn.Linear(d_model, d_ff, bias=bias)
        self.activation = ACTIVATIONS[activation]
        self.down = nn.Linear(d_ff, d_model, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(…, d_model) -> the same shape."""
        return self.down(self.activation(self.up(x)))


def sinusoids(length: int, d_model: int) -> Tensor:
    """Position embeddings of Vaswani et al. (2017), section 3.5: sines in even columns, cosines in odd ones.

    Returns
    -------
    (length, d_model) in [-1, 1].
    """
    angles = _angles(length, d_model)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :d_model]


def rotations(length: int, d_head: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of RoPE's angles: position · 10000^(-2i / d_head), each (length, ⌈d_head / 2⌉)."""
    if d_head % 2:
        raise ValueError(f"positions: rope needs an even d_model / n_heads, not {d_head}")
    angles = _angles(length, d_head)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE (Su et al. 2021): turn the pairs (x[i], x[i + d_head/2]) of (…, length, d_head) by their angles."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def _angles(length: int, width: int) -> Tensor:
    frequencies = 10000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    return (torch.arange(length, dtype=torch.float64)[:, None] * frequencies).float()
