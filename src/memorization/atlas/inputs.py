"""What a job of the atlas reads: tables of several families."""

from collections.abc import Mapping, Sequence

import pandas as pd

from memorization.files import read_tables


def read_kind(inputs: Mapping[str, str | Sequence[str]], kind: str) -> pd.DataFrame:
    """The tables of one kind of all families, one below the other.

    Parameters
    ----------
    inputs : paths by name, ``<family>_<kind>``
    kind : ``records`` or ``runs``
    """
    chosen = [paths for name, paths in inputs.items() if name.endswith(f"_{kind}")]
    return read_tables(path for paths in chosen for path in ([paths] if isinstance(paths, str) else paths))
