"""The rows of ``make bench``: found, and of the form that it wants. What they measure it measures itself."""

import datetime
import os
import sys

import pytest

from memorization.families import FAMILIES
from memorization.provenance import ROOT

sys.path.insert(0, str(ROOT.parent / "benchmarks"))

import planning
import run
from modules import modules


def test_every_module_of_a_family_is_found():
    there = {path.stem for path in (ROOT.parent / "benchmarks").glob("*.py")}
    assert {*modules()} == there & {family.name for family in FAMILIES}
    assert modules()


@pytest.mark.parametrize("family", modules())
def test_a_row_says_what_is_measured_against_what_and_makes_two_sides(family):
    rows = modules()[family].ROWS
    assert {(what, against) for what, against, *_ in rows} <= {(what, against) for what, against, *_ in run.ROWS}
    what, against, least, make = rows[0]
    assert what
    assert against
    assert least > 0
    for side in make():
        assert run.seconds(side) > 0


def test_the_share_of_a_run_s_time_in_which_its_cores_had_a_job_is_that_of_its_own_jobs(tmp_path):
    log = tmp_path / ".snakemake/log/a.log"
    log.parent.mkdir(parents=True)
    stamps = ["[Sat Nov 28 10:00:20 2026]", "Finished jobid: 1", "[Sat Nov 28 10:01:40 2026]", "Finished jobid: 2"]
    log.write_text("\n".join(["  Date: 2026-11-28 10:00:00", "Provided cores: 2", *stamps]))
    (log.parent / "dry.log").write_text("  Date: 2026-11-28 09:00:00")
    end = datetime.datetime(2026, 11, 28, 10, 1, 40).timestamp()
    for name, seconds, when in (("a", 60.0, end - 50), ("b", 90.0, end), ("of_an_earlier_run", 500.0, end - 200)):
        path = tmp_path / f"logs/toy/{name}.timing.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\n{seconds}\t0:01:00\n")
        os.utime(path, (when, when))
    jobs, cores, share = planning.longest_run(tmp_path)
    assert (jobs, cores) == (2, 2)
    assert share == pytest.approx(150 / 200)


@pytest.fixture
def made_study(tmp_path, monkeypatch):
    """A study that is made, whose dry runs take what the test says: ``made_study(seconds, share)``."""
    (tmp_path / "results/tables").mkdir(parents=True)
    monkeypatch.setattr(planning, "STUDY", tmp_path)

    def make(seconds, share):
        monkeypatch.setattr(planning, "seconds", lambda *arguments: sorted(seconds))
        monkeypatch.setattr(planning, "longest_run", lambda study: (7, 2, share))

    return make


def test_each_row_of_planning_has_its_mark_its_spread_and_says_what_is_not_met(made_study):
    made_study([3.1, 5.0, 4.2, 4.0, 6.0], 0.9)
    table, missed = planning.planning_table()
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")][2:]
    assert {measured for _, measured, _ in rows[:3]} == {"4.2 s [3.1, 6.0]"}
    wanted = ["at most 4 s, **not met**", "at most 10 s", "at most 4 s, **not met**", "at least 85%"]
    assert [mark for *_, mark in rows] == wanted
    assert missed == [rows[0][0], rows[2][0]]
    assert planning.REPEATS >= 5


def test_a_share_below_its_mark_is_not_met(made_study):
    made_study([1.0], 0.84)
    table, missed = planning.planning_table()
    assert "| 84% | at least 85%, **not met** |" in table
    assert len(missed) == 1
    made_study([1.0], 0.85)
    assert planning.planning_table()[1] == []


def test_bench_fails_by_a_row_of_planning_as_by_a_ratio_and_writes_the_page_first(monkeypatch):
    written = []
    monkeypatch.setattr(run, "CURVES", [])
    monkeypatch.setattr(run, "write", lambda ratios: written.append(ratios))
    for rows, missed in [([], ["a plan"]), ([("a ratio", "a peer", 1e9, lambda: (int, int))], [])]:
        monkeypatch.setattr(run, "ROWS", rows)
        monkeypatch.setattr(run, "planning_table", lambda missed=missed: ("the table of planning", missed))
        with pytest.raises(SystemExit, match=r"not as wanted: a (plan|ratio)"):
            run.main()
        assert written.pop().endswith("the table of planning")
    monkeypatch.setattr(run, "ROWS", [])
    monkeypatch.setattr(run, "planning_table", lambda: ("the table of planning", []))
    run.main()
