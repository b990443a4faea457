"""Findings of a run, or of two runs of a study side by side: what holds with other seeds."""

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
        "findings",
        help="print the findings of a family, of one run or of two side by side, as a Markdown table",
        description="Print each finding of FAMILY in a run, or in two runs of the study, such as the default run and "
        "one with other seeds. Of a difference it then says in how many of the two its interval excludes 0 on the "
        "first run's side. Two runs that share a seed are refused.",
    )
    parser.add_argument("family", metavar="FAMILY", help="whose findings")
    parser.add_argument("first", metavar="DIR", type=Path, help="a folder that holds results/")
    parser.add_argument("second", metavar="OTHER", type=Path, nargs="?", help="that of a second run")
    parser.set_defaults(run=_print)


def _print(options: argparse.Namespace) -> None:
    folders = [options.first] if options.second is None else [options.first, options.second]
    tables = [_findings(options.family, folder) for folder in folders]
    if len(tables) == 2:
        check_independent(*tables, options.second)
    print("\n".join(listed(*tables) if len(tables) == 1 else compared(*tables)))


def listed(findings: pd.DataFrame) -> Iterator[str]:
    """The lines of a Markdown table of one run's findings."""
    yield "| finding | condition | unit | value |"
    yield "|---|---|---|---|"
    for row in findings.to_dict("records"):
        yield _line(row, [_of_run(row)])


def compared(first: pd.DataFrame, second: pd.DataFrame) -> Iterator[str]:
    """The lines of a Markdown table of two runs' findings."""
    both = first.merge(second, on=["finding", "condition", "unit"], how="outer", sort=False, suffixes=("", "_2"))
    yield "| finding | condition | unit | first run | second run | held |"
    yield "|---|---|---|---|---|---|"
    for row in both.to_dict("records"):
        yield _line(row, [_of_run(row), _of_run(row, "_2"), held(row)])


def check_independent(first: pd.DataFrame, second: pd.DataFrame, where: Path) -> None:
    """Refuse two runs that share a seed: a seed counts once.

    Parameters
    ----------
    first, second : findings of two runs
    where : the folder of the second, for the message

    Raises
    ------
    ValueError
        One line, of the first finding of which both have a seed.
    """
    both = first.merge(second, on=["finding", "condition", "unit"], suffixes=("", "_2"))
    for row in both.to_dict("records"):
        if shared := _seeds(row["seeds"]) & _seeds(row["seeds_2"]):
            of = f"{row['finding']}, {row['condition']}"
            raise ValueError(f"{where}: has seed {min(shared)} of '{of}', as the first run has; allowed: other seeds")


def _seeds(values: str) -> set[int]:
    """Of ``seed:value`` of each seed."""
    return {int(value.partition(":")[0]) for value in values.split()}


def _findings(family: str, folder: Path) -> pd.DataFrame:
    """The findings of a run; FileNotFoundError if it has none of the family, ValueError if they name no seeds."""
    path = folder / f"results/tables/{family}_findings.parquet"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    table = read_table(str(path))
    if "seeds" not in table:
        raise ValueError(f"{path}: made by an earlier version of this workflow; make it again")
    return table


def _line(row: dict, values: list[str]) -> str:
    cells = [str(row[name]).replace("|", "\\|") for name in ("finding", "condition", "unit")]
    return f"| {' | '.join([*cells, *values])} |"


def _of_run(row: dict, run: str = "") -> str:
    return shown(*(row[f"{name}{run}"] for name in ("value", "low", "high", "n")))


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
