"""Files for people to open by hand, written whole or not at all."""

from pathlib import Path
from typing import TYPE_CHECKING

from memorization.files import atomic_write

if TYPE_CHECKING:
    import pandas as pd


def write_text(path: str | Path, text: str) -> None:
    """A text in UTF-8."""
    with atomic_write(path) as part:
        Path(part).write_text(text, "utf-8", newline="\n")


def write_csv(path: str | Path, table: "pd.DataFrame") -> None:
    """A table as CSV, whole numbers and texts as they are, others to nine digits."""
    write_text(path, table.to_csv(index=False, float_format="%.9g", lineterminator="\n"))
