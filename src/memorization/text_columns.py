"""Texts from elsewhere that are named in the configuration, looked at before any job starts.

Imported when the Snakefile is read: nothing here may import torch. Not in ``data``, which knows nothing of models.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from memorization.configuration import ConfigurationError
from memorization.data.text_rows import header_of
from memorization.model_files import OF_HUB, check_hub, one_line


def check_text_source(settings: Mapping, where: str) -> None:
    """Refuse texts that are named by neither a path nor a repository, or by both, and what is no set of the hub.

    Parameters
    ----------
    settings : ``path``, or ``repository`` and ``split``, as in ``text_rows.rows``; ``check_text_file`` is for the file
    where : the key of the configuration, for the message

    Raises
    ------
    ConfigurationError
    """
    if sum(settings.get(key) is not None for key in ("path", "repository")) != 1:
        raise ConfigurationError(f"{where}: allowed: either path or repository, the other null")
    if settings.get("path") is not None:
        return
    check_hub(settings["repository"], f"{where}.repository", OF_HUB)
    if not settings.get("split"):
        raise ConfigurationError(f"{where}.split: missing; a data set of the hub is read from one of its splits")


def check_text_file(path: str | Path, columns: Mapping[str, str | None], where: str) -> None:
    """Refuse a file that is not there, cannot be read, or has not the columns named.

    Only the columns of Parquet are read, and of other files the first line.

    Parameters
    ----------
    path : a .jsonl, .csv or .parquet file
    columns : of keys of the configuration the column that must be there, dots for what is nested; None: none
    where : the key of the configuration that has ``path`` and these, for the message

    Raises
    ------
    ConfigurationError
    """
    path = Path(path)
    if path.suffix not in READERS:
        raise ConfigurationError(
            f"{where}.path: {path} is none of JSON Lines, CSV and Parquet; allowed: {', '.join(READERS)}"
        )
    if not path.is_file():
        raise ConfigurationError(
            f"{where}.path: {path}: there is no such file; allowed: a .jsonl, .csv or .parquet file"
        )
    there = READERS[path.suffix](path, where)
    for key, column in columns.items():
        if column is not None and column not in there:
            raise ConfigurationError(f"{where}.{key}: {path} has no {column!r}; allowed: {', '.join(there)}")


def _parquet_columns(path: Path, where: str) -> list[str]:
    """Names of the columns, and behind dots of what is nested in them."""
    import pyarrow.parquet as pq
    import pyarrow.types as types

    def below(field, before: str) -> list[str]:
        inner = list(field.type) if types.is_struct(field.type) else []
        return [before + field.name, *(name for each in inner for name in below(each, f"{before}{field.name}."))]

    try:
        schema = pq.read_schema(path)
    except Exception as error:  # the library raises several kinds
        raise ConfigurationError(f"{where}.path: {path} cannot be read as Parquet ({one_line(error)})") from error
    return [name for field in schema for name in below(field, "")]


def _first_line(path: Path, where: str) -> list[str]:
    """As ``_parquet_columns``, of the first line of a JSON Lines file."""

    def below(row: Mapping, before: str) -> list[str]:
        names = []
        for name, value in row.items():
            names += [before + name, *(below(value, f"{before}{name}.") if isinstance(value, Mapping) else [])]
        return names

    try:
        with path.open(encoding="utf-8") as file:
            row = json.loads(file.readline())
    except ValueError as error:
        raise ConfigurationError(f"{where}.path: the first line of {path} is no JSON ({one_line(error)})") from error
    if not isinstance(row, Mapping):
        raise ConfigurationError(f"{where}.path: the first line of {path} is no JSON object; allowed: one a line")
    return below(row, "")


def _header(path: Path, where: str) -> list[str]:
    """As ``_parquet_columns``, of the header line of a CSV file, where nothing is nested."""
    try:
        return header_of(path)
    except ValueError as error:
        raise ConfigurationError(f"{where}.path: {error}") from error


READERS = {".jsonl": _first_line, ".csv": _header, ".parquet": _parquet_columns}
