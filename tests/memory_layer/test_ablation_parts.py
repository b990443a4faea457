from copy import deepcopy

import numpy as np
import pytest
import torch
from memory_layer_facts import CONDITION, KINDS, arrays, facts, table

from memorization.memory_layer.ablation import parts as parts_module
from memorization.memory_layer.ablation.edits import new_keys, new_values
from memorization.memory_layer.ablation.parts import groups_of, means, part_impact, without_slots
from memorization.memory_layer.ablation.run import part_tables
from memorization.memory_layer.model import Nothing, answer_logits, build, memories
from memorization.memory_layer.trained_run import TrainedRun
from memorization.memory_layer.training import Facts, evaluate

ROWS = np.array([0, 3, 17, 40, 61, 90])
GROUPS = [1, 4]
LN2 = np.log(2)
CASES = {
    "last": {},
    "earlier": {"memory_layers": [0], "keys": "flat", "positions": "rope"},
    "batch_norm": KINDS["batch_norm"],
    "shared_pool": KINDS["shared_pool"],
}


def of_rng():
    return np.random.default_rng(3)


def model_of(change):
    torch.manual_seed(5)
    model = build(CONDITION | change, facts().vocabulary, facts().length).eval()
    for memory in memories(model).values():
        memory.query.weight.data *= 4
        memory.values.weight.data *= 2
    model.head.weight.data *= 20
    return model


@torch.no_grad()
def answered(model):
    """Facts of which the model answers all but every third one right: with what it gives itself."""
    found = arrays() | {"tokens": arrays()["tokens"].astype(np.int64)}
    tokens, labels = found["tokens"], found["labels"]
    for column in range(1, tokens.shape[1]):
        given = model(torch.from_numpy(tokens[:, :column]))[:, -1].argmax(-1).numpy()
        given[::3] = tokens[::3, column]
        tokens[labels[:, column], column] = given[labels[:, column]]
    return Facts(found, "cpu")


@torch.no_grad()
def plain(model, data, row):
    """Exact, and bits, of the answer of a row: the whole model is run."""
    tokens, _, columns, _, targets = data.batch(np.array([row]))
    log_p = model(tokens)[0, columns - 1].log_softmax(-1)
    return bool((log_p.argmax(-1) == targets).all()), -log_p[range(len(targets)), targets].sum().item() / LN2


def edited(model, part, layer, number):
    """A copy of the model that is without a part, as one would edit its weights by hand."""
    copy = deepcopy(model)
    memory = copy.layers[layer].feed_forward
    with torch.no_grad():
        if part == "memory":
            copy.layers[layer].feed_forward = Nothing()
        elif part == "head":
            size = 16 // 2
            copy.layers[layer].attention.output.weight[:, number * size : (number + 1) * size] = 0
        elif part.startswith("values"):
            memory.values = deepcopy(memory.values)  # of this layer alone, where layers share them
            memory.values.weight.copy_(drawn(model, layer, part))
        else:
            memory.keys.copy_(drawn(model, layer, part))
    return copy


def drawn(model, layer, part):
    """The vectors that ``part_impact`` draws: of each layer values, keys, and the random slots of each row."""
    rng = of_rng()
    for n, memory in memories(model).items():
        new = {"values_random": new_values(memory, "random", rng), "keys_random": new_keys(memory, "random", rng)}
        new |= {"values_zero": new_values(memory, "zero", rng), "keys_zero": new_keys(memory, "zero", rng)}
        if n == layer:
            return new[part]
        groups_of(model, answered(model), ROWS, n, max(GROUPS), rng)
    raise AssertionError


@pytest.mark.parametrize("case", CASES)
def test_parts_are_those_of_editing_the_weights_and_running_the_whole_model(case):
    model = model_of(CASES[case])
    data, state = answered(model), deepcopy(model.state_dict())
    found = part_impact(model, data, ROWS, GROUPS, of_rng())
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    keys = set(zip(found["part"], found["layer"], found["number"], strict=True))
    layers = list(memories(model))
    wholes = ("memory", "values_zero", "values_random", "keys_zero", "keys_random")
    expected = {(part, layer, -1) for layer in layers for part in wholes}
    expected |= {(part, layer, size) for layer in layers for part in ("own_slots", "random_slots") for size in GROUPS}
    assert keys == expected | {("head", layer, head) for layer in (0, 1) for head in (0, 1)}
    for (part, layer, number), of in found.groupby(["part", "layer", "number"]):
        assert of["row"].tolist() == ROWS.tolist()
        if part.endswith("slots"):
            continue
        copy = edited(model, part, layer, number)
        for one in of.itertuples():
            before, after = plain(model, data, one.row), plain(copy, data, one.row)
            assert (one.exact_before, one.exact_after) == (before[0], after[0])
            assert (one.nll_before_bits, one.nll_after_bits) == pytest.approx((before[1], after[1]), rel=1e-4)
    assert set(found["exact_before"]) == {True, False}
    assert (found["exact_before"] != found["exact_after"]).any()


@pytest.mark.parametrize("case", ["last", "earlier"])
def test_groups_are_the_slots_of_largest_weight_and_masked_so_that_the_next_best_enter(case):
    model = model_of(CASES[case])
    data, (layer,) = answered(model), memories(model)
    found = part_impact(model, data, ROWS, GROUPS, of_rng())
    memory = model.layers[layer].feed_forward
    n_masked = 0
    for row in ROWS:
        weight = weights_of(model, data, layer, row)
        for size in GROUPS:
            top = sorted(weight, key=lambda slot: (-weight[slot], slot))[:size]

            def best(queries, k, top=top):
                scores = memory.scores(queries)
                scores[..., top] = -torch.inf
                return scores.topk(k, dim=-1)

            memory.best = best
            exact, bits = plain(model, data, row)
            del memory.best
            one = found[(found["part"] == "own_slots") & (found["number"] == size) & (found["row"] == row)].iloc[0]
            assert one["exact_after"] == exact
            assert one["nll_after_bits"] == pytest.approx(bits, rel=1e-4)
            n_masked += abs(one["nll_after_bits"] - one["nll_before_bits"]) > 1e-3
    assert n_masked >= 10


@torch.no_grad()
def weights_of(model, data, layer, row):
    """By slot, the weight on it summed over the places of a row that count."""
    memory, found = model.layers[layer].feed_forward, {}
    inner = []
    hook = model.layers[layer].feed_forward_norm.register_forward_hook(lambda *arguments: inner.append(arguments[2]))
    tokens, _, columns, _, _ = data.batch(np.array([row]))
    model(tokens)
    hook.remove()
    places = columns - 1 if layer == len(model.layers) - 1 else torch.arange(int(columns.max()))
    scores, slots = memory.retrieve(inner[0][0, places])
    for slot, weight in zip(slots.flatten().tolist(), scores.softmax(-1).flatten().tolist(), strict=True):
        found[slot] = found.get(slot, 0) + weight
    return found


def test_random_slots_are_some_that_other_rows_retrieve():
    model = model_of(CASES["last"])
    data = answered(model)
    sets = groups_of(model, data, ROWS, 1, 5, of_rng())
    for row, drawn_slots in zip(ROWS, sets["random_slots"], strict=True):
        others = {slot for other in ROWS if other != row for slot in weights_of(model, data, 1, other)}
        assert len({*drawn_slots}) == 5
        assert {*drawn_slots} <= others
    many = groups_of(model, data, ROWS, 1, 70, of_rng())
    for row, own in zip(ROWS, many["own_slots"], strict=True):
        weight = weights_of(model, data, 1, row)
        assert own[own >= 0].tolist() == sorted(weight, key=lambda slot: (-weight[slot], slot))
        assert (own[len(weight) :] == -1).all()


def test_slots_that_a_row_does_not_retrieve_and_none_change_nothing(monkeypatch):
    model = model_of(CASES["last"])
    data = answered(model)
    base = without_slots(model, data, ROWS, 1, np.full((len(ROWS), 2), -1))
    nll, right, _ = evaluate(model, data, ROWS)
    np.testing.assert_allclose(base["nll_bits"], nll / LN2, rtol=1e-5)
    assert base["exact"].tolist() == (right == 6).tolist()
    unread = [sorted({*range(64)} - {*weights_of(model, data, 1, row)})[:3] for row in ROWS]
    monkeypatch.setattr(parts_module, "ENTRIES", 100)
    found = without_slots(model, data, ROWS, 1, np.array(unread))
    np.testing.assert_allclose(found["nll_bits"], base["nll_bits"], rtol=1e-5)


def test_base_is_the_evaluators_and_means_are_by_part_and_split():
    model = model_of(CASES["last"])
    data = answered(model)
    settings = {"groups": [2], "n_items": 30}
    condition = CONDITION | {"train_on": ["train", "new"]}
    found = part_tables(TrainedRun(condition, table(), data.arrays, model.state_dict(), "some", 3, "cpu"), settings)
    rows = np.r_[:30, 60:72]
    answers = found["part_answers"]
    nll, right, _ = evaluate(model, data, rows)
    for _, part in answers.groupby(["part", "layer", "number"]):
        assert part["item"].tolist() == table()["item"].to_numpy()[rows].tolist()
        assert part["exact_before"].tolist() == (right == 6).tolist()
        np.testing.assert_allclose(part["nll_before_bits"], nll / LN2, rtol=1e-5)
    table_ = found["ablation_parts"]
    assert set(table_["n"]) == {30, 12}
    one = table_[(table_["part"] == "own_slots") & (table_["split"] == "train")].iloc[0]
    of = answers[(answers["part"] == "own_slots") & (answers["split"] == "train")]
    assert one["exact_after"] == of["exact_after"].mean()
    assert one["lost_share"] == (of["exact_before"] & ~of["exact_after"]).mean()
    assert one["nll_after_bits"] == pytest.approx(of["nll_after_bits"].mean(), rel=1e-5)
    assert list(one[["condition", "seed", "number"]]) == ["some", 3, 2]


def test_a_model_without_a_memory_has_its_heads_ablated_and_peers_are_refused():
    model = model_of(KINDS["none"])
    found = part_impact(model, answered(model), ROWS, GROUPS, of_rng())
    assert set(found["part"]) == {"head"}
    assert means(found, facts().split)["n"].sum() == len(found)
    peers = model_of(KINDS["peer"])
    with pytest.raises(ValueError, match="layer: 1 is of arm peer, whose slots are not ablated; allowed: arm memory"):
        part_impact(peers, facts(), ROWS, GROUPS, of_rng())


def test_as_many_slots_are_masked_as_leave_a_head_enough_and_no_more():
    model = model_of({"n_keys": 3, "top_k": 2})
    data = answered(model)
    found = part_impact(model, data, ROWS, [7], of_rng())
    assert found["nll_after_bits"].notna().all()
    with pytest.raises(ValueError, match="groups: 8; allowed with this memory: at most 7"):
        part_impact(model, data, ROWS, [1, 8], of_rng())


@pytest.mark.parametrize("fails_at", [3, 10])
def test_weights_are_the_same_bits_and_no_hook_stays_after_an_error(fails_at, monkeypatch):
    model = model_of(CASES["last"])
    data, state, calls = answered(model), deepcopy(model.state_dict()), []

    def fail(*arguments):
        calls.append(arguments)
        if len(calls) == fails_at:
            raise RuntimeError("stop")
        return real(*arguments)

    real = parts_module.after
    monkeypatch.setattr(parts_module, "after", fail)
    with pytest.raises(RuntimeError, match="stop"):
        part_impact(model, data, ROWS, GROUPS, of_rng())
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())
    tokens, at, columns, lengths, _ = data.batch(ROWS)
    assert answer_logits(model, tokens, at, columns, lengths)[0].isfinite().all()
