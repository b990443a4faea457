"""Commands of the family: results in the form of the older research scripts, read and written."""

import argparse
from hashlib import sha256
from pathlib import Path

import pandas as pd

from memorization.data.sequences import read_sets
from memorization.files import read_made_by, read_table, write_table
from memorization.provenance import code_digest
from memorization.random_sequences.measures import sequence_records
from memorization.zipf.conditions import ARMS
from memorization.zipf.older_results import ResultsError, pairs, read_results, write_results


def add(subparsers: argparse._SubParsersAction) -> None:
    """Register the commands of the family."""
    results = {"type": Path, "default": Path("results")}
    parser = subparsers.add_parser(
        "import-results",
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

    A run's condition is its path in the folder without its ending. Records are of the suffix where the pickles
    tell it, else of all bits that were scored, which in the older scripts' own are all but the first.

    Raises
    ------
    ResultsError, RefusedPickle
        Nothing is written then.
    """
    paths = pairs(folder)
    tables = [read_results(path, str(path.relative_to(folder).with_suffix(""))) for path in paths]
    table = pd.concat(tables, ignore_index=True)
    scored = pd.concat(map(_scored, tables))
    records = [sequence_records(rows, "zipf", ARMS[model]) for model, rows in scored.groupby("model")]
    read = {str(path): sha256(path.read_bytes()).hexdigest() for path in paths}
    made_by = {"command": "import-results", "code": code_digest(__file__), "read": read}
    to.mkdir(parents=True, exist_ok=True)
    write_table(str(to / "zipf_by_sequence.parquet"), table, made_by)
    write_table(str(to / "zipf_records.parquet"), pd.concat(records, ignore_index=True), made_by)
    print(f"{len(paths)} runs, {len(table)} rows: {to / 'zipf_by_sequence.parquet'}, {to / 'zipf_records.parquet'}")


def _scored(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of a run, all of whose bits stand for the suffix if the pickles tell nothing of that."""
    if table["suffix_accuracy"].notna().any():
        return table
    return table.assign(**{f"suffix_{name}": table[name] for name in ("accuracy", "loss", "length")})


def export_results(name: str, folder: Path, results: Path) -> None:
    """Write a run as a pair of pickles of the older form.

    Raises
    ------
    ResultsError
        If there is no such run.
    """
    path = results / "zipf/evaluations" / name / "by_sequence.parquet"
    if not path.is_file():
        there = sorted(
            str(each.parent.relative_to(results / "zipf/evaluations"))
            for each in path.parents[2].glob("*/*/by_sequence.parquet")
        )
        raise ResultsError(f"{path}: no such file; runs that are there: {', '.join(there) or 'none'}")
    made_from = read_made_by(path)["made_from"]
    of_sets = sorted((each for each in made_from if "/sequences/" in each), key=lambda each: (len(each), each))
    table, (sets, _) = read_table(str(path)), read_sets(results.parent / each for each in of_sets)
    dataset = made_from[of_sets[0]]["params"]["dataset"]
    starts = table.groupby("set")["switch_start_step"].first()
    target = folder / f"{name.replace('/', '_')}.pkl"
    write_results(target, table, sets, starts, dataset["exponent"])
    print(f"{len(table)} rows: {target}")
