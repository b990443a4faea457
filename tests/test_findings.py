import numpy as np
import pandas as pd
import pytest

from memorization.csv_files import csv_text, write_with_csv
from memorization.files import read_made_by, read_table
from memorization.findings import COLUMNS, Findings


def findings():
    made = Findings()
    made.add("loss", "one", pd.Series({1: 0.5, 0: 0.25, 7: np.nan}), "nats")
    made.add_difference(
        "loss", "one", pd.Series({0: 3.0, 1: 4.0}), "other", pd.Series({1: 1.0, 2: 9.0, 0: 1.0}), "nats"
    )
    made.add_value("p", "one other", 0.125, 6, "p")
    return made.table()


def test_a_finding_is_the_mean_over_seeds_with_its_t_interval():
    table = findings()
    assert tuple(table) == COLUMNS
    first = table.iloc[0]
    assert (first["value"], first["n"], first["seeds"]) == (0.375, 2, "0:0.25 1:0.5 7:nan")
    half = 12.706204736 * 0.125  # Student's t of one degree of freedom, and the standard error
    assert first["low"] == pytest.approx(0.375 - half)
    assert first["high"] == pytest.approx(0.375 + half)


def test_a_difference_is_of_the_seeds_that_both_have():
    second = findings().iloc[1]
    assert (second["finding"], second["condition"]) == ("loss, difference", "one - other")
    assert (second["value"], second["n"], second["seeds"]) == (2.5, 2, "0:2 1:3")


def test_a_value_of_all_runs_has_no_interval():
    third = findings().iloc[2]
    assert (third["value"], third["n"], third["seeds"]) == (0.125, 6, "")
    assert np.isnan([third["low"], third["high"]]).all()


def test_both_files_hold_the_table(tmp_path):
    paths = {"findings": str(tmp_path / "f.parquet"), "findings_csv": str(tmp_path / "f.csv")}
    write_with_csv(findings(), paths, "findings", {"rule": "some"})
    assert read_made_by(paths["findings"])["rule"] == "some"
    pd.testing.assert_frame_equal(read_table(paths["findings"]), findings())
    assert (tmp_path / "f.csv").read_text() == csv_text(findings())
    pd.testing.assert_frame_equal(pd.read_csv(paths["findings_csv"]).fillna({"seeds": ""}), findings(), atol=1e-4)
