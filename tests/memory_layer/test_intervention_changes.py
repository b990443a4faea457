import copy

import numpy as np
import pytest
import torch
from memory_layer_by_hand import FACTS, OF_MEMORIES, ROWS, logits_of, made, retrieved_pair

from memorization.memory_layer.intervention import changes
from memorization.memory_layer.intervention.answered import answered
from memorization.memory_layer.intervention.changes import content, exchanged, injected, replaced, swapped
from memorization.memory_layer.intervention.swaps import kinds_of
from memorization.memory_layer.model import memories


def all_changes(memory):
    slots = torch.zeros(1, memory.n_heads, memory.top_k, dtype=torch.int64)
    weights = torch.full(slots.shape, 1 / memory.top_k)
    kinds = ["values", *dict.fromkeys(("keys", kinds_of(memory)[1]))]
    new = {"mean": changes.mean_content(memory), "other": content(memory, 2), "zero": 0 * content(memory, 2)}
    found = {f"swap_{kind}": (swapped, kind, 1, 10) for kind in kinds}
    found |= {f"replace_{name}": (replaced, 1, each) for name, each in new.items()}
    found["inject"] = (injected, (slice(0, 1),), slots, weights)
    return found


@pytest.mark.parametrize("name", OF_MEMORIES)
def test_every_bit_comes_back_also_after_an_error(name):
    model, layer = made(name)
    memory, before = memories(model)[layer], copy.deepcopy(model.state_dict())
    attributes, logits = set(memory.__dict__), logits_of(model)
    for change, *arguments in all_changes(memory).values():
        with pytest.raises(RuntimeError, match=r"^stop$"), change(memory, *arguments):
            raise RuntimeError("stop")
        assert set(memory.__dict__) == attributes
        assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
        assert torch.equal(logits_of(model), logits)


@pytest.mark.parametrize("name", OF_MEMORIES)
def test_every_change_does_something_inside(name):
    model, layer = made(name)
    logits, (i, j) = logits_of(model), retrieved_pair(model, layer)
    memory = memories(model)[layer]
    for kind in ("values", "keys", kinds_of(memory)[1]):
        with swapped(memory, kind, i, j):
            assert not torch.allclose(logits_of(model), logits, atol=1e-3)
    with replaced(memory, i, content(memory, j)):
        assert torch.equal(memory.values.weight[i], memory.values.weight[j])
        assert not torch.allclose(logits_of(model), logits, atol=1e-3)


@pytest.mark.parametrize("name", ["memory", "flat", "rope"])
def test_identity_and_double_swaps_change_no_bit(name):
    model, layer = made(name)
    memory, logits, (i, j) = memories(model)[layer], logits_of(model), retrieved_pair(model, layer)
    for kind in ("values", "keys", kinds_of(memory)[1]):
        with swapped(memory, kind, i, i):
            assert torch.equal(logits_of(model), logits)
        with swapped(memory, kind, i, j), swapped(memory, kind, i, j):
            assert torch.equal(logits_of(model), logits)
        with swapped(memory, kind, i, j), swapped(memory, kind, j, i):
            assert torch.equal(logits_of(model), logits)


@pytest.mark.parametrize("name", ["memory", "flat"])
def test_slots_that_no_example_retrieves_change_no_bit(name):
    model, layer = made(name)
    memory, logits = memories(model)[layer], logits_of(model)
    unused = np.flatnonzero(np.bincount(answered(model, FACTS, ROWS, layer).slots.flatten(), minlength=64) == 0)
    i, j = (int(each) for each in unused[:2])
    for kind in ("values", "keys"):
        with swapped(memory, kind, i, j):
            assert torch.equal(logits_of(model), logits)
    for new in (content(memory, j), changes.mean_content(memory), 100 + content(memory, i)):
        with replaced(memory, i, new):
            assert torch.equal(logits_of(model), logits)


@pytest.mark.parametrize("name", ["memory", "flat", "rope"])
def test_whole_keys_swapped_are_values_swapped(name):
    model, layer = made(name)
    memory, (i, j) = memories(model)[layer], retrieved_pair(model, layer)
    found = []
    for kind in ("values", "keys"):
        with swapped(memory, kind, i, j):
            found.append(logits_of(model))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("kind", ["keys", "half_keys"])
def test_swaps_of_keys_permute_what_is_retrieved(kind):
    memory = memories(made("memory")[0])[1]
    x = torch.randn(50, 16, generator=torch.Generator().manual_seed(0))
    scores, slots = memory.retrieve(x)
    with swapped(memory, kind, 11, 50):
        found = memory.retrieve(x)
    torch.testing.assert_close(found[0], scores)
    pairs = [(1, 6), (3, 2)]  # 11 = 1·8 + 3 and 50 = 6·8 + 2
    plain = {n: n for n in range(64)} | {11: 50, 50: 11}
    if kind == "half_keys":
        of = [{one: other, other: one} for one, other in pairs]
        plain = {n: of[0].get(n // 8, n // 8) * 8 + of[1].get(n % 8, n % 8) for n in range(64)}
    assert found[1].tolist() == [[[plain[n] for n in head] for head in row] for row in slots.tolist()]
    assert torch.equal(exchanged(memory, kind, slots, 11, 50), found[1])


def test_an_injected_position_retrieves_what_it_is_given_and_others_what_they_did():
    model, layer = made("memory")
    memory, x = memories(model)[layer], torch.randn(3, 7, 16, generator=torch.Generator().manual_seed(0))
    slots, weights = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]])
    with torch.no_grad():
        before = memory(x)
        with injected(memory, (1, 4), slots, weights):
            after = memory(x)
        values = memory.values.weight
        pooled = 0.5 * values[1] + 0.3 * values[2] + 0.2 * values[3] + values[4]
        torch.testing.assert_close(after[1, 4], memory.output(x[1, 4], pooled))
    others = torch.ones(3, 7, dtype=torch.bool)
    others[1, 4] = False
    assert torch.equal(after[others], before[others])


def test_flat_keys_have_no_halves_and_kinds_have_names():
    memory = memories(made("flat")[0])[1]
    with pytest.raises(ValueError, match=r"^half_keys: flat keys have no halves"), swapped(memory, "half_keys", 0, 1):
        pass
    with pytest.raises(ValueError, match=r"^kind: 'value' is not one of values, keys, half_keys"):
        swapped(memory, "value", 0, 1).__enter__()
