"""Tables for people: as CSV, beside the Parquet files that programs read."""

import csv
from collections.abc import Mapping

import pandas as pd

from memorization.files import write_table
from memorization.text_files import write_text

DIGITS = 6  # significant ones


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV, its numbers to six digits."""
    texts = table.select_dtypes(["object", "string"])  # a bare \r ends a row where it is not quoted, before Python 3.13
    bare = any(column.astype(str).str.contains("\r", regex=False).any() for _, column in texts.items())
    quoting = csv.QUOTE_ALL if bare else csv.QUOTE_MINIMAL
    return table.to_csv(index=False, float_format=f"%.{DIGITS}g", lineterminator="\n", quoting=quoting)


def write_with_csv(table: pd.DataFrame, output: Mapping[str, str], name: str, made_by: dict) -> None:
    """Write a table as Parquet and as CSV, to the outputs ``name`` and ``<name>_csv``."""
    write_table(output[name], table, made_by)
    write_text(output[f"{name}_csv"], csv_text(table))
