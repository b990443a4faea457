import numpy as np
import pytest
import torch

from memorization.memory_layer.intervention.ablated import ablated_table
from memorization.memory_layer.intervention.answered import answered, largest
from memorization.memory_layer.intervention.changes import content, injected, replaced, swapped
from memorization.memory_layer.intervention.control import FACTS, control, control_table
from memorization.memory_layer.intervention.predictions import predictions_table
from memorization.memory_layer.intervention.substitutes import substitutes_table
from memorization.memory_layer.intervention.swaps import kinds_of, swap_table
from memorization.memory_layer.model import answer_logits, memories


@pytest.fixture(params=["product", "flat"])
def made(request):
    model, facts = control(request.param, np.random.default_rng(4))
    return model, facts, answered(model, facts, np.arange(FACTS), 0)


def answers_of(model, facts):
    tokens, at, columns, lengths, _ = facts.batch(np.arange(FACTS))
    with torch.no_grad():
        return answer_logits(model, tokens, at, columns, lengths)[0].argmax(dim=1).numpy()


def test_one_slot_decides_each_answer(made):
    model, _, kept = made
    assert (kept.given == kept.target).all()
    assert kept.weights.max(dim=-1).values.min() == 1
    slots = largest(kept)
    assert len(set(slots)) == len(set(zip(slots, kept.target, strict=True))) == len(set(kept.target)) == 12
    values = memories(model)[0].values.weight
    assert values.count_nonzero(dim=1).sum() == 12


def test_every_swap_gives_the_partner_s_answer(made):
    model, facts, kept = made
    memory, slots = memories(model)[0], largest(kept)
    i, j = slots[0], slots[slots != slots[0]][0]
    answer = {slot: kept.target[slots == slot][0] for slot in (i, j)}
    for kind in ("values", "keys", kinds_of(memory)[1]):
        with swapped(memory, kind, int(i), int(j)):
            after = answers_of(model, facts)
        assert (after[slots == i] == answer[j]).all()
        assert (after[slots == j] == answer[i]).all()
        if kind != "half_keys":
            others = (slots != i) & (slots != j)
            assert (after[others] == kept.given[others]).all()


def test_replacement_and_injection_give_the_other_s_answer_and_ablation_ends_it(made):
    model, facts, kept = made
    memory, slots = memories(model)[0], largest(kept)
    partner = int(np.flatnonzero(slots != slots[0])[0])
    i, j, of_i = int(slots[0]), int(slots[partner]), slots == slots[0]
    with replaced(memory, i, content(memory, j)):
        after = answers_of(model, facts)
    assert (after[of_i] == kept.target[partner]).all()
    assert (after[~of_i] == kept.target[~of_i]).all()
    with injected(memory, (slice(0, 2),), kept.slots[partner], kept.weights[partner]):
        after = answers_of(model, facts)
    assert (after[:2] == kept.target[partner]).all()
    assert (after[2:] == kept.target[2:]).all()
    with replaced(memory, i, 0 * content(memory, i)):
        after = answers_of(model, facts)
    assert not (after[of_i] == kept.target[of_i]).any()
    assert (after[~of_i] == kept.target[~of_i]).all()


def test_the_matrix_and_the_predictions_are_the_partner_s_alone(made):
    model, facts, kept = made
    matrix = swap_table(model, facts, kept, 12)
    assert (matrix["partner_share"][matrix["n"] > 0] == 1).all()
    assert (matrix["kept_share"] == 0).all()
    assert (matrix["chance"][matrix["n"] > 0] == 0).all()
    assert matrix.groupby("kind")["n"].sum().min() > 1000
    ablated = ablated_table(model, facts, kept, matrix["slot"].unique())
    assert ablated.groupby("ablation").size().to_dict() == {"slot_mask": 12, "value_zero": 12}
    assert (ablated["kept_share"] == 0).all()
    substitutes = substitutes_table(matrix, ablated, 9, np.random.default_rng(0))
    assert (substitutes["p"] == 1).all()
    assert (substitutes[["kept_share", "value_zero_kept_share", "slot_mask_kept_share"]] == 0).all(axis=None)
    items = np.arange(FACTS).astype(str)
    found = predictions_table(model, facts, kept, items, 40, np.random.default_rng(0)).groupby("intervention")
    for name, part in found:
        always = name.startswith("swap") or name in ("replace_other", "inject")
        assert (part["kind"] == ("partner" if always else "neither")).all()
        assert (part["nll_after_bits"] > part["nll_before_bits"] + 1).all()


def test_the_table_of_controls_says_so():
    table = control_table(12, 20, np.random.default_rng(0))
    assert set(table["keys"]) == {"product", "flat"}
    no_content = table["intervention"].isin(["replace_mean", "replace_noise", "replace_zero"])
    assert (table.loc[~no_content, "partner_share"] == 1).all()
    assert (table.loc[no_content, "partner_share"] == 0).all()
    assert (table["own_share"] == 0).all()
    np.testing.assert_allclose(table[["partner_share", "own_share", "neither_share"]].sum(axis=1), 1)
    assert set(table.loc[table["intervention"].str.startswith("matrix"), "intervention"]) == {
        "matrix_values", "matrix_keys", "matrix_half_keys",
    }  # fmt: skip
