"""Texts for people and for other tools, written whole or not at all."""

from pathlib import Path

from memorization.files import atomic_write


def write_text(path: str | Path, text: str) -> None:
    """A text in UTF-8."""
    with atomic_write(path) as part:
        Path(part).write_text(text, "utf-8", newline="\n")
