"""The rows of ``make bench``: found, and of the form that it wants. What they measure it measures itself."""

import sys

import pytest

from memorization.families import FAMILIES
from memorization.provenance import ROOT

sys.path.insert(0, str(ROOT.parent / "benchmarks"))

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
