import numpy as np
import pandas as pd
import pytest

from memorization.memory_layer.findings import findings_table, pooled


def recall_rows():
    """Two conditions of two seeds, which answer 0.01 more in seed 1; `later` has learned new facts too."""
    rows = []
    for name, exact in (("memory", {1: 0.2, 8: 0.9}), ("dense", {1: 0.1, 8: 0.5})):
        for seed in (0, 1):
            row = {"condition": name, "seed": seed, "exact_chance": 1e-3}
            rows += [
                row | {"split": "train", "group": group, "n": 100 * group, "exact": exact[group] + 0.01 * seed}
                for group in (1, 8)
            ]
            rows.append(row | {"split": "val", "group": 1, "n": 50, "exact": 0.003})
    for seed in (0, 1):
        row = {"condition": "later", "seed": seed, "exact_chance": 1e-3, "group": 1, "n": 100}
        rows += [row | {"split": "train", "exact": 0.6}, row | {"split": "new", "exact": 0.95}]
    return pd.DataFrame(rows)


def forgetting_rows():
    """In seed 0 more is lost where the overlap is larger, in seed 1 less; half of the facts are forgotten."""
    overlap = np.linspace(0, 1, 20)
    parts = [
        pd.DataFrame({"overlap": overlap, "nll_after_bits": 2 + 4 * (overlap if seed == 0 else 1 - overlap)})
        for seed in (0, 1)
    ]
    table = pd.concat(parts, keys=[0, 1], names=["seed"]).reset_index(level=0)
    before = np.tile([True, True, True, False], len(overlap) // 2)
    return table.assign(condition="later", nll_before_bits=1.0, exact_before=before, exact_after=[False, True] * 20)


@pytest.fixture(scope="module")
def table():
    norms = pd.DataFrame({"condition": "memory", "seed": 0, "layer": 1, "slot": range(4), "count": [3, 0, 1, 9]})
    parameters = pd.DataFrame([{"condition": "memory", "seed": 0, "total": 1000, "active": 100}])
    comparisons = [{"name": name, "conditions": ["memory", "dense"]} for name in ("arms", "again")]
    found = findings_table(
        recall_rows(), parameters, comparisons, ["memory"], ["later"], value_norms=norms, forgetting=forgetting_rows()
    )
    assert not found.duplicated(["finding", "condition"]).any()
    return found.set_index(["finding", "condition"])


def test_groups_are_pooled_by_their_items_and_those_without_any_are_left_out():
    rows = pd.DataFrame({"seed": 0, "split": ["a", "a", "b"], "n": [1, 3, 0], "exact": [1.0, 0.0, np.nan]})
    assert pooled(rows, ["split"], ["exact"]).to_dict("records") == [{"split": "a", "exact": 0.25, "n": 4}]


def test_levels_are_of_splits_and_of_groups(table):
    row = table.loc[("exact match at the end, train", "memory")]
    assert row["value"] == pytest.approx((0.2 + 8 * 0.9) / 9 + 0.005)
    assert row["n"] == 2
    assert table.loc[("exact match at the end, train, 8 in a pass", "memory"), "value"] == pytest.approx(0.905)
    assert table.loc[("exact match at the end, train, group 1", "dense"), "value"] == pytest.approx(0.105)
    assert ("exact match at the end, val, group 1", "dense") not in table.index


def test_only_what_is_never_trained_is_compared_with_chance(table):
    assert table.loc[("exact match at the end, val, less chance", "dense"), "value"] == pytest.approx(0.002)
    of = table.index.get_level_values("finding")
    assert set(of[of.str.contains("less chance")]) == {"exact match at the end, val, less chance"}


def test_others_are_compared_with_the_first_in_pairs_of_seeds(table):
    row = table.loc[("exact match at the end, train, difference", "dense - memory")]
    assert row["value"] == pytest.approx((0.1 + 8 * 0.5) / 9 - (0.2 + 8 * 0.9) / 9)
    assert row["high"] - row["low"] < 1e-9


def test_a_second_training_is_judged_by_old_facts_new_ones_and_what_foretells_the_loss(table):
    assert table.loc[("exact match after the second training, old facts", "later"), "value"] == pytest.approx(0.6)
    assert table.loc[("exact match after the second training, new facts", "later"), "value"] == pytest.approx(0.95)
    assert table.loc[("old facts kept, of those known before", "later"), "value"] == pytest.approx(1 / 3)
    assert table.loc[("bits lost by an old fact", "later"), "value"] == pytest.approx(3)
    assert table.loc[("Spearman, overlap against bits lost", "later"), "seeds"] == "0:1 1:-1"


def test_slots_and_parameters_are_those_of_trained_facts(table):
    assert table.loc[("slots that trained facts retrieve, layer 1", "memory"), "value"] == 0.75
    assert table.loc[("parameters, total", "memory"), "value"] == 1000
    assert table.loc[("parameters, active", "memory"), "value"] == 100


def test_without_a_second_training_nothing_is_said_of_it():
    nothing = pd.DataFrame(columns=["condition", "seed", "total", "active"])
    found = findings_table(recall_rows(), nothing, [], [], [])
    assert not found["finding"].str.contains("second training|overlap|slots").any()


def test_chains_are_told_by_difficulty_and_against_chance():
    names = ["seed", "difficulty", "hops", "asked", "accuracy", "chance", "n"]
    values = [(0, "easy", 1, "query", 0.8, 0.5, 10), (1, "easy", 1, "query", 0.6, 0.5, 10)]
    chains = pd.DataFrame([*values, (0, "none", 2, "final", 0.5, 0.5, 10)], columns=names).assign(condition="one_hop")
    nothing = pd.DataFrame(columns=["condition", "seed", "layer", "slot", "count", "total", "active"])
    of = findings_table(recall_rows(), nothing, [], [], [], hops=chains)
    of = of.set_index(["finding", "condition"])
    assert of.loc[("chains answered, easy, 1 hops, query", "one_hop"), "value"] == pytest.approx(0.7)
    assert of.loc[("chains answered, easy, 1 hops, query, less chance", "one_hop"), "value"] == pytest.approx(0.2)
    assert of.loc[("chains answered, as trained, 2 hops, final", "one_hop"), "seeds"] == "0:0.5"
