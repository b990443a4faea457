import math

import pytest
import torch
from memory_layer_facts import CONDITION, facts

from memorization.memory_layer.batches import Passes
from memorization.memory_layer.model import Retrieved, memories
from memorization.memory_layer.training import FactLearner
from memorization.memory_layer.value_updates import (
    TopT,
    ValueOptimizer,
    clip_gradients,
    counts_of,
    keep_rows,
    layers_of_pools,
    value_parameters,
)

FACTS = facts()


def learner(update, **change):
    return FactLearner(CONDITION | {"value_update": update, "batch_size": 2, "warmup": 0} | change, FACTS, 0, "cpu")


def moved_by_steps(ours, steps):
    """Of each step which slots were read, at answers or elsewhere, and which rows of each value moved."""
    read = []
    for memory in memories(ours.model).values():
        memory.read = lambda x, weights, slots, of=memory.read: read.append(slots.flatten()) or of(x, weights, slots)
    for n in range(1, steps + 1):
        read.clear()
        before = [each.detach().clone() for each in ours.optimizer.values]
        ours.step(n)
        moved = [(one != other).any(dim=1) for one, other in zip(before, ours.optimizer.values, strict=True)]
        yield n, torch.isin(torch.arange(64), torch.cat(read)), moved


@pytest.mark.parametrize("change", [{}, {"memory_layers": [0, 1], "shared_pool": True}, {"arm": "peer"}])
def test_rows_moves_retrieved_rows_alone_and_all_of_them(change):
    for _, retrieved, moved in moved_by_steps(learner("rows", **change), 6):
        for each in moved:
            assert not (each & ~retrieved).any()
            assert (each == retrieved).float().mean() > 0.9  # at the last token of a text the gradient is 0
            assert each.any()
            assert not each.all()


def test_dense_moves_rows_that_are_no_longer_read():
    seen = torch.zeros(64, dtype=torch.bool)
    for n, retrieved, (moved,) in moved_by_steps(learner("dense"), 6):
        seen |= retrieved
        assert torch.equal(moved, seen)
        assert n == 1 or not torch.equal(moved, retrieved)


@pytest.mark.parametrize("change", [{}, {"arm": "peer"}])
def test_top_t_moves_the_rows_that_are_its_best_and_no_other(change):
    ours = learner("top_t", **change)
    others = Passes(FACTS.copies * (FACTS.split == "new"), 2, "memory_layer", "pairs", 0, "background")
    df = sum((ours.retrievals(others.batch(n))[1] > 0).long() for n in range(1, 5))
    assert torch.equal(ours.top_t[1].df, df)
    for n in range(1, 6):
        counts = ours.retrievals(ours.passes.batch(n))[1]
        allowed = ours.top_t[1].rows(counts).tolist()
        before = [each.detach().clone() for each in ours.optimizer.values]
        ours.step(n)
        for one, other in zip(before, ours.optimizer.values, strict=True):
            assert (one != other).any(dim=1).nonzero().flatten().tolist() == allowed
        assert len(allowed) == 5


def test_the_background_is_the_trained_facts_if_there_are_no_others():
    everything = ["train", "new"]
    ours = learner("top_t", train_on=everything)
    assert ours.top_t[1].df.sum() > 0
    assert ours.top_t[1].df.max() <= 4


def test_tf_idf_is_its_formula():
    counts, df = torch.tensor([3, 0, 1, 5, 1]), torch.tensor([0, 0, 9, 8, 2])
    top = TopT(2, 9, df)
    expected = [c / 10 * math.log((9 + 1) / (d + 1)) for c, d in zip(counts.tolist(), df.tolist(), strict=True)]
    torch.testing.assert_close(top.scores(counts), torch.tensor(expected))
    assert top.rows(counts).tolist() == [0, 4]
    assert TopT(9, 9, df).rows(counts).tolist() == [0, 2, 3, 4]  # none that was not retrieved


def test_counts_are_those_of_the_layers_that_read_a_pool():
    def of(layer, slots):
        return Retrieved(layer, None, None, torch.tensor(slots))

    retrieved = [of(0, [[[0, 2]]]), of(1, [[[2, 2]]]), of(3, [[[1, 2]]])]
    assert counts_of(retrieved, 4, [0, 3]).tolist() == [1, 1, 2, 0]
    assert counts_of(retrieved, 4, [1]).tolist() == [0, 0, 2, 0]
    assert layers_of_pools(learner("rows", memory_layers=[0, 1]).model) == {0: [0], 1: [1]}
    assert layers_of_pools(learner("rows", memory_layers=[0, 1], shared_pool=True).model) == {0: [0, 1]}


def test_rows_that_are_not_kept_leave_the_gradient():
    parameter = torch.nn.Parameter(torch.zeros(5, 2))
    parameter.grad = torch.sparse_coo_tensor([[0, 2, 4]], torch.arange(6.0).view(3, 2), (5, 2), check_invariants=True)
    parameter.grad = parameter.grad.coalesce()
    keep_rows(parameter, torch.tensor([1, 2, 4]))
    assert parameter.grad.is_coalesced()
    assert parameter.grad.to_dense().tolist() == [[0, 0], [0, 0], [2, 3], [0, 0], [4, 5]]


@pytest.mark.parametrize("update", ["dense", "rows"])
def test_values_and_the_rest_are_clipped_each_to_its_norm(update):
    ours = learner(update)
    optimizer = ours.optimizer
    for parameter in optimizer.rest:
        parameter.grad = torch.full_like(parameter, 7.0)
    (values,) = optimizer.values
    rows = torch.sparse_coo_tensor([[1, 3]], torch.full((2, 16), 0.01), values.shape, check_invariants=True).coalesce()
    values.grad = rows.to_dense() if update == "dense" else rows
    optimizer.clip_gradients()
    assert values.grad.to_dense().norm().item() == pytest.approx(0.01 * 32**0.5)  # below: as it was
    rest = torch.cat([each.grad.flatten() for each in optimizer.rest])
    assert rest.norm().item() == pytest.approx(1.0, rel=1e-4)
    assert (rest == rest[0]).all()
    values.grad = values.grad * 1000
    values.grad = values.grad if update == "dense" else values.grad.coalesce()
    clip_gradients(optimizer.values, 0.5)
    assert values.grad.to_dense().norm().item() == pytest.approx(0.5, rel=1e-4)


def test_values_are_those_that_train_each_once_and_have_a_rate_of_their_own():
    both = learner("dense", memory_layers=[0, 1], shared_pool=True)
    assert [id(each) for each in value_parameters(both.model)] == [id(memories(both.model)[0].values.weight)]
    assert len(value_parameters(learner("dense", arm="peer", memory_layers=[0, 1]).model)) == 4
    assert value_parameters(learner("dense", freeze=["layers.1.feed_forward.values"]).model) == []
    both.optimizer.set_share(0.5)
    rest, values = both.optimizer.param_groups
    assert (rest["lr"], values["lr"], values["weight_decay"]) == (0.5e-2, 1.5e-2, 0.0)
    assert len(rest["params"]) + 1 == len(list(both.model.parameters()))


def test_nothing_to_train_is_refused():
    model = learner("dense").model.requires_grad_(False)
    with pytest.raises(ValueError, match=r"^freeze: nothing is left to train$"):
        ValueOptimizer(model, CONDITION)


@pytest.mark.parametrize("arm", ["memory", "peer"])
@pytest.mark.parametrize("update", ["dense", "rows", "top_t"])
def test_a_state_that_is_put_back_goes_on_to_the_same_bits(update, arm):
    one, other = learner(update, arm=arm), learner(update, arm=arm)
    for n in range(1, 5):
        one.step(n)
    other.restore({name: tensor.clone() for name, tensor in one.state().items()})
    for n in range(5, 9):
        assert torch.equal(one.step(n), other.step(n))
    there = other.state()
    assert all(torch.equal(tensor, there[name]) for name, tensor in one.state().items())
