import numpy as np
import pandas as pd
import pytest
from scipy import stats

from memorization.findings import Findings
from memorization.memory_layer.slot_findings import partial, slot_findings
from memorization.statistics import spearman


def found(**tables):
    findings = Findings()
    slot_findings(findings, tables)
    table = findings.table()
    assert not table.duplicated(["finding", "condition"]).any()
    return table.set_index(["finding", "condition"])


def rows(columns, *values):
    return pd.DataFrame(values, columns=columns.split()).assign(condition="memory")


def test_parts_are_those_of_trained_facts_by_layer_number_and_head():
    table = rows(
        "seed part layer number split exact_after",
        (0, "memory", 1, -1, "train", 0.0),
        (0, "own_slots", 1, 8, "train", 0.9),
        (0, "random_slots", 1, 8, "train", 1.0),
        (0, "head", 0, 2, "train", 0.3),
        (0, "head", 0, 2, "novel", 0.7),
    )
    assert found(ablation_parts=table)["value"].to_dict() == {
        ("exact without memory, layer 1", "memory"): 0,
        ("exact without 8 own_slots, layer 1", "memory"): 0.9,
        ("exact without 8 random_slots, layer 1", "memory"): 1,
        ("exact without attention head 0.2", "memory"): 0.3,
    }


def test_cuts_are_binned_by_exposures_where_these_differ():
    exposures = np.repeat([1, 3, 8, 50], 5)
    table = pd.DataFrame({"seed": 0, "condition": "frequency", "exposures": exposures, "cut": exposures + 1})
    table["flipped"] = exposures < 50
    table["margin"] = np.tile([1.0, 5.0, 2.0, 4.0, 3.0], 4)
    same = table.assign(condition="memory", exposures=51)
    of = found(cuts=pd.concat([table, same], ignore_index=True))["value"]
    assert of["slots whose removal flips an answer, 2 exposures", "frequency"] == 4
    assert of["slots whose removal flips an answer, 32 exposures", "frequency"] == 51
    assert of["Spearman, exposures against the slots of a cut", "frequency"] == pytest.approx(1)
    assert of["Spearman, exposures against the slots of a cut, at equal margin", "frequency"] == pytest.approx(1)
    assert of["answers that no allowed cut flips", "frequency"] == 0.25
    assert of["slots whose removal flips an answer", "memory"] == (exposures + 1).mean()
    assert not [finding for finding, condition in of.index if condition == "memory" and "exposures" in finding]


def test_predictions_are_shares_of_all_examples():
    kinds = ["partner", "partner", "own", "neither"]
    table = pd.DataFrame({"seed": 0, "condition": "memory", "intervention": "inject", "chance": 0.1, "kind": kinds})
    of = found(predictions=table)["value"]
    assert of["own answer after inject", "memory"] == 0.25
    assert of["partner's answer after inject, less chance", "memory"] == pytest.approx(0.4)


def test_heads_are_counted_by_class_and_tables_without_rows_say_nothing():
    table = rows(
        "seed layer head class", (0, 0, 0, "local"), (0, 0, 1, "diffuse"), (1, 0, 0, "diffuse"), (1, 0, 1, "diffuse")
    )
    of = found(attention=table, cuts=pd.DataFrame({"cut": []}))
    assert of.loc[("attention heads, diffuse", "memory"), "seeds"] == "0:0.5 1:1"
    assert of.loc[("attention heads, local", "memory"), "seeds"] == "0:0.5 1:0"
    assert len(of) == 2


def test_a_partial_correlation_is_that_of_what_the_ranks_have_beside_a_third():
    rng = np.random.default_rng(0)
    third = rng.normal(size=400)
    x, y = third + rng.normal(size=400), third + rng.normal(size=400)
    assert spearman(x, y)[0] > 0.4
    ranks = [stats.rankdata(each) for each in (x, y, third)]
    left = [each - np.polyval(np.polyfit(ranks[2], each, 1), ranks[2]) for each in ranks[:2]]
    assert partial(x, y, third) == pytest.approx(np.corrcoef(*left)[0, 1])
    assert abs(partial(x, y, third)) < 0.1
