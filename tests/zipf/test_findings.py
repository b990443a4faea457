import numpy as np
import pandas as pd
import pytest

from memorization.findings import Findings
from memorization.zipf.findings import compared, swaps

COMPARISONS = [
    {"name": "models", "conditions": ["medium", "large"]},
    {"name": "heads", "conditions": ["heads_1", "medium"]},
]
TRAININGS = {
    "medium": {"steps": 1500, "decay": 0.1},
    "heads_1": {"steps": 750, "decay": 0},
    "large": {"steps": 1000, "decay": 0.1},
}


def test_a_condition_is_compared_where_both_have_their_full_rate():
    """large's rate falls by step 1000, where medium's does not yet."""
    rows = [
        {"condition": name, "seed": seed, "step": step, "phase": "train", "weighted_loss": loss, "suffix_accuracy": 0.5}
        for name, steps, loss in (
            ("medium", (0, 600, 800, 1500), 0.2),
            ("heads_1", (0, 600, 750), 0.5),
            ("large", (1,), 0.1),
        )
        for step in steps
        for seed in (0, 1)
    ]
    findings = Findings()
    compared(findings, pd.DataFrame(rows), COMPARISONS, TRAININGS)
    table = findings.table()
    assert table["finding"].tolist() == [
        "loss, steps 675 to 750, difference",
        "suffix accuracy, steps 675 to 750, difference",
    ]
    assert set(table["condition"]) == {"heads_1 - medium"}
    np.testing.assert_allclose(table["value"], [0.3, 0], atol=1e-12)


def test_swaps_are_of_the_set_before_the_last_switch():
    accuracy = {"none": 0.5, "attention": 0.5, "mlp": 0.75, "mlp_head": 0.75, "all": 1.0}
    rows = [
        {
            "condition": "resample",
            "seed": seed,
            "set": number,
            "swap": part,
            "suffix_accuracy": value if number else 0.0,
        }
        for seed in (0, 1)
        for number in (0, 1, 2)
        for part, value in accuracy.items()
    ]
    findings = Findings()
    swaps(findings, pd.DataFrame(rows))
    table = findings.table().set_index("finding")["value"]
    assert table["old set, suffix accuracy with mlp put back"] == 0.75
    assert table["share of the loss in accuracy that mlp put back brings back"] == pytest.approx(0.5)
    assert table["share of the loss in accuracy that attention put back brings back"] == 0
