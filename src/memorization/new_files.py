"""What a command writes takes the place of nothing: rules made what stands in results, and Snakemake keeps no copy."""

import os
from pathlib import Path


def check_new(path: Path, allowed: str = "another path") -> None:
    """Refuse a path at which something stands.

    Parameters
    ----------
    path : that a command is to write
    allowed : what the user may name instead, for the message

    Raises
    ------
    FileExistsError
        One line.
    """
    if os.path.lexists(path):
        raise FileExistsError(f"{path}: already exists; allowed: {allowed}")
