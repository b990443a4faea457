"""What the audit compares texts of the family with: they have no digest, and follow from other results."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from memorization.files import read_arrays, read_table
from memorization.prompt_capacity.source_format import log_text


def _log(path: Path, made_by: Mapping, inputs: Sequence[Path]) -> str:
    cell, table = read_arrays(str(path.with_name("trajectory.npz"))), read_table(str(path.with_suffix(".parquet")))
    return log_text(cell, table)


def _tokenizer(path: Path, made_by: Mapping, inputs: Sequence[Path]) -> str:
    arrays = (read_arrays(str(each)) for each in inputs if each.suffix == ".npz")
    return next(each["tokenizer"].tobytes().decode() for each in arrays if "tokenizer" in each)


TEXTS = {  # by pattern of the path: takes the path, what made the file, and the paths of its inputs; gives the text
    "cells/*/*/*/memorization.txt": _log,
    "models/*/*/tokenizer.json": _tokenizer,
}
