"""What the audit compares texts of the family with: they have no digest, and follow from other results."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from memorization.files import read_arrays, to_json
from memorization.memory_layer.attention import documents


def _examples(path: Path, made_by: Mapping, inputs: Sequence[Path]) -> str:
    arrays = read_arrays(str(path.with_suffix(".npz")))
    return to_json({"examples": documents(arrays), "made_by": made_by}) + "\n"


TEXTS = {  # by pattern of the path: takes the path, what made the file, and the paths of its inputs; gives the text
    "attention/*/*/examples.json": _examples,
}
