import math
import re

import pytest
import torch
from product_key_memory import PKM
from torch.nn import functional as F

from memorization.models.decoder import Decoder
from memorization.models.memory_layer import PEER, FlatKeyMemory, ProductKeyMemory, candidates
from memorization.models.memory_layer_conversion import RouterMemory, flat_to_router, product_to_flat, router_to_flat

SIZE = {"d_model": 12, "n_keys": 9, "n_heads": 3, "top_k": 4, "key_dim": 6}


def product(seed=0, **change):
    torch.manual_seed(seed)
    return ProductKeyMemory(**SIZE | change)


def inputs(*shape, seed=1, dtype=torch.float32):
    return torch.randn(*shape, 12, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def plainly(memory, x):
    """One position at a time, over all slots."""
    rows = []
    for position in x.flatten(0, -2):
        query = (memory.query.weight @ position + memory.query.bias).view(memory.n_heads, 2, -1)
        pooled = 0
        for head in range(memory.n_heads):
            first, second = (memory.keys[head, half] @ query[head, half] for half in range(2))
            scores = torch.stack([first[i] + second[j] for i in range(len(first)) for j in range(len(second))])
            best = scores.argsort(descending=True)[: memory.top_k]
            pooled = pooled + scores[best].softmax(0) @ memory.values.weight[best]
        gate = memory.gate.weight @ position
        rows.append(memory.value_proj.weight @ (pooled * gate * torch.sigmoid(gate)))
    return torch.stack(rows).view(x.shape)


@pytest.mark.parametrize("top_k", [2, 4, 9])
def test_what_goes_out_is_that_of_a_loop_over_all_slots(top_k):
    memory, x = product(top_k=top_k), inputs(2, 5)
    torch.testing.assert_close(memory(x), plainly(memory, x))


@pytest.mark.parametrize("k", [2, 3, 8, 16])
def test_the_best_slots_are_those_of_all_scores(k):
    """k + 1 too, which a slot's removal asks for."""
    torch.manual_seed(k)
    memory = ProductKeyMemory(12, 32, 2, 2, 8)
    queries = memory.queries(inputs(300))
    expected, slots = memory.scores(queries).topk(k, dim=-1)
    scores, found = memory.best(queries, k)
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-6)
    assert (found == slots).all(dim=-1).float().mean() > 0.999  # equal scores aside
    torch.testing.assert_close(memory.scores(queries).gather(-1, found), scores, rtol=0, atol=1e-6)


def test_pairs_that_may_be_among_the_best_are_few_and_no_fewer_than_needed():
    first, second = candidates(32)
    assert len(first) == sum(32 // a for a in range(1, 33)) == 119
    assert {(int(a), int(b)) for a, b in zip(*candidates(2), strict=True)} == {(0, 0), (0, 1), (1, 0)}
    assert int(((first + 1) * (second + 1)).max()) == 32


def test_gradients_are_right():
    memory = product(gate=True).double()
    x = inputs(2, 2, dtype=torch.float64).requires_grad_()
    names = [name for name, _ in memory.named_parameters()]

    def out(x, *parameters):
        return torch.func.functional_call(memory, dict(zip(names, parameters, strict=True)), x)

    parameters = [parameter.detach().clone().requires_grad_() for parameter in memory.parameters()]
    assert torch.autograd.gradcheck(out, (x, *parameters))


def test_a_sparse_gradient_is_that_of_the_retrieved_rows():
    gradients = {}
    for sparse in (False, True):
        memory = product(sparse=sparse)
        memory(inputs(7)).square().sum().backward()
        gradients[sparse] = memory.values.weight.grad
    assert gradients[True].is_sparse
    torch.testing.assert_close(gradients[True].to_dense(), gradients[False])
    memory = product()
    retrieved = memory.retrieve(inputs(7))[1].unique()
    assert gradients[True].coalesce().indices().flatten().tolist() == retrieved.tolist()


def test_weights_start_as_their_sources_say():
    torch.manual_seed(0)
    memory = ProductKeyMemory(64, 64, 4, 8, 16)
    assert memory.keys.abs().max() <= 16**-0.5
    assert memory.keys.std().item() == pytest.approx(16**-0.5 / math.sqrt(3), rel=0.02)
    assert memory.values.weight.std().item() == pytest.approx(64**-0.5, rel=0.02)
    assert memory.value_proj.weight.std().item() == pytest.approx(64**-0.5, rel=0.05)
    assert memory.query.weight.abs().max() <= math.sqrt(6 / (64 + 64))
    assert memory.query.bias.abs().max() == 0


def test_a_pool_may_be_shared_and_nothing_else_is():
    one, other = product(), product()
    assert one.values is not other.values
    sharing = product(seed=2, values=one.values)
    decoder = Decoder(7, 7, 5, n_layers=2, n_heads=2, d_model=12, feed_forward={0: one, 1: sharing})
    assert sum(p.numel() for p in decoder.layers[1].feed_forward.parameters()) == sum(
        p.numel() for p in one.parameters()
    )
    both = sum(p.numel() for p in decoder.layers.parameters())
    attention = sum(p.numel() for name, p in decoder.layers.named_parameters() if "feed_forward." not in name)
    assert both == attention + 2 * sum(p.numel() for p in one.parameters()) - 81 * 12
    decoder(torch.zeros(1, 5, dtype=torch.int64)).sum().backward()
    assert decoder.layers[0].feed_forward.values.weight.grad is not None
    assert other.values.weight.grad is None


def test_layer_norm_normalizes_each_head_s_query():
    memory = product(query_norm="layer")
    queries = memory.queries(inputs(5))
    torch.testing.assert_close(queries.mean(dim=-1), torch.zeros(5, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(queries.std(dim=-1, unbiased=False), torch.ones(5, 3), rtol=1e-3, atol=0)


def test_batch_norm_counts_unpadded_positions_in_training_and_running_statistics_in_evaluation():
    memory, x = product(query_norm="batch"), inputs(4, 5)
    unpadded = torch.arange(5) < torch.tensor([5, 3, 2, 4])[:, None]
    queries = memory.queries(x, unpadded)[unpadded].flatten(1)
    torch.testing.assert_close(queries.mean(dim=0), torch.zeros(18), rtol=0, atol=1e-5)
    alone = product(query_norm="batch")
    torch.testing.assert_close(alone.queries(x[unpadded]).flatten(1), queries)
    torch.testing.assert_close(alone.norm.running_mean, memory.norm.running_mean)
    memory.eval()
    torch.testing.assert_close(memory(x)[2, :2], memory(x[2:3, :2])[0])


def test_product_keys_as_flat_ones_give_the_same_outputs():
    memory, x = product(query_norm="layer"), inputs(3, 50)
    flat = product_to_flat(memory)
    assert isinstance(flat, FlatKeyMemory)
    assert flat.keys.shape == (3, 81, 6)
    torch.testing.assert_close(flat(x), memory(x))
    torch.testing.assert_close(flat.scores(flat.queries(x)), memory.scores(memory.queries(x)))
    with torch.no_grad():
        flat.values.weight.zero_()
    assert memory.values.weight.abs().min() > 0


def test_flat_keys_as_a_router_and_back_give_the_same_outputs():
    torch.manual_seed(0)
    memory, x = FlatKeyMemory(12, 40, 3, 4, 6), inputs(3, 50)
    with torch.no_grad():
        memory.query.bias.normal_()
    router = flat_to_router(memory)
    assert isinstance(router, RouterMemory)
    torch.testing.assert_close(router(x), memory(x), rtol=1e-4, atol=1e-5)
    for key_dim in (6, 9):
        torch.testing.assert_close(router_to_flat(router, key_dim)(x), memory(x), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"^key_dim: 5, but the router of head 0 has rank 6; allowed: 6 or more$"):
        router_to_flat(router, 5)


def test_a_norm_has_no_router():
    with pytest.raises(ValueError, match=r"^query_norm: layer; allowed for a router: none"):
        flat_to_router(FlatKeyMemory(12, 40, 3, 4, 6, query_norm="layer"))


def test_peer_is_a_weighted_sum_of_neurons():
    torch.manual_seed(0)
    memory, x = PEER(**SIZE), inputs(5)
    scores, slots = memory.retrieve(x)
    expected = torch.stack(
        [
            sum(
                weight * F.gelu(memory.down.weight[slot] @ position) * memory.values.weight[slot]
                for weight, slot in zip(scores[n].softmax(-1).flatten(), slots[n].flatten(), strict=True)
            )
            for n, position in enumerate(x)
        ]
    )
    torch.testing.assert_close(memory(x), expected)


def test_the_layer_equals_the_registry_s_with_equal_weights():
    """Which has no gate and normalizes each half of a query."""
    peer = PKM(12, heads=3, num_keys=9, topk=4, dim_head=3)
    torch.manual_seed(0)
    memory, x = product(gate=False), inputs(2, 5)
    with torch.no_grad():
        memory.keys.copy_(peer.keys.permute(0, 2, 1, 3))
        memory.values.weight.copy_(peer.values.weight)
        memory.query.weight.copy_(peer.to_queries.weight.view(2, 3, 3, 12).transpose(0, 1).flatten(0, 2))
    queries = peer.norm(memory.queries(x).unflatten(-1, (2, 3))).flatten(-2)
    scores, slots = memory.best(queries, 4)
    torch.testing.assert_close(memory.read(x, scores.softmax(-1), slots), peer(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key_dim": 5}, "key_dim: 5 is odd; allowed: an even number, of two halves"),
        ({"top_k": 10}, "top_k: 10 is above n_keys; allowed: 2 to 9"),
        ({"top_k": 1}, "top_k: 1; allowed: 2 or more, since the softmax of one score is constant"),
        ({"query_norm": "rms"}, "query_norm: 'rms' is not one of none, layer, batch"),
    ],
)
def test_what_cannot_be_is_one_line(change, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        product(**change)


def test_a_flat_memory_is_in_the_mode_and_of_the_type_of_its_product():
    memory = product(query_norm="batch").double()
    memory(inputs(5, dtype=torch.float64))  # running statistics
    memory.eval()
    flat = product_to_flat(memory)
    assert not flat.training
    torch.testing.assert_close(flat(inputs(5, dtype=torch.float64)), memory(inputs(5, dtype=torch.float64)))


def test_neurons_are_not_converted():
    with pytest.raises(ValueError, match="product_to_flat: PEER has neurons in its slots"):
        product_to_flat(PEER(**SIZE))
