"""Product keys as flat ones, flat keys as a dense router over the same values, and back: always the same function."""

import torch
from torch import Tensor, nn

from memorization.models.memory_layer import PEER, FlatKeyMemory, Memory, ProductKeyMemory

RANK = 1e-6  # singular values below this share of the largest count as 0


class RouterMemory(Memory):
    """Slots scored by a linear map of x, as the experts of a mixture are: ``router`` (n_heads · n_slots, d_model).

    Parameters
    ----------
    d_model, n_slots, n_heads, top_k : as in ``Memory``
    options : the others of ``Memory``; there is no query, so no ``query_norm``
    """

    def __init__(self, d_model: int, n_slots: int, n_heads: int, top_k: int, **options):
        super().__init__(d_model, n_slots, n_heads, top_k, key_dim=d_model, **options)
        self.query = nn.Identity()
        self.router = nn.Linear(d_model, n_heads * n_slots)

    def queries(self, x: Tensor, unpadded: Tensor | None = None) -> Tensor:
        """x itself, of one head: (…, d_model) -> (…, 1, d_model)."""
        return x.unsqueeze(-2)

    def best(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        return self.scores(queries).topk(k, dim=-1)

    def scores(self, queries: Tensor) -> Tensor:
        return self.router(queries.squeeze(-2)).unflatten(-1, (self.n_heads, self.n_slots))


def product_to_flat(memory: ProductKeyMemory) -> FlatKeyMemory:
    """A memory whose slots have keys of their own, (k₁ᵢ, k₂ⱼ) of slot i·n_keys + j: the same outputs.

    The result has copies of all weights. Which of two slots of equal scores comes first may differ.

    Raises
    ------
    ValueError
        If the slots are neurons (PEER).
    """
    if isinstance(memory, PEER):
        raise ValueError("product_to_flat: PEER has neurons in its slots; allowed: a memory whose slots are values")
    flat = _like(memory, FlatKeyMemory, key_dim=memory.key_dim, query_norm=memory.query_norm)
    first, second = memory.keys.detach().unbind(1)
    n = memory.n_keys
    keys = torch.cat([first[:, :, None].expand(-1, n, n, -1), second[:, None].expand(-1, n, n, -1)], dim=-1)
    with torch.no_grad():
        flat.keys.copy_(keys.flatten(1, 2))
    return flat


def flat_to_router(memory: FlatKeyMemory) -> RouterMemory:
    """A memory that scores slots by one linear map, keys · query: the same outputs.

    Raises
    ------
    ValueError
        If queries are normalized, which no linear map is.
    """
    if memory.query_norm != "none":
        raise ValueError(f"query_norm: {memory.query_norm}; allowed for a router: none, since a norm is not linear")
    router = _like(memory, RouterMemory)
    weight, bias = (part.unflatten(0, (memory.n_heads, memory.key_dim)) for part in memory.query.parameters())
    with torch.no_grad():
        router.router.weight.copy_((memory.keys @ weight).flatten(0, 1))
        router.router.bias.copy_((memory.keys @ bias[..., None]).flatten())
    return router


def router_to_flat(memory: RouterMemory, key_dim: int) -> FlatKeyMemory:
    """A memory with keys and queries of ``key_dim``, from the singular vectors of each head's map: the same outputs.

    Raises
    ------
    ValueError
        If a head's map, its bias included, has a rank above ``key_dim``.
    """
    flat = _like(memory, FlatKeyMemory, key_dim=key_dim)
    maps = torch.cat([memory.router.weight, memory.router.bias[:, None]], dim=1).detach().double()
    keys, queries = [], []
    for head, of_head in enumerate(maps.unflatten(0, (memory.n_heads, memory.n_slots))):
        left, values, right = torch.linalg.svd(of_head, full_matrices=False)
        rank = int((values > RANK * values[0]).sum())
        if rank > key_dim:
            raise ValueError(
                f"key_dim: {key_dim}, but the router of head {head} has rank {rank}; allowed: {rank} or more"
            )
        root = values[:rank].sqrt()
        keys.append(_widened(left[:, :rank] * root, key_dim))
        queries.append(_widened((root[:, None] * right[:rank]).T, key_dim).T)
    query = torch.cat(queries)
    with torch.no_grad():
        flat.keys.copy_(torch.stack(keys))
        flat.query.weight.copy_(query[:, :-1])
        flat.query.bias.copy_(query[:, -1])
    return flat


def _like(memory: Memory, kind: type[Memory], **options) -> Memory:
    """A memory of another kind with the values, the gate and, where both have one, the query of this one."""
    d_model = memory.values.weight.shape[1]
    sizes = {"n_slots": memory.n_slots, "n_heads": memory.n_heads, "top_k": memory.top_k}
    like = kind(d_model, **sizes, gate=memory.gate is not None, sparse=memory.sparse, **options)
    theirs, ours = memory.state_dict(), like.state_dict()
    own = {"keys", "router.weight", "router.bias"}
    taken = {name: theirs[name] for name in ours.keys() & theirs.keys() - own if ours[name].shape == theirs[name].shape}
    like.load_state_dict(taken, strict=False)
    return like.to(memory.values.weight).train(memory.training)


def _widened(columns: Tensor, width: int) -> Tensor:
    """(…, n) with zero columns behind, (…, width)."""
    return nn.functional.pad(columns, (0, width - columns.shape[-1]))
