from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from memory_layer_by_hand import answered_facts
from memory_layer_facts import CONDITION, KINDS, facts, table

from memorization.memory_layer.ablation.cuts import cuts
from memorization.memory_layer.ablation.run import slot_tables
from memorization.memory_layer.ablation.tables import by_answer, by_slot, exposure_bins
from memorization.memory_layer.model import build
from memorization.memory_layer.trained_run import TrainedRun
from memorization.memory_layer.training import passes_of

ROWS = np.arange(20)
SMALL = CONDITION | {"n_keys": 3, "top_k": 2}  # 9 slots


def model_of(condition, common=0.8):
    """A model whose values all point in one direction a little, so that several slots know each answer."""
    torch.manual_seed(7)
    model = build(condition, facts().vocabulary, facts().length).eval()
    memory = model.layers[-1].feed_forward
    memory.query.weight.data *= 4
    memory.values.weight.data = memory.values.weight.data / 2 + common * torch.randn(16)
    return model


@torch.no_grad()
def fewest(model, data, row, most):
    """The size of the smallest set of slots without which a row is answered wrong, all sets tried; None above most."""
    memory = model.layers[-1].feed_forward
    tokens, _, columns, _, targets = data.batch(np.array([row]))
    for size in range(1, most + 1):
        for some in combinations(range(memory.n_slots), size):

            def best(queries, k, some=some):
                scores = memory.scores(queries)
                scores[..., list(some)] = -torch.inf
                return scores.topk(k, dim=-1)

            memory.best = best
            right = model(tokens)[0, columns - 1].argmax(-1) == targets
            del memory.best
            if not right.all():
                return size
    return None


def test_greedy_cuts_of_one_head_are_the_smallest_ones():
    model = model_of(SMALL | {"memory_heads": 1})
    data = answered_facts(model)
    found = cuts(model, data, ROWS[:12], 3)
    assert found["row"].tolist() == ROWS[:12].tolist()
    expected = [fewest(model, data, row, 3) for row in ROWS[:12]]
    assert [one.cut if one.flipped else None for one in found.itertuples()] == expected
    assert {1, 3, None} <= {*expected}
    with torch.no_grad():
        for one in found.itertuples():
            tokens, _, columns, _, targets = data.batch(np.array([one.row]))
            logits = model(tokens)[0, columns - 1].numpy()
            margins = [each[right] - np.delete(each, right).max() for each, right in zip(logits, targets, strict=True)]
            assert one.margin == pytest.approx(min(margins), rel=1e-4)
    assert (found.loc[~found["flipped"], "cut"] == 3).all()


def test_greedy_cuts_are_never_below_the_smallest_ones_and_mostly_the_same():
    model = model_of(SMALL)
    data = answered_facts(model)
    found = cuts(model, data, ROWS, 4)
    expected = np.array([fewest(model, data, row, 3) for row in ROWS])
    assert (found["cut"] >= expected).all()
    assert (found["cut"] == expected).sum() >= 18
    assert {1, 2, 3} <= {*found["cut"]}


def test_parts_of_any_size_give_the_same_cuts(monkeypatch):
    model = model_of(SMALL)
    data = answered_facts(model)
    whole = cuts(model, data, ROWS, 4)
    monkeypatch.setattr("memorization.memory_layer.ablation.cuts.ANSWERS", 13)
    monkeypatch.setattr("memorization.memory_layer.ablation.cuts.PAIRS", 20)
    assert cuts(model, data, ROWS, 4).equals(whole)
    fewer = cuts(model, data, ROWS, 2)
    assert fewer["cut"].tolist() == whole["cut"].clip(upper=2).tolist()
    assert fewer["flipped"].tolist() == (whole["flipped"] & (whole["cut"] <= 2)).tolist()


def test_as_many_slots_are_masked_as_leave_a_head_enough():
    """Of values that all know every answer, so that no cut flips it."""
    model = model_of(SMALL)
    memory = model.layers[-1].feed_forward
    memory.values.weight.data[:] = memory.values.weight.data[:1]
    found = cuts(model, answered_facts(model), ROWS[:4], 7)
    assert found["cut"].tolist() == [7] * 4
    assert not found["flipped"].any()


def test_bins_of_exposures_are_of_a_factor_of_two():
    assert exposure_bins(np.array([0, 1, 2, 3, 4, 7, 8, 100])).tolist() == [1, 1, 2, 2, 4, 4, 8, 64]


def test_answers_that_are_wrong_have_no_cut():
    model = model_of(SMALL)
    data = answered_facts(model)
    column = int(data.labels[3].nonzero()[0])
    data.tokens[3, column] = (data.tokens[3, column] + 1) % data.vocabulary
    assert cuts(model, data, ROWS[:6], 4)["row"].tolist() == [0, 1, 2, 4, 5]


@pytest.mark.parametrize(("change", "maximum", "message"), [
    ({}, 8, "maximum: 8; allowed with this memory: 1 to 7"),
    ({}, 0, "maximum: 0; allowed"),
    ({"memory_layers": [0]}, 2, "layer: 1 has no memory; allowed: 0"),
    ({"arm": "peer"}, 2, "layer: 1 is of arm peer"),
])  # fmt: skip
def test_cuts_that_cannot_be_looked_for_are_refused(change, maximum, message):
    model = build(SMALL | change, facts().vocabulary, facts().length)
    with pytest.raises(ValueError, match=message):
        cuts(model, facts(), ROWS, maximum)


SETTINGS = {"modes": ["slot_mask", "value_zero", "key_zero"], "n_items": 12, "n_cuts": 7, "max_cut": 4}


def tables_of(condition, model, data):
    return slot_tables(TrainedRun(condition, table(), data.arrays, model.state_dict(), "some", 3, "cpu"), SETTINGS)


def test_tables_of_a_run_are_of_its_trained_facts():
    model = model_of(SMALL)
    data = answered_facts(model)
    found = tables_of(SMALL, model, data)
    cut = found["cuts"]
    assert cut["item"].tolist() == table()["item"].tolist()[:7]
    assert cut[["cut", "flipped"]].equals(cuts(model, data, np.arange(7), 4)[["cut", "flipped"]])
    exposures, _ = passes_of(SMALL, data, 3).exposures(20)
    assert cut["exposures"].tolist() == exposures[:7].tolist()
    assert set(found["impact"]["mode"]) == {"slot_mask", "value_zero"}
    assert set(found["impact"]["item"]) == set(table()["item"][:12])
    shares = found["ablation_shares"].set_index("mode")
    assert shares["n_answers"].tolist() == [12, 12]
    assert shares["exact_share"].tolist() == [1, 1]
    slots = found["ablation"]
    for mode, of_mode in found["impact"].groupby("mode"):
        by_hand = by_slot(by_answer(of_mode.assign(row=of_mode["item"])))
        of_table = slots.loc[slots["mode"] == mode, list(by_hand)].reset_index(drop=True)
        pd.testing.assert_frame_equal(of_table, by_hand, check_dtype=False)
    for mode, share in shares.iterrows():
        of_mode = slots[slots["mode"] == mode]
        assert share["deciding"] == pytest.approx((of_mode["n_lost"] > 0).sum() / 9)
    assert {(one.condition, one.seed, one.layer) for one in slots.itertuples()} == {("some", 3, 1)}
    assert found["ablation_positions"]["n"].sum() >= found["ablation"]["n"].sum()


def test_a_memory_in_two_layers_with_one_pool_has_its_values_ablated_once():
    condition = SMALL | KINDS["shared_pool"]
    model = build(condition, facts().vocabulary, facts().length)
    slots = tables_of(condition, model, facts())["ablation"]
    layers = slots.groupby("mode")["layer"].unique()
    assert layers["slot_mask"].tolist() == [0, 1]
    assert layers["value_zero"].tolist() == [0]


def test_tables_without_rows_have_the_same_types_and_peers_are_refused():
    of_memory = tables_of(SMALL, model_of(SMALL), answered_facts(model_of(SMALL)))
    earlier, none = SMALL | {"memory_layers": [0]}, SMALL | KINDS["none"]
    found = {name: tables_of(each, model_of_kind(each), facts()) for name, each in (("rope", earlier), ("none", none))}
    assert not found["rope"]["ablation"].empty
    for each in [found["rope"]["cuts"], *found["none"].values()]:
        assert each.empty
    for of_kind in found.values():
        for name, each in of_kind.items():
            assert each.dtypes.to_dict() == of_memory[name].dtypes.to_dict(), name
    peer = SMALL | KINDS["peer"]
    with pytest.raises(ValueError, match="layer: 1 is of arm peer"):
        tables_of(peer, model_of_kind(peer), facts())


def model_of_kind(condition):
    return build(condition, facts().vocabulary, facts().length)
