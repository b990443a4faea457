"""Findings of two runs of a study side by side: what holds with other seeds."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from memorization.files import read_table

DIFFERENCE = (", difference", ", less ", " less ", ", later than ")  # in the name of a finding that is a difference


def add(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "compare-findings",
        help="print the findings of a family from two runs side by side, as a Markdown table",
        description="Print each finding of FAMILY in two runs of the study, such as the default run and one with "
        "other seeds. Of a difference it says in how many of the two its interval excludes 0 on the first run's side.",
    )
    parser.add_argument("family", metavar="FAMILY", help="whose findings")
    parser.add_argument("folders", metavar="DIR", type=Path, nargs=2, help="two folders that hold results/")
    parser.set_defaults(run=lambda options: print("\n".join(compared(options.family, *options.folders))))


def compared(family: str, first: Path, second: Path) -> Iterator[str]:
    """The lines of a Markdown table.

    Raises
    ------
    FileNotFoundError
        If one of the runs has no findings of the family.
    """
    tables = []
    for folder in (first, second):
        path = folder / f"results/tables/{family}_findings.parquet"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        tables.append(read_table(str(path)))
    both = tables[0].merge(tables[1], on=["finding", "condition", "unit"], how="outer", sort=False, suffixes=("", "_2"))
    yield "| finding | condition | unit | first run | second run | held |"
    yield "|---|---|---|---|---|---|"
    for row in both.to_dict("records"):
        values = [shown(*(row[f"{name}{run}"] for name in ("value", "low", "high", "n"))) for run in ("", "_2")]
        cells = [str(row[name]).replace("|", "\\|") for name in ("finding", "condition", "unit")]
        yield f"| {' | '.join([*cells, *values, held(row)])} |"


def shown(value: float, low: float, high: float, n: float) -> str:
    """A finding of one run as text: value, interval, number of seeds or runs."""
    if np.isnan(n):
        return "not there"
    if np.isnan(value):
        return f"none (n = {n:.0f})"
    interval = "" if np.isnan(low) else f" [{_digits(low)}, {_digits(high)}]"
    return f"{_digits(value)}{interval} (n = {n:.0f})"


def held(row: dict) -> str:
    """In how many of two runs a difference is one: its interval excludes 0, on the side of the first run's value."""
    if not any(part in row["finding"] for part in DIFFERENCE) or pd.isna(row["low"]):
        return ""
    sign = np.sign(row["value"])
    times = sum(bool(row[f"low{run}"] * sign > 0 and row[f"high{run}"] * sign > 0) for run in ("", "_2"))
    return f"{times} of 2"


def _digits(value: float) -> str:
    return (
        np.format_float_positional(value, precision=3, fractional=False, trim="-")
        if abs(value) < 1000
        else f"{value:.0f}"
    )
