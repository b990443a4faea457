from copy import deepcopy
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from memory_layer_facts import CONDITION, KINDS, facts

from memorization.memory_layer.ablation import slots as slots_module
from memorization.memory_layer.ablation import tables
from memorization.memory_layer.ablation.edits import MODES, VALUE_MODES, edit, new_keys, new_values
from memorization.memory_layer.ablation.forward import keep
from memorization.memory_layer.ablation.slots import slot_impact
from memorization.memory_layer.model import answer_logits, build, memories
from memorization.memory_layer.training import evaluate

FACTS = facts()
ROWS = np.array([0, 3, 17, 40, 61, 70, 90])
LN2 = np.log(2)
CASES = {
    "last": {},
    "last_flat": {"keys": "flat", "query_norm": "layer", "n_keys": 6},
    "last_plain": {"query_norm": "batch", "gate": False, "n_keys": 16},
    "last_tiny": {"n_keys": 3},  # as many keys as a head retrieves
    "last_two": {"n_keys": 2, "top_k": 2},  # as many half-keys as slots
    "earlier": {"memory_layers": [0], "positions": "rope", "n_keys": 16},
    "earlier_flat": {"memory_layers": [0], "keys": "flat", "n_keys": 6, "n_layers": 3},
    "several": {"memory_layers": [0, 1], "positions": "sinusoidal"},
    "shared_pool": {"memory_layers": [0, 1, -1], "n_layers": 3, "shared_pool": True},
}


def model_of(case):
    """A model whose weights on slots and whose answers are far from even."""
    torch.manual_seed(5)
    model = build(CONDITION | CASES[case], FACTS.vocabulary, FACTS.length).eval()
    for memory in memories(model).values():
        memory.query.weight.data *= 4
        memory.values.weight.data *= 3
        if memory.query_norm == "batch":
            memory.norm.running_mean.uniform_(-0.5, 0.5)
    model.head.weight.data *= 20
    return model


def plain_answers(model):
    """Of each row and position: nats, and the likeliest token; the whole model is run."""
    tokens, at, columns, _, targets = FACTS.batch(ROWS)
    log_p = model(tokens)[at, columns - 1].log_softmax(-1)
    nll, given = -log_p.gather(1, targets[:, None])[:, 0], log_p.argmax(-1)
    keys = [(row, position) for row in ROWS.tolist() for position in range(6)]
    return dict(zip(keys, zip(nll.tolist(), given.tolist(), targets.tolist(), strict=True), strict=True))


def without(model, layer, mode, unit, vectors):
    """A copy of a model that is edited as one would by hand."""
    copy = deepcopy(model)
    memory = copy.layers[layer].feed_forward
    if mode == "slot_mask":
        memory.best = lambda queries, k: masked(memory, queries, [unit]).topk(k, dim=-1)
    elif mode in VALUE_MODES:
        memory.values.weight[unit] = vectors[unit]
    elif mode.startswith("key"):
        memory.keys[:, unit] = vectors[:, unit]
    else:
        half, index = divmod(unit, memory.n_keys)
        memory.keys[:, half, index] = vectors[:, half, index]
    return copy


def masked(memory, queries, units):
    scores = memory.scores(queries)
    scores[..., units] = -torch.inf
    return scores


def same_bits(model, state):
    return all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def of_rng():
    return np.random.default_rng(3)


CHECKED = [  # of each case the layers that have a memory, and the modes that its keys have
    (case, layer, mode)
    for case, layer, mode in product(CASES, (0, 1), MODES)
    if layer in [n % CASES[case].get("n_layers", 2) for n in CASES[case].get("memory_layers", [-1])]
    and mode.startswith(("slot", "value", "key_" if CASES[case].get("keys") == "flat" else "halfkey_"))
]


@torch.no_grad()
@pytest.mark.parametrize(("case", "layer", "mode"), CHECKED)
def test_impact_is_that_of_editing_the_weights_and_running_the_whole_model(case, layer, mode):
    model = model_of(case)
    changes, state = edit(memories(model)[layer], mode, of_rng()), deepcopy(model.state_dict())
    impact, base = slot_impact(model, FACTS, ROWS, layer, mode, of_rng())
    assert same_bits(model, state)
    assert base["row"].tolist() == ROWS.tolist()
    before_ = plain_answers(model)
    assert set(impact["half"]) == ({0, 1} if mode.startswith("halfkey") else {-1})
    unit = impact["slot"] + np.where(impact["half"] > 0, changes.n_units // 2, 0)
    keys = zip(unit, impact["row"], impact["position"], strict=True)
    found = dict(zip(keys, impact.itertuples(), strict=True))
    assert len(found) == len(impact) > 0
    n_affected = 0
    for unit in sorted({key[0] for key in found} | {0})[:32]:
        now = plain_answers(without(model, layer, mode, unit, getattr(changes, "vectors", None)))
        for (row, position), (nll, given, target) in before_.items():
            nll_now, given_now, _ = now[row, position]
            one = found.get((unit, row, position))
            if one is None:
                assert (nll_now, given_now) == (pytest.approx(nll, abs=2e-6), given)
                continue
            n_affected += abs(nll_now - nll) > 1e-4
            assert one.nll_change_bits == pytest.approx((nll_now - nll) / LN2, rel=1e-4, abs=2e-5)
            assert (one.right_before, one.right_after) == (given == target, given_now == target)
            assert one.changed == (given != given_now)
            assert one.n_wrong == sum(before_[row, each][1] != before_[row, each][2] for each in range(6))
    assert n_affected > 30


@pytest.mark.parametrize(("case", "layer"), [("last", 1), ("earlier", 0), ("shared_pool", 0), ("shared_pool", 1)])
def test_what_is_kept_is_what_the_model_reads_and_makes(case, layer):
    model = model_of(case)
    parts = list(keep(model, FACTS, ROWS, layer, answers=12))
    assert [part.rows.tolist() for part in parts] == [[0, 3], [17, 40], [61, 70], [90]]
    memory = model.layers[layer].feed_forward
    for part in parts:
        tokens, at, columns, lengths, targets = FACTS.batch(part.rows)
        logits, retrieved = answer_logits(model, tokens, at, columns, lengths)
        torch.testing.assert_close(part.logits, logits)
        assert (part.at.tolist(), part.columns.tolist()) == (at.tolist(), columns.tolist())
        assert part.targets.tolist() == targets.tolist()
        torch.testing.assert_close(memory.read(part.inner, part.weights, part.slots[..., :-1]), memory(part.inner))
        torch.testing.assert_close(part.residual, part.stream[part.text, part.column])
        scores, slots = memory.scores(part.queries).topk(memory.top_k + 1, dim=-1)
        torch.testing.assert_close(part.scores, scores)
        assert part.slots.tolist() == slots.tolist()
        place = {key: n for n, key in enumerate(zip(part.text.tolist(), part.column.tolist(), strict=True))}
        here = [place[text, column - 1] for text, column in zip(at.tolist(), columns.tolist(), strict=True)]
        (of_layer,) = [each for each in retrieved if each.layer == layer]
        torch.testing.assert_close(part.weights[here], of_layer.weights)


@torch.no_grad()
@pytest.mark.parametrize("mode", ["slot_mask", "value_zero"])
def test_tokens_before_the_first_place_that_reads_a_slot_are_not_affected(mode):
    """Of a memory in an earlier layer, a token is affected by what is read at all places up to the one before it."""
    model = model_of("earlier")
    impact, _ = slot_impact(model, FACTS, ROWS, 0, mode, of_rng())
    expected = set()
    for row in ROWS:
        tokens, _, columns, _, _ = FACTS.batch(np.array([row]))
        _, slots = model.layers[0].feed_forward.retrieve(inner_of(model, tokens)[0])
        for position, column in enumerate(columns.tolist()):
            expected |= {(row, position, slot) for slot in slots[:column].flatten().tolist()}
    assert set(zip(impact["row"], impact["position"], impact["slot"], strict=True)) == expected


def inner_of(model, tokens):
    """What the feed-forward part of the first layer gets."""
    layer, x = model.layers[0], model.token_embedding(tokens)
    return layer.feed_forward_norm(x + layer.attention(layer.attention_norm(x)))


@pytest.mark.parametrize(("case", "mode"), [("last", "halfkey_random"), ("earlier_flat", "key_random")])
def test_parts_of_any_size_give_the_same(case, mode, monkeypatch):
    layer = len(CASES[case].get("memory_layers", [])) - 1
    layer = 0 if layer == 0 else 1
    model = model_of(case)
    whole, base = slot_impact(model, FACTS, ROWS, layer, mode, of_rng())
    for name in ("PAIRS", "PLACES"):
        monkeypatch.setattr(slots_module, name, 40)
    monkeypatch.setattr(slots_module, "keep", lambda *arguments: keep(*arguments, answers=13))
    monkeypatch.setattr("memorization.memory_layer.ablation.edits.ENTRIES", 300)
    parts, base_of_parts = slot_impact(model, FACTS, ROWS, layer, mode, of_rng())
    order = ["half", "slot", "row", "position"]
    assert whole[[*order, "right_after", "changed"]].equals(parts[[*order, "right_after", "changed"]])
    np.testing.assert_allclose(whole["nll_change_bits"], parts["nll_change_bits"], atol=1e-5)
    np.testing.assert_allclose(base["nll_bits"], base_of_parts["nll_bits"], rtol=1e-5)


@pytest.mark.parametrize("case", ["last", "earlier_flat", "shared_pool"])
def test_base_is_the_evaluators(case):
    model = model_of(case)
    _, base = slot_impact(model, FACTS, ROWS, 0 if case != "last" else 1, "value_zero", of_rng())
    nll, right, _ = evaluate(model, FACTS, ROWS)
    assert (6 - right).tolist() == base["n_wrong"].tolist()
    np.testing.assert_allclose(nll / LN2, base["nll_bits"], rtol=1e-5)


@pytest.mark.parametrize(
    ("case", "mode"), [("last", "halfkey_zero"), ("last_flat", "key_zero"), ("last_flat", "key_random")]
)
def test_a_new_key_attracts_tokens_that_did_not_retrieve_it(case, mode):
    """Of all that it does to tokens that did not, as the test above finds it, nothing is left out."""
    model = model_of(case)
    memory = model.layers[1].feed_forward
    if mode.endswith("zero"):  # scores below 0, where a key of zeros enters
        memory.query.weight.data.zero_()
        memory.query.bias.data.fill_(1)
        if memory.query_norm == "layer":
            memory.norm.weight.data.zero_()
            memory.norm.bias.data.fill_(1)
        memory.keys.data.copy_(-memory.keys.data.abs())
    (kept,) = keep(model, FACTS, ROWS, 1)
    changes = edit(memory, mode, of_rng())
    place, unit = changes.pairs(kept)
    read = changes.units(kept.slots[..., : memory.top_k].flatten(1))
    assert (read[place] != unit[:, None]).all(dim=1).any()


def test_pairs_of_values_and_masks_are_those_that_are_retrieved():
    (kept,) = keep(model_of("last"), FACTS, ROWS, 1)
    expected = {(n, slot) for n, of in enumerate(kept.slots[..., :-1].flatten(1).tolist()) for slot in of}
    for mode in ("slot_mask", "value_random"):
        place, unit = edit(model_of("last").layers[1].feed_forward, mode, of_rng()).pairs(kept)
        assert list(zip(place.tolist(), unit.tolist(), strict=True)) == sorted(expected)


@pytest.mark.parametrize(("kind", "layer", "mode", "message"), [
    ("peer", 1, "slot_mask", "layer: 1 is of arm peer"),
    ("memory", 0, "slot_mask", "layer: 0 has no memory; allowed: 1"),
    ("none", 0, "slot_mask", "allowed: none"),
    ("memory", 1, "key_zero", "mode: 'key_zero'; allowed with this memory: slot_mask, .* halfkey_random$"),
    ("flat", 1, "halfkey_zero", "mode: 'halfkey_zero'; allowed with this memory: slot_mask, .* key_zero, key_random$"),
])  # fmt: skip
def test_what_cannot_be_ablated_is_refused(kind, layer, mode, message):
    model = build(CONDITION | KINDS[kind], FACTS.vocabulary, FACTS.length)
    with pytest.raises(ValueError, match=message):
        slot_impact(model, FACTS, ROWS, layer, mode, of_rng())


@pytest.mark.parametrize("mode", ["slot_mask", "value_random", "halfkey_random"])
def test_weights_are_the_same_bits_after_an_error(mode, monkeypatch):
    model = model_of("last")
    state = deepcopy(model.state_dict())

    def fail(*_):
        raise RuntimeError("stop")

    monkeypatch.setattr(slots_module, "_columns", fail)
    with pytest.raises(RuntimeError, match="stop"):
        slot_impact(model, FACTS, ROWS, 1, mode, of_rng())
    assert same_bits(model, state)


def test_some_units_alone_are_ablated_as_among_all():
    for case, layer, mode, units in (("last", 1, "halfkey_random", [3, 9]), ("shared_pool", 0, "value_zero", [5, 11])):
        whole, base = slot_impact(model_of(case), FACTS, ROWS, layer, mode, of_rng())
        some, base_of_some = slot_impact(model_of(case), FACTS, ROWS, layer, mode, of_rng(), units)
        number = whole["slot"] + 8 * whole["half"].clip(lower=0)
        wanted = whole[number.isin(units)].reset_index(drop=True)
        assert len(wanted) > 5
        pd.testing.assert_frame_equal(some, wanted, rtol=1e-4, atol=1e-5)
        pd.testing.assert_frame_equal(base, base_of_some)


def test_random_vectors_are_of_the_distribution_of_a_new_memory():
    memory = build(CONDITION | {"n_keys": 64}, FACTS.vocabulary, FACTS.length).layers[1].feed_forward
    for drawn, weights in ((new_values, memory.values.weight), (new_keys, memory.keys)):
        new, weights = drawn(memory, "random", of_rng()), weights.detach()
        assert new.shape == weights.shape
        assert new.dtype == weights.dtype
        assert torch.equal(new, drawn(memory, "random", of_rng()))
        quantiles = torch.linspace(0, 1, 11)[1:-1]
        torch.testing.assert_close(
            new.flatten()[:60_000].quantile(quantiles),
            weights.flatten()[:60_000].quantile(quantiles),
            atol=0.03,
            rtol=0,
        )
        assert not drawn(memory, "zero", of_rng()).any()
    assert new.abs().max() <= 8**-0.5


def test_tables_by_hand():
    """Row 7 is exact; row 8 has a wrong token, which slot 1 makes right at position 1 and slot 2 leaves."""
    columns = ["row", "position", "half", "slot", "nll_change_bits", "right_before", "right_after", "changed"]
    impact = pd.DataFrame([
        (7, 0, -1, 1, 1.0, True, False, True, 0),
        (7, 1, -1, 1, 2.0, True, True, False, 0),
        (8, 1, -1, 1, -4.0, False, True, True, 1),
        (8, 1, -1, 2, 0.5, False, False, False, 1),
        (7, 0, -1, 2, 0.25, True, True, False, 0),
        (7, 1, -1, 3, 8.0, True, True, False, 0),
    ], columns=[*columns, "n_wrong"])  # fmt: skip
    base = pd.DataFrame({"row": [7, 8, 9], "n_wrong": [0, 1, 0], "nll_bits": [1.0, 2.0, 3.0]})
    answers = tables.by_answer(impact)
    assert answers.drop(columns="half").values.tolist() == [
        [1, 7, 3.0, True, False, True],
        [1, 8, -4.0, False, True, True],
        [2, 7, 0.25, True, True, False],
        [2, 8, 0.5, False, False, False],
        [3, 7, 8.0, True, True, False],
    ]
    slots = tables.by_slot(answers)
    assert slots.drop(columns="half").values.tolist() == [
        [1, 2, 1, 1, 2, -0.5, 3.0], [2, 2, 0, 0, 0, 0.375, 0.5], [3, 1, 0, 0, 0, 8.0, 8.0]
    ]  # fmt: skip
    positions = tables.by_position(impact).drop(columns="half")
    assert positions.values.tolist() == [
        [1, 0, 1, 1, 0, 1.0], [1, 1, 2, 0, 1, -1.0], [2, 0, 1, 0, 0, 0.25], [2, 1, 1, 0, 0, 0.5], [3, 1, 1, 0, 0, 8.0]
    ]  # fmt: skip
    shares = tables.shares(slots, answers, 10, base)
    expected = {"n_slots": 10, "unused": 0.7, "redundant": 0.2, "deciding": 0.1, "n_answers": 3, "exact_share": 2 / 3}
    assert shares == pytest.approx(expected | {"fragile": 0.5, "lost_share": 1 / 20, "most_bits": (8 + 0.5) / 2})


def test_no_rows_give_empty_tables():
    impact, base = slot_impact(model_of("last"), FACTS, ROWS[:0], 1, "slot_mask", of_rng())
    answers = tables.by_answer(impact)
    slots = tables.by_slot(answers)
    for table in (impact, base, answers, slots, tables.by_position(impact)):
        assert table.empty
    assert {*impact.dtypes[["right_before", "changed"]], *answers.dtypes[["exact_after", "changed"]]} == {
        np.dtype(bool)
    }
    assert slots.dtypes["n_lost"] == np.int64
    assert tables.shares(slots, answers, 64, base)["unused"] == 1
