"""Tables and arrays on disk: written whole or not at all, saying what made them, read whole or refused."""

import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np


class DamagedFile(ValueError):
    """A file that is not what was written: cut off, altered, or of another kind."""

    def __init__(self, path: str | Path, why: object):
        super().__init__(f"{path}: damaged ({why}); delete it and run again: it will be made anew")


@contextmanager
def whole(path: str | Path) -> Iterator[str]:
    """A path to write to that becomes ``path`` only once all of it is written, and on the disk."""
    part = f"{path}.part"
    try:
        yield part
        with open(part, "rb") as written:
            os.fsync(written.fileno())
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def write_arrays(path: str, arrays: Mapping[str, np.ndarray], made_by: dict) -> None:
    """An npz of ``arrays``, with what made it as JSON text under ``made_by``. No pickles."""
    with whole(path) as part, open(part, "wb") as file:
        np.savez(file, allow_pickle=False, made_by=np.array(_json(made_by)), **arrays)


def read_arrays(path: str) -> dict[str, np.ndarray]:
    """The arrays of ``write_arrays``, ``made_by`` among them.

    Raises
    ------
    DamagedFile
        If the file is cut off or altered (each array has a checksum in the archive).
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DamagedFile(path, error) from error


def write_table(path: str, table, made_by: dict) -> None:
    """A DataFrame as Parquet with page checksums, and what made it as JSON in its metadata under ``made_by``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**data.schema.metadata, b"made_by": _json(made_by)}
    with whole(path) as part:
        pq.write_table(data.replace_schema_metadata(metadata), part, write_page_checksum=True)


def read_table(path: str, columns: list[str] | None = None):
    """The DataFrame of ``write_table``, or some columns of it.

    Raises
    ------
    DamagedFile
        If the file is cut off or altered.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, columns=columns, page_checksum_verification=True).to_pandas()
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise DamagedFile(path, error) from error


def read_tables(paths: Iterable[str], columns: list[str] | None = None):
    """Tables of one form, one below the other."""
    import pandas as pd

    return pd.concat([read_table(path, columns) for path in paths], ignore_index=True)


def _json(value: dict) -> str:
    return json.dumps(value, sort_keys=True)
