"""Tables and arrays on disk: written whole or not at all, saying what made them, read whole or refused."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import numpy as np


class DamagedFile(ValueError):
    """A file that is not what was written: cut off, altered, or of another kind."""

    def __init__(self, path: str | Path, why: object):
        line = " ".join(str(why).split())  # libraries give several
        super().__init__(f"{path}: damaged ({line}); delete it and run again: it will be made anew")


class ForeignFile(DamagedFile):
    """A file that can be read but does not say what made it."""

    def __init__(self, path: str | Path):
        ValueError.__init__(self, f"{path}: not made by this workflow, or saved again by another tool")


@contextmanager
def atomic_write(path: str | Path) -> Iterator[str]:
    """A path to write to that becomes ``path`` only once all of it is written, and on the disk.

    What is raised meanwhile is raised on, with a note of the path: not every library says what it could not write.
    """
    part = f"{path}.part"
    try:
        yield part
        with open(part, "rb") as written:
            os.fsync(written.fileno())
        os.replace(part, path)
    except BaseException as error:
        Path(part).unlink(missing_ok=True)
        error.add_note(f"while {path} was written")
        raise


@contextmanager
def refusing_damage(path: str | Path) -> Iterator[None]:
    """Turn whatever a library raises over a file that is there into DamagedFile, which names it."""
    try:
        yield
    except (FileNotFoundError, DamagedFile, MemoryError):
        raise
    except Exception as error:
        raise DamagedFile(path, error or type(error).__name__) from error


def content_digest(parts: Iterable[tuple[str, str, bytes | np.ndarray]]) -> str:
    """Digest of named contents, each a name, a description of its type and shape, and its bytes, in any order."""
    total = sha256()
    for name, description, content in sorted(parts, key=lambda part: part[0]):
        total.update(f"{name} {description}\0".encode())
        total.update(np.ascontiguousarray(content) if isinstance(content, np.ndarray) else content)
    return total.hexdigest()


def write_arrays(path: str, arrays: Mapping[str, np.ndarray], made_by: dict) -> None:
    """An npz of ``arrays``, with what made it and a digest of its contents as JSON under ``made_by``. No pickles."""
    made_by = made_by | {"sha256": _arrays_digest(arrays)}
    with atomic_write(path) as part, open(part, "wb") as file:
        np.savez(file, allow_pickle=False, made_by=np.array(to_json(made_by)), **arrays)


def read_arrays(path: str) -> dict[str, np.ndarray]:
    """The arrays of ``write_arrays``.

    Raises
    ------
    DamagedFile
        If the file is cut off, or its contents are not those that were written.
    """
    with refusing_damage(path):
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        if _made_by(path, arrays.pop("made_by", None)).get("sha256") != _arrays_digest(arrays):
            raise DamagedFile(path, "its contents do not match their digest")
    return arrays


def write_table(path: str, table, made_by: dict, **metadata: str) -> None:
    """A DataFrame as Parquet, with what made it and a digest of its contents as JSON in its metadata's ``made_by``.

    ``metadata`` are further entries, for other libraries that read the file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = pa.Table.from_pandas(table, preserve_index=False)
    made_by = made_by | {"sha256": _table_digest(data.to_pandas())}
    entries = {**data.schema.metadata, **metadata, b"made_by": to_json(made_by)}
    with atomic_write(path) as part:
        pq.write_table(data.replace_schema_metadata(entries), part)


def read_table(path: str):
    """The DataFrame of ``write_table``.

    Raises
    ------
    DamagedFile
        If the file is cut off, or its contents are not those that were written.
    """
    import pyarrow.parquet as pq

    with refusing_damage(path):
        data = pq.read_table(path)
        table = data.to_pandas()
        if _made_by(path, (data.schema.metadata or {}).get(b"made_by")).get("sha256") != _table_digest(table):
            raise DamagedFile(path, "its contents do not match their digest")
    return table


def read_tables(paths: Iterable[str]):
    """Tables of one form, one below the other."""
    import pandas as pd

    return pd.concat([read_table(path) for path in paths], ignore_index=True)


def read_made_by(path: str | Path) -> dict:
    """What made a result, from an npz, a Parquet or a safetensors file, without reading the rest of it.

    Raises
    ------
    ForeignFile
        If it does not say.
    DamagedFile
        If it cannot be read.
    """
    with refusing_damage(path):
        if Path(path).suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return _made_by(path, file.get("made_by"))
        if Path(path).suffix == ".parquet":
            import pyarrow.parquet as pq

            return _made_by(path, (pq.read_schema(path).metadata or {}).get(b"made_by"))
        with open(path, "rb") as file:  # safetensors: the length of a JSON header, the header, the tensors
            length = int.from_bytes(file.read(8), "little")
            header = file.read(min(length, os.fstat(file.fileno()).st_size))
        if len(header) < length:
            raise DamagedFile(path, "its header is cut off")
        return _made_by(path, json.loads(header).get("__metadata__", {}).get("made_by"))


def noted_inputs(result: str | Path, beginning: str, results: str | Path) -> list[Path]:
    """The files that a result was made of, looked for in a folder and compared with the digests that it notes.

    Parameters
    ----------
    result : a file that says what made it
    beginning : of the paths, in the folder results, of those that are wanted, such as "<family>/sequences/"
    results : the folder results that ``result`` is of, wherever it lies now

    Raises
    ------
    FileNotFoundError
        If one is not there.
    ValueError
        If one is another than it was, or the result notes none.
    """
    made_by = read_made_by(result)
    noted = {(path, of.get("sha256", "")) for path, of in made_by.get("made_from", {}).items()}
    noted |= set(made_by.get("made_from_earlier", {}).items())
    inputs = set()
    for noted_path, digest in sorted(noted):
        _, wanted, rest = f"/{noted_path}".rpartition(f"/{beginning}")
        if not wanted:
            continue
        path = Path(results) / f"{beginning}{rest}"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; {result} was made of it")
        if read_made_by(path).get("sha256") != digest:
            raise ValueError(f"{result}: made of another {path} than is there now; make it again")
        inputs.add(path)
    if not inputs:
        raise ValueError(f"{result}: does not say that it was made of {beginning}…")
    return sorted(inputs)


def to_json(value: dict) -> str:
    """JSON with sorted keys."""
    return json.dumps(value, sort_keys=True)


def _made_by(path: str | Path, text: str | bytes | np.ndarray | None) -> dict:
    if text is None:
        raise ForeignFile(path)
    return json.loads(text if isinstance(text, str | bytes) else str(text))


def _arrays_digest(arrays: Mapping[str, np.ndarray]) -> str:
    return content_digest((name, f"{array.dtype} {array.shape}", array) for name, array in arrays.items())


def _table_digest(table) -> str:
    import pandas as pd

    columns = [(str(n), f"{name} {table[name].dtype}", b"") for n, name in enumerate(table)]
    return content_digest([*columns, ("rows", "", pd.util.hash_pandas_object(table, index=False).to_numpy())])
