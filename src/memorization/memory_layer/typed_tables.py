"""Tables whose columns have the same types with rows as without any."""

from collections.abc import Mapping, Sequence

import pandas as pd


def typed(parts: Sequence[pd.DataFrame], types: Mapping[str, type], run: Mapping | None = None) -> pd.DataFrame:
    """Tables one below the other, with these columns of these types.

    Parameters
    ----------
    parts : that have these columns, and maybe others, which are left out; there may be none
    types : of the columns, in their order
    run : ``condition`` and ``seed``, the same in every row, before the other columns; by default there are no such
    """
    table = pd.concat(parts, ignore_index=True) if len(parts) else pd.DataFrame(columns=list(types))
    table = table[list(types)].astype(dict(types))
    for place, (name, value) in enumerate((run or {}).items()):
        table.insert(place, name, pd.Series(value, index=table.index, dtype=type(value)))
    return table
