import pytest
import torch
from memory_layer_facts import CONDITION, KINDS, facts

from memorization.memory_layer.model import answer_logits, build, memories, pools

FACTS = facts()


def model_of(name, **change):
    torch.manual_seed(0)
    return build(CONDITION | KINDS[name] | change, FACTS.vocabulary, FACTS.length).eval()


def batch():
    """Texts of several lengths, padded behind, with places of several numbers in them."""
    torch.manual_seed(1)
    lengths = torch.tensor([14, 9, 11])
    tokens = torch.randint(FACTS.vocabulary - 1, (3, 14))
    tokens[torch.arange(14) >= lengths[:, None]] = FACTS.vocabulary - 1
    places = torch.tensor([[0, 1], [0, 7], [0, 13], [1, 8], [2, 3], [2, 10]])
    return tokens, *places.T, lengths


@pytest.mark.parametrize("name", KINDS)
def test_answers_are_those_of_the_whole_model_at_their_places(name):
    model, (tokens, rows, columns, lengths) = model_of(name), batch()
    logits, retrieved = answer_logits(model, tokens, rows, columns, lengths)
    torch.testing.assert_close(logits, model(tokens)[rows, columns - 1], rtol=1e-5, atol=1e-6)
    assert [each.layer for each in retrieved] == sorted(memories(model))


@pytest.mark.parametrize("name", ["memory", "flat", "rope", "shared_pool", "peers"])
def test_what_is_retrieved_is_what_the_memory_of_the_whole_model_retrieves(name):
    model, (tokens, rows, columns, lengths) = model_of(name), batch()
    inputs = {}
    for n, memory in memories(model).items():
        memory.register_forward_hook(lambda module, given, _, n=n: inputs.update({n: given[0]}))
    model(tokens)
    _, retrieved = answer_logits(model, tokens, rows, columns, lengths)
    for layer, scores, weights, slots in retrieved:
        memory = memories(model)[layer]
        every = memory.scores(memory.queries(inputs[layer][rows, columns - 1]))
        expected, best = every.topk(3, dim=-1)
        torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(weights, expected.softmax(-1), rtol=1e-4, atol=1e-6)
        assert torch.equal(slots, best)
        assert slots.shape == (6, 2, 3)


def test_batch_norm_in_an_earlier_layer_is_of_the_unpadded_tokens():
    model, (tokens, rows, columns, lengths) = model_of("batch_norm", memory_layers=[0], positions="rope"), batch()
    model.train()
    logits, _ = answer_logits(model, tokens, rows, columns, lengths)
    tokens[1, 9:] = 3  # behind its end
    other, _ = answer_logits(model, tokens, rows, columns, lengths)
    torch.testing.assert_close(other, logits)
    lengths[1] = 14
    assert not torch.allclose(answer_logits(model, tokens, rows, columns, lengths)[0], logits)


def test_a_shared_pool_is_one_that_all_layers_read():
    both = model_of("shared_pool")
    assert memories(both)[0].values is memories(both)[1].values
    assert list(pools(both)) == [0]
    assert list(pools(model_of("sinusoidal"))) == [0, 1]
    assert pools(model_of("none")) == {}


def test_without_a_module_the_layer_adds_nothing():
    model = model_of("none")
    x = torch.randn(2, 3, 16)
    assert torch.equal(model.layers[1].feed_forward(x), torch.zeros_like(x))
    assert not list(model.layers[1].feed_forward.parameters())


@pytest.mark.parametrize(("update", "sparse"), [("dense", False), ("rows", True), ("top_t", True)])
def test_values_have_the_gradient_that_their_update_needs(update, sparse):
    model, inputs = model_of("peer", value_update=update), batch()
    answer_logits(model, *inputs)[0].sum().backward()
    memory = memories(model)[1]
    assert memory.values.weight.grad.is_sparse == memory.down.weight.grad.is_sparse == sparse
