import itertools
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from memory_layer_by_hand import (
    FACTS,
    OF_MEMORIES,
    ROWS,
    answered_facts,
    answers_by_hand,
    by_hand,
    kept_of,
    logits_of,
    made,
    retrieved_pair,
)
from memory_layer_facts import CONDITION, KINDS, arrays, table

from memorization.memory_layer.intervention.ablated import ablated_table
from memorization.memory_layer.intervention.answered import answered, answers_after_swap, largest, total_weights
from memorization.memory_layer.intervention.changes import swapped
from memorization.memory_layer.intervention.run import intervention_tables
from memorization.memory_layer.intervention.swaps import examples_of, kinds_of, most_used, swap_table
from memorization.memory_layer.model import build, memories
from memorization.memory_layer.trained_run import TrainedRun

SETTINGS = {"n_slots": 5, "n_examples": 9, "n_permutations": 9}


@pytest.mark.parametrize("name", OF_MEMORIES)
def test_answers_after_a_swap_are_those_of_a_model_swapped_by_hand(name):
    model, layer = made(name)
    memory, kept, (i, j) = memories(model)[layer], kept_of(model, layer), retrieved_pair(model, layer)
    assert (kept.residual is None) == (name in ("rope", "shared_pool"))
    changed, tokens = 0, np.flatnonzero(((kept.slots == i) | (kept.slots == j)).flatten(1).any(dim=1).numpy())
    for kind in kinds_of(memory):
        hand = answers_by_hand(by_hand(model, layer, kind, i, j), ROWS)
        found, bits = answers_after_swap(model, FACTS, kept, tokens, kind, i, j)
        assert found.tolist() == [hand[kept.row[token], kept.position[token]] for token in tokens]
        with swapped(memory, kind, i, j):
            log_p = logits_of(model).log_softmax(dim=-1)[tokens, kept.target[tokens]]
        np.testing.assert_allclose(bits, -log_p / np.log(2), rtol=1e-4, atol=1e-5)
        changed += (found != kept.given[tokens]).sum()
    assert changed


def test_the_largest_weight_is_summed_over_heads():
    kept = answered(*made("memory")[:1], FACTS, ROWS, 1)
    totals = Counter()
    for token, slot in enumerate(largest(kept)):
        sums = Counter()
        for one, weight in zip(
            kept.slots[token].flatten().tolist(), kept.weights[token].flatten().tolist(), strict=True
        ):
            sums[one] += weight
        assert sums[int(slot)] == pytest.approx(max(sums.values()))
        totals.update(sums)
    np.testing.assert_allclose(total_weights(kept), [totals[n] for n in range(max(totals) + 1)], rtol=1e-5)
    hand = answers_by_hand(made("memory")[0], ROWS)
    assert kept.given.tolist() == [hand[place] for place in zip(kept.row, kept.position, strict=True)]


@pytest.mark.parametrize("name", ["memory", "rope"])
def test_the_swap_matrix_is_that_of_a_plain_loop(name):
    """Swap by hand, run the whole model, and count, pair by pair."""
    model, layer = made(name)
    kept = kept_of(model, layer)
    found = swap_table(model, FACTS, kept, 4)
    sums = found[["partner_share", "own_share", "neither_share"]].sum(axis=1)
    np.testing.assert_allclose(sums, found["n"] > 0)
    examples = examples_of(kept)
    slots = most_used(kept, examples, 4).tolist()
    of = {slot: examples.index[examples["slot"] == slot].tolist() for slot in slots}
    content_at = {}
    for slot, position in itertools.product(slots, range(6)):
        counts = Counter(int(kept.target[t]) for t in of[slot] if kept.position[t] == position)
        if counts:
            content_at[slot, position] = min(counts, key=lambda token, c=counts: (-c[token], token))
    changed, rows = 0, 0
    for kind, (i, j) in itertools.product(kinds_of(memories(model)[layer]), itertools.permutations(slots, 2)):
        swapped_by_hand = by_hand(model, layer, kind, i, j)
        hand, log_p = answers_by_hand(swapped_by_hand, ROWS), logits_of(swapped_by_hand).log_softmax(dim=-1)
        for position in sorted({int(kept.position[t]) for t in of[i]}):
            tokens = [t for t in of[i] if kept.position[t] == position]
            after = {t: hand[kept.row[t], position] for t in tokens}
            (row,) = found.query(
                "kind == @kind and slot == @i and partner_slot == @j and position == @position"
            ).itertuples()
            assert row.n_examples == len(tokens)
            assert row.kept_share == pytest.approx(np.mean([after[t] == kept.given[t] for t in tokens]))
            bits = [-log_p[t, kept.target[t]].item() / np.log(2) - kept.nll_bits[t] for t in tokens]
            assert row.nll_change_bits == pytest.approx(np.mean(bits), rel=1e-3, abs=1e-4)
            partner = content_at.get((j, position))
            told = [t for t in tokens if partner not in (None, kept.given[t])]
            assert row.n == len(told)
            changed, rows = changed + sum(after[t] != kept.given[t] for t in tokens), rows + 1
            if told:
                assert row.partner_share == pytest.approx(np.mean([after[t] == partner for t in told]))
                assert row.own_share == pytest.approx(np.mean([after[t] == kept.given[t] for t in told]))
    assert rows == len(found)
    assert changed


@pytest.mark.parametrize("name", ["memory", "flat", "rope", "shared_pool"])
def test_the_examples_of_the_matrix_are_answered_without_their_slot_as_by_hand(name):
    model, layer = made(name)
    data = answered_facts(model)
    kept = answered(model, data, ROWS, layer)
    assert (kept.given == kept.target).all()
    examples, memory = examples_of(kept), memories(model)[layer]
    slots = most_used(kept, examples, 5)
    found = ablated_table(model, data, kept, slots).set_index(["ablation", "slot"])
    assert len(found) == 10
    before, changed = logits_of(model, data), 0
    for slot in slots.tolist():
        tokens = np.flatnonzero((examples["slot"] == slot).reindex(range(len(kept.row)), fill_value=False))
        targets, value = kept.target[tokens], memory.values.weight[slot].clone()
        with torch.no_grad():
            memory.values.weight[slot] = 0
            zero = logits_of(model, data)[tokens]
            memory.values.weight[slot] = value
        memory.best = lambda queries, k, slot=slot: best_without(memory, slot, queries, k)
        masked = logits_of(model, data)[tokens]
        del memory.best
        for ablation, logits in (("value_zero", zero), ("slot_mask", masked)):
            one, at = found.loc[(ablation, slot)], (np.arange(len(tokens)), targets)
            assert one["kept_share"] == pytest.approx((logits.argmax(-1).numpy() == targets).mean())
            more = before.log_softmax(-1)[tokens, targets] - logits.log_softmax(-1)[at]
            assert one["nll_change_bits"] == pytest.approx(float(more.mean()) / np.log(2), rel=1e-3, abs=1e-4)
            changed += one["kept_share"] < 1
    assert changed
    assert torch.equal(logits_of(model, data), before)


def best_without(memory, slot, queries, k):
    scores = memory.scores(queries)
    scores[..., slot] = -torch.inf
    return scores.topk(k, dim=-1)


@pytest.mark.parametrize("name", ["memory", "shared_pool", "none"])
def test_a_run_has_all_tables_and_twice_the_same(name):
    condition = CONDITION | KINDS[name]
    model = build(condition, FACTS.vocabulary, FACTS.length) if name == "none" else made(name)[0]
    data = FACTS if name == "none" else answered_facts(model)
    run = TrainedRun(condition, table(), data.arrays, model.state_dict(), "some", 3, "cpu")
    first = intervention_tables(run, SETTINGS)
    second = intervention_tables(run, SETTINGS) if name == "memory" else first
    assert list(first) == ["swap", "substitutes", "predictions", "swap_correlation", "control"]
    for key, each in first.items():
        pd.testing.assert_frame_equal(each, second[key])
        assert list(each)[:2] == ["condition", "seed"]
        assert each["seed"].dtype == int
        assert (each["condition"] == "some").all()
        assert each.empty == (name == "none" and key != "control")
    if name != "none":
        found = first["substitutes"]
        assert set(found["layer"]) == set(first["predictions"]["layer"]) == set(memories(model))
        assert set(first["predictions"]["split"]) == {"train"}
        assert first["predictions"].groupby(["layer", "intervention"]).size().between(5, 9).all()
        assert found.notna().all().drop(["silhouette", "p", "smallest_p"]).all()
        kinds = found.groupby(["kind", "layer"]).ngroups
        assert len(first["swap_correlation"]) == 4 * kinds
    else:
        state = made("memory")[0].state_dict()
        of_memory = intervention_tables(TrainedRun(CONDITION, table(), arrays(), state, "some", 3, "cpu"), SETTINGS)
        for key, each in first.items():
            assert each.dtypes.to_dict() == of_memory[key].dtypes.to_dict()


def test_peers_are_refused():
    condition = CONDITION | KINDS["peer"]
    state = build(condition, FACTS.vocabulary, FACTS.length).state_dict()
    with pytest.raises(ValueError, match="layer: 1 is of arm peer, whose slots are not ablated; allowed: arm memory"):
        intervention_tables(TrainedRun(condition, table(), arrays(), state, "some", 3, "cpu"), SETTINGS)


def test_where_nothing_is_right_there_is_no_matrix():
    model, layer = made("memory")
    kept = kept_of(model, layer)
    found = swap_table(model, FACTS, kept._replace(target=kept.given + 1), 4)
    assert found.empty
    assert found["kept_share"].dtype == float
    assert found["slot"].dtype == int
    assert ablated_table(model, FACTS, kept._replace(target=kept.given + 1), found["slot"].unique()).empty
