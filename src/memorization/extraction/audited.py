"""What the audit compares texts of the family with: they have no digest, and follow from other results."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from memorization.extraction.samples import samples_page
from memorization.extraction.source_format import report
from memorization.extraction.windows import tokenizer_text
from memorization.files import read_arrays, read_table


def _report(path: Path, made_by: Mapping, inputs: Sequence[Path]) -> str:
    return report(read_table(str(path.with_suffix(".parquet"))))


def _samples(path: Path, made_by: Mapping, inputs: Sequence[Path]) -> str:
    (prompts,) = inputs
    return samples_page(read_table(str(prompts)), **made_by["params"]["samples"], made_by=made_by)


def _tokenizer(path: Path, made_by: Mapping, inputs: Sequence[Path]) -> str:
    arrays = (read_arrays(str(each)) for each in inputs if each.suffix == ".npz")
    return next(tokenizer_text(each) for each in arrays if "tokenizer" in each)


TEXTS = {  # by pattern of the path: takes the path, what made the file, and the paths of its inputs; gives the text
    "evaluations/*/*/source.txt": _report,
    "samples/*/*.html": _samples,
    "models/*/*/tokenizer.json": _tokenizer,
}
