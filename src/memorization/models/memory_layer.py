"""A trainable key-value memory that stands in a decoder's feed-forward place: x -> values of the slots it retrieves.

Product keys: Lample et al. 2019 (arXiv 1907.05242). Gate and initialization: Berges et al. 2024, Memory Layers at
Scale (arXiv 2412.09764). Single-neuron experts behind the same retrieval: He 2024, PEER (arXiv 2407.04153).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

QUERY_NORMS = ("none", "layer", "batch")


class Memory(nn.Module):
    """Queries, and what is done with the slots that they retrieve; a subclass says how slots are scored.

    Parameters
    ----------
    d_model : width of what comes in and goes out
    n_slots, n_heads, top_k : slots of the pool, queries for each position, slots that each retrieves
    key_dim : width of a query
    query_norm : ``none``; ``layer``, LayerNorm of each head's query; or ``batch``, over the unpadded positions of a
        batch (Lample et al.: more slots are used), which is not causal in training
    gate : whether the pooled values pass value_proj(pooled · silu(gate x)), or go out as they are
    values : the pool of another layer, to share it
    sparse : whether the values' gradient is sparse, of the retrieved rows alone

    Raises
    ------
    ValueError
        If ``top_k`` is below 2 (a softmax of one score is constant: keys get no gradient) or above what there is.
    """

    def __init__(
        self,
        d_model: int,
        n_slots: int,
        n_heads: int,
        top_k: int,
        key_dim: int,
        query_norm: str = "none",
        gate: bool = True,
        values: nn.Embedding | None = None,
        sparse: bool = False,
    ):
        super().__init__()
        if top_k < 2:
            raise ValueError(f"top_k: {top_k}; allowed: 2 or more, since the softmax of one score is constant")
        if query_norm not in QUERY_NORMS:
            raise ValueError(f"query_norm: {query_norm!r} is not one of {', '.join(QUERY_NORMS)}")
        self.n_slots, self.n_heads, self.top_k, self.key_dim = n_slots, n_heads, top_k, key_dim
        self.query_norm, self.sparse = query_norm, sparse
        self.query = nn.Linear(d_model, n_heads * key_dim)
        nn.init.xavier_uniform_(self.query.weight)
        nn.init.zeros_(self.query.bias)
        if query_norm == "layer":
            self.norm = nn.LayerNorm(key_dim)
        elif query_norm == "batch":
            self.norm = nn.BatchNorm1d(n_heads * key_dim)
        self.values = pool(n_slots, d_model) if values is None else values
        if self.values.weight.shape != (n_slots, d_model):
            raise ValueError(f"values: {tuple(self.values.weight.shape)}, not {n_slots} slots of width {d_model}")
        self.gate = nn.Linear(d_model, d_model, bias=False) if gate else None
        self.value_proj = nn.Linear(d_model, d_model, bias=False) if gate else None
        for projection in (self.gate, self.value_proj) if gate else ():
            nn.init.normal_(projection.weight, std=d_model**-0.5)

    def forward(self, x: Tensor, unpadded: Tensor | None = None) -> Tensor:
        """(…, d_model) -> the same shape. ``unpadded`` (…) bool: what batch norm counts, by default all positions."""
        scores, slots = self.retrieve(x, unpadded)
        return self.read(x, scores.softmax(dim=-1), slots)

    def queries(self, x: Tensor, unpadded: Tensor | None = None) -> Tensor:
        """(…, d_model) -> (…, n_heads, key_dim)."""
        query = self.query(x)
        if self.query_norm == "batch":
            flat = query.flatten(0, -2)
            if self.training and unpadded is not None:
                flat = flat.index_put((unpadded.flatten(),), self.norm(flat[unpadded.flatten()]))
            else:
                flat = self.norm(flat)
            query = flat.view(query.shape)
        query = query.unflatten(-1, (self.n_heads, self.key_dim))
        return self.norm(query) if self.query_norm == "layer" else query

    def retrieve(self, x: Tensor, unpadded: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The best slots of each head: scores and slots, each (…, n_heads, top_k), best first."""
        return self.best(self.queries(x, unpadded), self.top_k)

    def best(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k slots of highest score: queries (…, n_heads, key_dim) -> scores, slots (…, n_heads, k)."""
        raise NotImplementedError

    def scores(self, queries: Tensor) -> Tensor:
        """Of all slots, one by one: (…, n_heads, key_dim) -> (…, n_heads, n_slots)."""
        raise NotImplementedError

    def read(self, x: Tensor, weights: Tensor, slots: Tensor) -> Tensor:
        """What goes out: x (…, d_model), weights and slots (…, n_heads, top_k) -> (…, d_model)."""
        return self.output(x, self.pooled(x, weights, slots))

    def pooled(self, x: Tensor, weights: Tensor, slots: Tensor) -> Tensor:
        """The weighted sum over heads and slots of their values, (…, d_model)."""
        return _weighted_sum(self.values, weights, slots, self.sparse)

    def output(self, x: Tensor, pooled: Tensor) -> Tensor:
        """What goes out for the pooled values of positions x; both (…, d_model)."""
        return pooled if self.gate is None else self.value_proj(pooled * F.silu(self.gate(x)))


class ProductKeyMemory(Memory):
    """n_keys² slots: slot i·n_keys + j scores q₁·k₁ᵢ + q₂·k₂ⱼ, of the halves of the query and of two sets of keys.

    Parameters
    ----------
    d_model, n_heads, top_k, key_dim : as in ``Memory``; ``key_dim`` is even, ``top_k`` at most ``n_keys``
    n_keys : of each half
    options : the others of ``Memory``
    """

    def __init__(self, d_model: int, n_keys: int, n_heads: int, top_k: int, key_dim: int, **options):
        if key_dim % 2:
            raise ValueError(f"key_dim: {key_dim} is odd; allowed: an even number, of two halves")
        if top_k > n_keys:
            raise ValueError(f"top_k: {top_k} is above n_keys; allowed: 2 to {n_keys}")
        super().__init__(d_model, n_keys**2, n_heads, top_k, key_dim, **options)
        self.n_keys = n_keys
        self.keys = nn.Parameter(torch.empty(n_heads, 2, n_keys, key_dim // 2).uniform_(-1, 1) * key_dim**-0.5)

    def half_scores(self, queries: Tensor) -> Tensor:
        """Scores of the halves' keys: (…, n_heads, key_dim) -> (…, n_heads, 2, n_keys)."""
        flat = queries.reshape(-1, self.n_heads * 2, self.key_dim // 2).transpose(0, 1)
        scores = flat @ self.keys.flatten(0, 1).transpose(1, 2)
        return scores.transpose(0, 1).reshape(*queries.shape[:-1], 2, self.n_keys)

    def best(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """As ``Memory.best``, from the best k of each half.

        The a-th best of one half with the b-th best of the other has ab - 1 pairs that score at least as high, so only
        pairs with ab ≤ k are summed, and gradients reach those k that are chosen.
        """
        halves, keys = self.half_scores(queries).topk(k, dim=-1)
        first, second = candidates(k, queries.device)
        with torch.no_grad():
            chosen = (halves[..., 0, first] + halves[..., 1, second]).topk(k, dim=-1).indices
        a, b = first[chosen], second[chosen]
        scores = halves[..., 0, :].gather(-1, a) + halves[..., 1, :].gather(-1, b)
        return scores, keys[..., 0, :].gather(-1, a) * self.n_keys + keys[..., 1, :].gather(-1, b)

    def scores(self, queries: Tensor) -> Tensor:
        halves = self.half_scores(queries)
        return (halves[..., 0, :, None] + halves[..., 1, None, :]).flatten(-2)


class PEER(ProductKeyMemory):
    """A neuron a slot: pooled = Σ weight · gelu(down · x) · up, of retrieved slots; ``values`` are the up-vectors."""

    def __init__(self, d_model: int, n_keys: int, n_heads: int, top_k: int, key_dim: int, down=None, **options):
        super().__init__(d_model, n_keys, n_heads, top_k, key_dim, gate=False, **options)
        self.down = pool(self.n_slots, d_model) if down is None else down

    def pooled(self, x: Tensor, weights: Tensor, slots: Tensor) -> Tensor:
        down = F.embedding(slots, self.down.weight, sparse=self.sparse)  # (…, n_heads, top_k, d_model)
        neurons = F.gelu(torch.einsum("...hkd,...d->...hk", down, x))
        return _weighted_sum(self.values, weights * neurons, slots, self.sparse)


class FlatKeyMemory(Memory):
    """A key of its own for each slot: ``keys`` (n_heads, n_slots, key_dim)."""

    def __init__(self, d_model: int, n_slots: int, n_heads: int, top_k: int, key_dim: int, **options):
        if top_k > n_slots:
            raise ValueError(f"top_k: {top_k} is above n_slots; allowed: 2 to {n_slots}")
        super().__init__(d_model, n_slots, n_heads, top_k, key_dim, **options)
        self.keys = nn.Parameter(torch.empty(n_heads, n_slots, key_dim).uniform_(-1, 1) * key_dim**-0.5)

    def best(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        return self.scores(queries).topk(k, dim=-1)

    def scores(self, queries: Tensor) -> Tensor:
        return torch.einsum("...hd,hnd->...hn", queries, self.keys)


def pool(n_slots: int, d_model: int) -> nn.Embedding:
    """Values, normal with standard deviation d_model^-½."""
    values = nn.Embedding(n_slots, d_model)
    nn.init.normal_(values.weight, std=d_model**-0.5)
    return values


def candidates(k: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """The ranks (a, b) in two sorted halves, from 0, of all pairs that can be among the k best: (a + 1)(b + 1) ≤ k."""
    ranks = torch.arange(1, k + 1, device=device)
    first, second = (ranks[:, None] * ranks <= k).nonzero(as_tuple=True)
    return first, second


def _weighted_sum(values: nn.Embedding, weights: Tensor, slots: Tensor, sparse: bool) -> Tensor:
    """Σ over heads and slots: (…, n_heads, top_k) twice -> (…, d_model)."""
    bags, shares = (each.flatten(-2).flatten(0, -2) for each in (slots, weights.to(values.weight.dtype)))
    pooled = F.embedding_bag(bags, values.weight, per_sample_weights=shares, mode="sum", sparse=sparse)
    return pooled.view(*slots.shape[:-2], -1)
