"""The atlas alone reads other families' files: which, its configuration says."""

import numpy as np
import pandas as pd
import pytest
from sections import complete

from memorization.families import FAMILIES
from memorization.files import read_made_by
from memorization.records import records


def built():
    config, families = complete("smoke"), {}
    for kind in FAMILIES:
        families[kind.name] = kind(config[kind.name], others=dict(families))
    return families


@pytest.fixture
def compared(given):
    """Records of all conditions that are compared: a file a run, and their families and conditions."""
    inputs, families = {}, built()
    for entry in families["atlas"].section["comparison"]:
        for run in families[entry["family"]].runs("records", [entry["condition"]]).wildcards:
            exposures = np.tile([0, 1, 10, 100], 2)
            columns = dict.fromkeys(("step", "last_exposure_step"), exposures) | {"exposures": exposures}
            columns |= {"recall": 1 - 0.5 / (1 + exposures), "nll_bits": 8 / (1 + exposures), "n_tokens": 8}
            columns |= {"item": np.repeat(["set0/rank0", "set0/rank40"], 4), "phase": "train", "arm": "toy"}
            table = records(**run, family=entry["family"], chance=0.5, exact=False, prior_bits=8, **columns)
            folder = f"results/{entry['family']}/evaluations/{run['condition']}/seed{run['seed']}"
            inputs |= given(f"{folder}/records.parquet", table)
    return inputs, [f"{entry['family']}: {entry['condition']}" for entry in families["atlas"].section["comparison"]]


def test_a_comparison_is_drawn_from_the_records_of_the_families_alone(draw, compared):
    inputs, lines = compared
    svg = draw("atlas_comparison_figure", "atlas_comparison", inputs, as_in_a_run=True)
    assert all(line in svg for line in lines)


def test_findings_are_made_of_the_records_of_the_families_alone(run_rule, compared):
    inputs, lines = compared
    path = run_rule("atlas_findings_table", "results/tables/atlas_findings.csv", inputs)
    table = pd.read_csv(path).set_index(["finding", "condition"])
    for line in lines:
        assert table.loc[("suffix accuracy, at the end", line), "value"] == pytest.approx(1 - 0.5 / 101)
        assert table.loc[("exposures until 0.9 of the suffix, median of ranks 0-9", line), "value"] == 10
    assert read_made_by(path.with_suffix(".parquet"))["made_from"].keys() == inputs.keys()
