"""The pooled tables that are made of the prompts and scores of all runs."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from memorization.extraction.analysis.fits import copies_table
from memorization.extraction.analysis.membership import membership_table
from memorization.extraction.analysis.pairs import difference_table, pooled_differences
from memorization.extraction.analysis.rates import pooled_rates


def attack_tables(prompts: pd.DataFrame, pairs: Sequence[Mapping]) -> dict[str, pd.DataFrame]:
    """``intervals`` of rates over seeds, ``fits`` of copies; of pairs, if there are any, the ``difference`` by seed and
    ``difference_intervals``.
    """
    tables = {"intervals": pooled_rates(prompts), "fits": copies_table(prompts)}
    if pairs:
        tables |= {"difference": difference_table(prompts, pairs)}
        tables |= {"difference_intervals": pooled_differences(prompts, pairs)}
    return tables


def memberships(
    scores: pd.DataFrame,
    windows: Iterable[pd.DataFrame],
    arrays: Iterable[Mapping[str, np.ndarray]],
    datasets: Mapping[str, Sequence[str]],
) -> pd.DataFrame:
    """``membership_table`` of each data set.

    Parameters
    ----------
    scores : of all runs
    windows, arrays : of each data set, in the order of ``datasets``
    datasets : the models that are attacked with each
    """
    parts = [
        membership_table(scores[scores["condition"].isin(names)], table["window"], each["tokens"])
        for table, each, names in zip(windows, arrays, datasets.values(), strict=True)
    ]
    return pd.concat(parts, ignore_index=True)
