"""Intervals: over seeds, over items within seeds, of a rank correlation. ``permutation`` has tests."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

RESAMPLES = 9_999
CONFIDENCE = 0.95
BATCH = 10_000_000  # resampled items in memory at a time: 160 MB


def t_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean of a few seeds' values and its Student t interval.

    Not a bootstrap, because its interval over 3 seeds covers the mean far less often than it claims.

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
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return values.mean(), values.mean() - half, values.mean() + half


def bootstrap_interval(
    seeds: Sequence[np.ndarray],
    rng: np.random.Generator,
    statistic: Callable[..., np.ndarray] = np.mean,
    n_resamples: int = RESAMPLES,
) -> tuple[float, float, float]:
    """A statistic over the items of each seed, averaged over seeds, with its percentile bootstrap interval.

    Items are resampled within each seed, and seeds are kept. The interval shows how the value would vary with other
    items in these seeds, not with other seeds (``t_interval``). All seeds have the same weight.

    Parameters
    ----------
    seeds : the items' values of each seed, (n_items,) each; NaN and seeds without items are left out
    rng : of the resampling
    statistic : of ``(…, n_items)`` along ``axis``, such as ``np.mean`` or ``np.median``
    n_resamples : how many

    Returns
    -------
    value, low, high; low and high are NaN if a seed has a single item.
    """
    samples = [items[~np.isnan(items)] for items in (np.asarray(values, float) for values in seeds)]
    samples = [items for items in samples if len(items)]

    def mean_over_seeds(*drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.mean([statistic(items, axis=axis) for items in drawn], axis=0)

    value = mean_over_seeds(*samples) if samples else np.nan
    if min(map(len, samples), default=0) < 2:
        return value, np.nan, np.nan
    interval = stats.bootstrap(
        samples,
        mean_over_seeds,
        n_resamples=n_resamples,
        batch=max(1, BATCH // sum(map(len, samples))),
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=rng,
    ).confidence_interval
    return value, interval.low, interval.high


def spearman(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Spearman's rank correlation of pairs and an interval for it, by Fisher's z.

    For ranks, z = artanh ρ has a variance of about (1 + ρ²/2) / (n - 3) (Bonett and Wright 2000), more than the
    1 / (n - 3) of Pearson's correlation. Not a bootstrap, because that needs a random stream, and resampled pairs tie
    with themselves, which distorts the ranks of small samples.

    Parameters
    ----------
    x, y : (n,); tied values get the mean of their ranks, pairs with a NaN are left out

    Returns
    -------
    ρ, low, high. All are NaN where x or y has fewer than two different values; low and high below 4 pairs and where
    ρ is 1 or -1, which has no finite z.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    if min(len(np.unique(x)), len(np.unique(y))) < 2:
        return np.nan, np.nan, np.nan
    rho = stats.spearmanr(x, y).statistic
    if len(x) < 4 or np.isclose(abs(rho), 1, rtol=0, atol=1e-12):
        return rho, np.nan, np.nan
    half = stats.norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt((1 + rho**2 / 2) / (len(x) - 3))
    return rho, np.tanh(np.arctanh(rho) - half), np.tanh(np.arctanh(rho) + half)
