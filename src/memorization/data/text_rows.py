"""Rows of texts from elsewhere, one by one: of a JSON Lines, CSV or Parquet file, or of the hub, read as a stream.

Imported when the Snakefile is read: nothing here may import torch.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

from memorization.hub import pinned, split_name

AT_ONCE = 64  # rows of a Parquet file: documents may be megabytes each
LONGEST = 10**8  # characters of a field of a CSV file; the module csv refuses more than 131,072


def rows(settings: Mapping, columns: Sequence[str]) -> Iterator[Mapping]:
    """The rows of a source one by one, each read when it is asked for.

    Parameters
    ----------
    settings : ``path`` of a file (.jsonl, .csv with a header line, or .parquet), or ``repository``, ``name@commit`` of
        the hub, with its ``config`` (or None) and ``split``
    columns : those that are read of a Parquet file, dots for what is nested; of other sources a row has all columns

    Returns
    -------
    Of each row its values by column, what is nested as mappings; of a CSV file they are text.

    Raises
    ------
    ValueError
        If a line is no JSON, a row of a CSV file has more or fewer fields than its header, or the hub cannot give the
        set; one line.
    """
    path = settings.get("path")
    if not path:
        yield from _streamed(settings)
    elif Path(path).suffix == ".parquet":
        yield from _of_parquet(path, columns)
    elif Path(path).suffix == ".csv":
        yield from _of_csv(path)
    else:
        yield from _of_json_lines(path)


def source_of(settings: Mapping) -> str:
    """What a source is called: its file's name, or the hub's."""
    return Path(settings["path"]).name if settings.get("path") else split_name(settings["repository"])[0]


def value(row: Mapping, column: str, where: str):
    """The value of a column, or of what is nested in it behind a dot.

    Raises
    ------
    ValueError
        If a row has it not; one line that begins with ``where``.
    """
    found = row
    for name in [column] if column in row else column.split("."):
        if not isinstance(found, Mapping) or name not in found:
            raise ValueError(f"{where}: has no {column}; allowed: {', '.join(map(str, row))}, dots for nested ones")
        found = found[name]
    return found


def header_of(path: str | Path) -> list[str]:
    """The columns of a CSV file, as its first line names them.

    Raises
    ------
    ValueError
        If there is no such line, or it names a column twice; one line.
    """
    with _opened(path) as file:
        _, names = next(_records(file, path), (1, []))
    if not names:
        raise ValueError(f"{path}: has no lines; allowed: a first one that names the columns")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{path}: its first line names {twice!r} twice; allowed: each column once")
    return names


def _of_json_lines(path: str | Path) -> Iterator[Mapping]:
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}: line {number} is no JSON ({error})") from error
            yield row


def _of_parquet(path: str | Path, columns: Sequence[str]) -> Iterator[Mapping]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(AT_ONCE, columns=list(columns)):
            yield from batch.to_pylist()


def _of_csv(path: str | Path) -> Iterator[Mapping]:
    names = header_of(path)
    with _opened(path) as file:
        for line, fields in islice(_records(file, path), 1, None):
            if len(fields) != len(names):
                raise ValueError(
                    f"{path}: line {line}: fields: {len(fields)}; allowed: as many as the header has, {len(names)}"
                )
            yield dict(zip(names, fields, strict=True))


def _opened(path: str | Path) -> TextIO:
    return open(path, encoding="utf-8-sig", newline="")  # spreadsheets write a mark before the first column


def _records(file: TextIO, path: str | Path) -> Iterator[tuple[int, list[str]]]:
    """Of each record of a CSV file, the header too, the line that it begins in, and its fields; no empty lines."""
    reader, begin = csv.reader(file, strict=True), 1
    while True:
        most = csv.field_size_limit()  # one for all readers
        csv.field_size_limit(max(most, LONGEST))
        try:
            fields = next(reader, None)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: line {begin} is no CSV in UTF-8 ({error})") from error
        finally:
            csv.field_size_limit(most)
        if fields is None:
            return
        if fields:
            yield begin, fields
        begin = reader.line_num + 1


def _streamed(settings: Mapping) -> Iterator[Mapping]:
    import datasets

    repository, revision = split_name(settings["repository"])
    try:
        yield from datasets.load_dataset(
            repository, settings.get("config"), split=settings["split"], streaming=True, revision=pinned(revision)
        )
    except Exception as error:  # libraries raise many kinds
        raise ValueError(f"{settings['repository']}: cannot be read ({' '.join(str(error).split())[:300]})") from error
