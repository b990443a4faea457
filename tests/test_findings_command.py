import numpy as np
import pandas as pd
import pytest

from memorization.__main__ import main
from memorization.csv_files import write_with_csv
from memorization.files import read_table, write_table
from memorization.findings import Findings


def study(folder, differences, end, first_seed=0):
    findings, (end, differences) = Findings(), (pd.Series(values) for values in (end, differences))
    end.index, differences.index = end.index + first_seed, differences.index + first_seed
    findings.add("loss, at the end", "one", end, "nats")
    findings.add_difference("loss", "one", differences, "two", 0 * differences, "nats")
    findings.add_value("mean |λ|, p", "one two", 0.1, 6, "p")
    (folder / "results/tables").mkdir(parents=True)
    paths = {"findings": f"{folder}/results/tables/toy_findings.parquet", "findings_csv": f"{folder}/f.csv"}
    write_with_csv(findings.table(), paths, "findings", {})
    return str(folder)


@pytest.mark.parametrize(
    ("second", "held"), [([2.0, 2.1, 1.9], "2 of 2"), ([-2.0, -2.1, -1.9], "1 of 2"), ([-3.0, 0.1, 3.0], "1 of 2")]
)
def test_a_difference_holds_where_its_interval_excludes_0_on_the_same_side(tmp_path, capsys, second, held):
    one, two = study(tmp_path / "a", [1.0, 1.1, 0.9], [0.25, 0.25]), study(tmp_path / "b", second, [0.5, 0.5], 5)
    assert main(["findings", "toy", one, two]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| loss, at the end | one | nats | 0.25 [0.25, 0.25] (n = 2) | 0.5 [0.5, 0.5] (n = 2) |  |"
    assert lines[3].startswith("| loss, difference | one - two | nats | 1 [0.752, 1.25] (n = 3) |")
    assert lines[3].endswith(f"| {held} |")
    assert lines[4] == "| mean \\|λ\\|, p | one two | p | 0.1 (n = 6) | 0.1 (n = 6) |  |"


def test_the_findings_of_one_run(tmp_path, capsys):
    assert main(["findings", "toy", study(tmp_path / "a", [1.0, 1.1, 0.9], [0.25, np.nan])]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "| finding | condition | unit | value |",
        "|---|---|---|---|",
        "| loss, at the end | one | nats | 0.25 (n = 1) |",
        "| loss, difference | one - two | nats | 1 [0.752, 1.25] (n = 3) |",
        "| mean \\|λ\\|, p | one two | p | 0.1 (n = 6) |",
    ]


def test_what_one_run_has_not_is_said(tmp_path, capsys):
    one, two = study(tmp_path / "a", [np.nan], [0.25, np.nan]), study(tmp_path / "b", [1.0], [0.5, 0.5], 5)
    assert main(["findings", "toy", one, two]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "| 0.25 (n = 1) |" in lines[2]
    assert "| none (n = 0) | 1 (n = 1) |  |" in lines[3]


@pytest.mark.parametrize("first_seed", [0, 1, 2])
def test_runs_that_share_a_seed_are_no_two_runs(tmp_path, capsys, first_seed):
    one, two = study(tmp_path / "a", [1.0, 1.1, 0.9], [0.25]), study(tmp_path / "b", [2.0, 2.1], [0.5], first_seed)
    assert main(["findings", "toy", one, two]) == 1
    finding = "loss, at the end, one" if first_seed == 0 else "loss, difference, one - two"
    said = f"{two}: has seed {first_seed} of '{finding}', as the first run has; allowed: other seeds"
    assert capsys.readouterr() == ("", f"memorization: {said}\n")


def test_findings_that_name_no_seeds_are_one_line(tmp_path, capsys):
    path = f"{study(tmp_path / 'a', [1.0], [1.0])}/results/tables/toy_findings.parquet"
    write_table(path, read_table(path).drop(columns="seeds"), {})
    assert main(["findings", "toy", str(tmp_path / "a")]) == 1
    said = f"{path}: made by an earlier version of this workflow; make it again"
    assert capsys.readouterr().err == f"memorization: {said}\n"


def test_a_run_without_findings_is_one_line(tmp_path, capsys):
    assert main(["findings", "toy", study(tmp_path / "a", [1.0], [1.0]), str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"memorization: {tmp_path}/results/tables/toy_findings.parquet: no such file\n"
