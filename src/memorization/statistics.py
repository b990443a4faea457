"""Uncertainty over seeds."""

import numpy as np
import pandas as pd
from scipy import stats


def t_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean of a few seeds' values and Student's t interval about it.

    Taken rather than a bootstrap, whose interval over 3 seeds covers the mean far less often than it says.

    Parameters
    ----------
    values : (n_seeds,); NaN are left out

    Returns
    -------
    mean, low, high; low and high are NaN below two seeds.
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return (values.mean() if len(values) else np.nan), np.nan, np.nan
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return values.mean(), values.mean() - half, values.mean() + half


def over_seeds(table: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
    """``mean``, ``low`` and ``high`` (``t_interval``) of a column over seeds, a row a group of ``by``."""
    groups = table.groupby(by, sort=True)[value]
    rows = [(*np.atleast_1d(key), *t_interval(values.to_numpy())) for key, values in groups]
    return pd.DataFrame(rows, columns=[*by, "mean", "low", "high"])
