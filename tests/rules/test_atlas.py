"""The atlas alone reads other families' files: which, its configuration says."""

import numpy as np
import pandas as pd
import pytest
from sections import complete

from memorization.families import configured
from memorization.files import read_made_by
from memorization.records import records, runs

ATLAS = configured(complete("smoke"))["atlas"]
LINES = [f"{entry['family']}: {entry['condition']}" for entry in ATLAS.section["comparison"]]


def table_of(family, condition, seed):
    """Records of a run: ever more is recalled, and of two items the one that is seen oftener is known before."""
    exposures = np.concatenate([[0, 1, 10, 100], [0, 1, 2, 4]])
    about = {"family": family, "arm": "toy", "condition": condition, "seed": seed, "phase": "train"}
    columns = {"step": np.tile([0, 10, 100, 1000], 2), "exposures": exposures, "last_exposure_step": exposures}
    columns |= {"recall": 1 - 0.5 / (1 + exposures), "nll_bits": 8 / (1 + exposures), "n_tokens": 8, "prior_bits": 8}
    return records(**about, item=np.repeat(["set0/rank0", "set0/rank40"], 4), **columns, chance=0.5, exact=False)


def run_of(family, condition, seed):
    about = {"family": family, "arm": "toy", "condition": condition, "seed": seed, "all_recorded": True}
    return runs(**about, parameters=100, active=100, trainable=100, state_bits=3200, steps=1000)


@pytest.fixture
def of_runs(given):
    """``of_runs(key)``: records of all runs of the conditions under a key, a file a run."""

    def make(key):
        inputs = {}
        for entry in ATLAS.section[key]:
            for run in ATLAS.others[entry["family"]].runs("records", [entry["condition"]]).wildcards:
                folder = f"results/{entry['family']}/evaluations/{run['condition']}/seed{run['seed']}"
                inputs |= given(f"{folder}/records.parquet", table_of(entry["family"], **run))
        return inputs

    return make


@pytest.fixture
def own(given):
    """``own(table)``: a table of the atlas itself, made of the records above."""
    held = {"bits": 8.0, "net_bits": 8.0, "to_hold": 16.0, "old_recall": 0.1, "new_recall": 0.9, "lower_bound": ""}
    held |= {"bits_per_parameter": 0.08, "bits_per_state_bit": 0.0025}
    fitted = {
        "chance": 0.5,
        "least": 4,
        "most": 100,
        "lapse": 0.0,
        "slope": 1.0,
        "e50": 5.0,
        "low": 4.5,
        "high": 6.0,
        "unseen": 0.5,
    }

    def make(table):
        runs_of = [run_of(entry["family"], entry["condition"], 0) for entry in ATLAS.section["exposure"]]
        rows = pd.concat(runs_of, ignore_index=True)
        content = rows.assign(**held) if table == "summary" else rows.assign(**fitted, e50_is="within")
        return given(f"results/tables/atlas_{table}.parquet", content)

    return make


def test_a_comparison_is_drawn_from_the_records_of_the_families_alone(draw, of_runs):
    svg = draw("atlas_comparison_figure", "atlas_comparison", of_runs("comparison"), as_in_a_run=True)
    assert all(line in svg for line in LINES)


def test_e50_is_found_from_the_records_of_the_families_alone(run_rule, of_runs):
    inputs = of_runs("exposure")
    path = run_rule("atlas_exposure_table", "results/tables/atlas_exposure.csv", inputs)
    table = pd.read_csv(path)
    assert table["family"].unique().tolist() == [entry["family"] for entry in ATLAS.section["exposure"]]
    assert set(table["least"]) == {4}
    assert set(table["most"]) == {100}
    assert read_made_by(path.with_suffix(".parquet"))["made_from"].keys() == inputs.keys()


def test_the_summary_is_of_the_tables_of_all_families(run_rule, given, own):
    inputs = own("exposure")
    for name in ATLAS.others:
        inputs |= given(f"results/tables/{name}_records.parquet", table_of(name, "a", 0))
        inputs |= given(f"results/tables/{name}_runs.parquet", run_of(name, "a", 0))
    path = run_rule("atlas_summary_table", "results/tables/atlas_summary.csv", inputs)
    table = pd.read_csv(path).set_index("family")
    assert set(table.index) == {*ATLAS.others}
    np.testing.assert_allclose(table["bits"], 16 - 8 / 101 - 8 / 5, rtol=1e-5)
    assert read_made_by(path.with_suffix(".parquet"))["made_from"].keys() == inputs.keys()


def test_findings_are_made_of_records_and_of_the_atlas_s_own_tables(run_rule, of_runs, own):
    inputs = of_runs("comparison") | own("exposure") | own("summary")
    path = run_rule("atlas_findings_table", "results/tables/atlas_findings.csv", inputs)
    table = pd.read_csv(path).set_index(["finding", "condition"])
    for line in LINES:
        assert table.loc[("suffix accuracy, at the end", line), "value"] == pytest.approx(1 - (0.5 / 101 + 0.5 / 5) / 2)
        assert table.loc[("exposures until 0.9 of the suffix, median of ranks 0-9", line), "value"] == 10
    assert table.loc[("log₂ E50", LINES[0]), "value"] == pytest.approx(np.log2(5), rel=1e-5)
    assert read_made_by(path.with_suffix(".parquet"))["made_from"].keys() == inputs.keys()


@pytest.mark.parametrize("rule", ["atlas_exposure_figure", "atlas_timing_figure"])
def test_curves_are_drawn_of_records_and_fits(draw, of_runs, own, rule):
    svg = draw(rule, rule.removesuffix("_figure"), of_runs("exposure") | own("exposure"))
    assert all(entry["condition"] in svg for entry in ATLAS.section["exposure"])


@pytest.mark.parametrize("rule", ["atlas_bits_figure", "atlas_forgetting_figure"])
def test_what_runs_hold_is_drawn_of_the_summary(draw, own, rule):
    svg = draw(rule, rule.removesuffix("_figure"), own("summary"))
    assert all(entry["family"] in svg for entry in ATLAS.section["exposure"])
