"""The rows of ``make bench``: found, and of the form that it wants. What they measure it measures itself."""

import datetime
import os
import sys

import pytest

from memorization.families import FAMILIES
from memorization.provenance import ROOT

sys.path.insert(0, str(ROOT.parent / "benchmarks"))

import run
from modules import modules
from planning import longest_run


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


def test_a_run_s_share_of_its_cores_is_that_of_its_own_jobs(tmp_path):
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
    jobs, cores, share = longest_run(tmp_path)
    assert (jobs, cores) == (2, 2)
    assert share == pytest.approx(150 / 200)
