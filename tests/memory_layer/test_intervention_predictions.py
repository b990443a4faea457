import copy

import numpy as np
import pytest
import torch
from memory_layer_by_hand import FACTS, ROWS, by_hand, made

from memorization.memory_layer.intervention.answered import answered, largest
from memorization.memory_layer.intervention.predictions import predictions_table
from memorization.memory_layer.model import memories


@pytest.mark.parametrize("name", ["memory", "flat", "rope", "shared_pool"])
def test_predictions_are_those_of_a_model_changed_by_hand(name):
    model, layer = made(name)
    kept = answered(model, FACTS, ROWS, layer)
    items = np.array([f"item {n}" for n in range(len(FACTS))])
    found = predictions_table(model, FACTS, kept, items, 5, np.random.default_rng(0))
    pieces, slots = FACTS.arrays["pieces"], largest(kept)
    place = {(items[row], n): t for t, (row, n) in enumerate(zip(kept.row, kept.position, strict=True))}
    assert len(found.drop_duplicates(["item", "position"])) > 1
    for one in found.itertuples():
        token = place[one.item, one.position]
        assert (one.slot, one.before, one.target) == (
            slots[token], pieces[kept.given[token]], pieces[kept.target[token]],
        )  # fmt: skip
        assert one.partner_answer not in (one.before, one.target)
        assert one.kind == {one.partner_answer: "partner", one.before: "own"}.get(one.after, "neither")
        others = [
            pieces[kept.target[t]]
            for t in range(len(slots))
            if kept.position[t] == one.position
            and slots[t] != one.slot
            and pieces[kept.target[t]] not in (one.before, one.target)
        ]
        assert one.chance == pytest.approx(np.mean([each == one.after for each in others]))
        if one.intervention in ("swap_values", "swap_half_keys", "replace_other", "replace_zero"):
            kind = one.intervention.removeprefix("swap_")
            hand = by_hand(model, layer, kind, one.slot, one.partner_slot) if "swap" in one.intervention else None
            if hand is None:
                hand, memory = copy.deepcopy(model), memories(model)[layer]
                of = memories(hand)[layer]
                scale = one.intervention == "replace_other"
                with torch.no_grad():
                    of.values.weight[one.slot] = memory.values.weight[one.partner_slot] * scale
            row = int(one.item.split()[1])
            tokens, _, columns, _, targets = FACTS.batch([row])
            with torch.no_grad():
                logits = hand(tokens)[0, columns[one.position] - 1]
            assert pieces[int(logits.argmax())] == one.after
            bits = -logits.log_softmax(-1)[targets[one.position]].item() / np.log(2)
            assert one.nll_after_bits == pytest.approx(bits, rel=1e-4, abs=1e-4)
    whole = found[found["intervention"] == "swap_keys"]
    assert whole["after"].tolist() == found.loc[found["intervention"] == "swap_values", "after"].tolist()


def test_an_injected_example_reads_what_its_partner_does():
    model, layer = made("memory")
    kept, memory = answered(model, FACTS, ROWS, layer), memories(model)[layer]
    items = np.arange(len(FACTS)).astype(str)
    found = predictions_table(model, FACTS, kept, items, 8, np.random.default_rng(0))
    found = found[found["intervention"] == "inject"]
    assert (found["kind"] != "own").any()
    for row in found.itertuples():
        token = np.flatnonzero((kept.row == int(row.item)) & (kept.position == row.position))[0]
        partners = np.flatnonzero((kept.position == row.position) & (largest(kept) == row.partner_slot))
        given = set()
        for partner in partners:
            with torch.no_grad():
                read = memory.read(kept.inner[token][None], kept.weights[partner][None], kept.slots[partner][None])
                logits = model.head(model.final_norm(kept.residual[token] + read))
            given.add(FACTS.arrays["pieces"][int(logits.argmax())])
        assert row.after in given
