"""Commands of the family: read and write results in the form of the older research scripts."""

import argparse
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

import pandas as pd

from memorization.data.sequences import read_sets
from memorization.files import DamagedFile, noted_inputs, read_made_by, read_table, write_table
from memorization.new_files import check_new
from memorization.provenance import code_digest
from memorization.random_sequences.measures import sequence_records
from memorization.zipf.conditions import ARMS
from memorization.zipf.older_results import (
    EARLIER_NAMES,
    ResultsError,
    pairs,
    read_results,
    sequences_of,
    write_results,
)

COMMAND = "import-results"


def add(subparsers: argparse._SubParsersAction) -> None:
    """Register the commands of the family."""
    results = {"type": Path, "default": Path("results")}
    parser = subparsers.add_parser(
        COMMAND,
        help="read pickles of the older zipf scripts into tables",
        description="Read every pair DIR/<name>.pkl, DIR/<name>_sequences.pkl, subfolders too, into "
        "TO/zipf_by_sequence.parquet and TO/zipf_records.parquet. Nothing in the pickles is run; no GPU is needed.",
    )
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--to", type=Path, default=Path("results/imported"), help="folder of the tables (%(default)s)")
    parser.set_defaults(run=lambda options: import_results(options.folder, options.to))
    parser = subparsers.add_parser(
        "export-results",
        help="write a zipf run as pickles of the older scripts",
        description="Write a run as the pair DIR/<condition>_seed<seed>.pkl, DIR/<condition>_seed<seed>_sequences.pkl.",
    )
    parser.add_argument("name", metavar="RUN", help="a condition and a seed, such as medium/seed0")
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--results", **results, help="the folder results of a run (%(default)s)")
    parser.set_defaults(run=lambda options: export_results(options.name, options.folder, options.results))


def import_results(folder: Path, to: Path) -> None:
    """Read the older scripts' pickles below ``folder`` into ``to``/zipf_by_sequence.parquet and zipf_records.parquet.

    A run's condition is its path in the folder, without its ending. Records score the suffix if the pickles have it,
    else all bits that were scored: in files of the older scripts all but the first.

    Raises
    ------
    ResultsError, RefusedPickle
        If a pair cannot be read, if two pairs have the same run, or if a table would replace one that no import made.
        Then nothing is written.
    """
    targets = [to / "zipf_by_sequence.parquet", to / "zipf_records.parquet"]
    _check_free(to, targets)
    tables = {path: read_results(path, str(path.relative_to(folder).with_suffix(""))) for path in pairs(folder)}
    _check_runs(tables)
    table = pd.concat(tables.values(), ignore_index=True)
    scored = pd.concat(map(_scored, tables.values()))
    records = [sequence_records(rows, "zipf", ARMS[name]) for name, rows in scored.groupby("architecture")]
    read = {str(file): sha256(file.read_bytes()).hexdigest() for path in tables for file in (path, sequences_of(path))}
    made_by = {"command": COMMAND, "code": code_digest(__file__), "read": read}
    to.mkdir(parents=True, exist_ok=True)
    for target, content in zip(targets, (table, pd.concat(records, ignore_index=True)), strict=True):
        write_table(str(target), content, made_by)
    print(f"{len(tables)} runs, {len(table)} rows: {', '.join(map(str, targets))}")


def _check_free(to: Path, targets: Iterable[Path]) -> None:
    """An error if rules write to this folder, or if a file there was not made by an import."""
    if to.resolve().parts[-2:] == ("results", "tables"):
        raise ResultsError(f"--to: {to}: the workflow's own tables are made there; allowed: another folder")
    for path in filter(Path.exists, targets):
        try:
            command = read_made_by(path).get("command")
        except DamagedFile:
            command = None
        if command != COMMAND:
            raise ResultsError(f"{path}: exists and was not made by {COMMAND}; allowed for --to: another folder")


def _check_runs(tables: Mapping[Path, pd.DataFrame]) -> None:
    """An error if two pairs have the same condition and seed."""
    paths = {}
    for path, table in tables.items():
        condition, seed = table["condition"].iloc[0], table["seed"].iloc[0]
        other = paths.setdefault((condition, seed), path)
        if other != path:
            raise ResultsError(f"{other}, {path}: both are of {condition}, seed {seed}; allowed: each run once")


def _scored(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of a run; all bits count as the suffix if the pickles have no measures of it."""
    if table["suffix_accuracy"].notna().any():
        return table
    return table.assign(**{f"suffix_{name}": table[name] for name in ("accuracy", "loss", "length")})


def export_results(name: str, folder: Path, results: Path) -> None:
    """Write a run as a pair of pickles of the older form.

    Raises
    ------
    ResultsError
        If there is no such run.
    FileExistsError
        If the pair already exists.
    FileNotFoundError, ValueError
        If the run's sequences are missing, or are not those that it was evaluated with.
    """
    evaluations = results / "zipf/evaluations"
    path = evaluations / name / "by_sequence.parquet"
    if not path.is_file():
        there = sorted(str(each.parent.relative_to(evaluations)) for each in evaluations.glob(f"*/*/{path.name}"))
        raise ResultsError(f"{path}: no such file; runs that are there: {', '.join(there) or 'none'}")
    target = folder / f"{name.replace('/', '_')}.pkl"
    for each in (target, sequences_of(target)):
        check_new(each, "a folder without it")
    of_sets = sorted(noted_inputs(path, "zipf/sequences/", results), key=lambda each: (len(each.name), each.name))
    table, (sets, _) = read_table(str(path)).rename(columns=EARLIER_NAMES), read_sets(map(str, of_sets))
    dataset = read_made_by(of_sets[0])["params"]["dataset"]
    starts = table.groupby("set")["switch_start_step"].first()
    write_results(target, table, sets, starts, dataset["exponent"])
    print(f"{len(table)} rows: {target}")
