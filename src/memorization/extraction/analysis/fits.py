"""Fits of extraction: against copies and prefix length, against parameters."""

import numpy as np
import pandas as pd

from memorization.extraction.analysis.rates import ALL, RUN
from memorization.statistics import spearman

RIDGE = 1e-3  # keeps coefficients finite where a line separates the exact prompts from the others
STEPS = 100
PREFIX_UNIT = 16  # tokens
FITTED = ["n", "intercept", "slope_copies", "slope_prefix", "copies_for_half", "spearman"]
FEWEST_SIZES = 3  # two sizes give a difference, not a slope


def fit_logistic(x: np.ndarray, successes: np.ndarray) -> np.ndarray:
    """Logistic regression by maximum likelihood, by Newton's method.

    The likelihood less half a ridge of 1e-3 times the squared coefficients, the intercept's included: without it they
    have no maximum where the data are separable. A step that does not raise it is halved.

    Parameters
    ----------
    x : (n, k)
    successes : (n,) bool

    Returns
    -------
    (k + 1,): the intercept and the slopes, in log-odds (nats).

    Raises
    ------
    ValueError
        If x is not finite, or if it has not converged in 100 steps.
    """
    x = np.column_stack([np.ones(len(x)), np.asarray(x, float)])
    if not np.isfinite(x).all():
        raise ValueError("x of a logistic regression: not a number or infinite; allowed: finite numbers")
    y = np.asarray(successes, float)

    def objective(b: np.ndarray) -> float:
        return y @ (x @ b) - np.logaddexp(0, x @ b).sum() - RIDGE / 2 * b @ b

    b = np.zeros(x.shape[1])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ b, -500, 500)))
        gradient = x.T @ (y - p) - RIDGE * b
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + RIDGE * np.eye(len(b)), gradient)
        if gradient @ step < 1e-12:  # twice what is left to gain
            return b
        while objective(b + step) < objective(b):
            step = step / 2
        b = b + step
    raise ValueError(f"logistic regression has not converged in {STEPS} steps")


def copies_table(prompts: pd.DataFrame) -> pd.DataFrame:
    """How ``exact`` depends on copies and prefix length, a row for each run, protocol and length of suffix.

    log-odds of exact = intercept + slope_copies · log₂ copies + slope_prefix · prefix_length / 16, over windows of
    known copies but those of 0. Prompts of one window are not independent, so that the fit has no standard errors of
    its own: its spread is that over seeds.

    Parameters
    ----------
    prompts : rows of ``prompts`` of one or several runs

    Returns
    -------
    DataFrame: ``RUN``, ``scheme``, ``protocol``, ``suffix_length``; ``n`` prompts; ``intercept``; ``slope_copies``,
    log-odds a doubling; ``slope_prefix``, log-odds 16 tokens; ``copies_for_half``, at which half of the windows are
    given with the longest prefix, extrapolated where no level reaches that; ``spearman``, the rank correlation of
    copies and rate over levels of copies with the longest prefix. A slope over one single value is NaN, and so is all
    where all prompts are exact or none.
    """
    by, rows = [*RUN, "scheme", "protocol", "suffix_length"], []
    for key, run in prompts[prompts["copies"] > 0].groupby(by, dropna=False):
        longest = run["prefix_length"].max()
        x = np.column_stack([np.log2(run["copies"]), run["prefix_length"] / PREFIX_UNIT])
        exact, varies = run["exact"].to_numpy(bool), np.ptp(x, axis=0) > 0
        intercept, slopes = np.nan, np.full(2, np.nan)
        if exact.any() and not exact.all():
            fitted = fit_logistic(x[:, varies], exact)
            intercept, slopes[varies] = fitted[0], fitted[1:]
        at_longest = intercept + np.nan_to_num(slopes[1]) * longest / PREFIX_UNIT
        half = 2 ** (-at_longest / slopes[0]) if slopes[0] > 0 else np.nan
        rate = run[run["prefix_length"] == longest].groupby("copies")["exact"].mean()
        row = dict(zip(by, key, strict=True)) | {"n": len(run), "intercept": intercept}
        row |= {"slope_copies": slopes[0], "slope_prefix": slopes[1], "copies_for_half": half}
        rows.append(row | {"spearman": spearman(rate.index.to_numpy(), rate.to_numpy())[0]})
    return pd.DataFrame(rows, columns=[*by, *FITTED])


def size_table(rates: pd.DataFrame) -> pd.DataFrame:
    """How the rate grows with parameters, of architectures of three sizes or more; two sizes give no slope.

    Parameters
    ----------
    rates : ``analysis.rates.rates`` of several runs; of it the rows over all windows, each with the same weight

    Returns
    -------
    DataFrame: ``architecture``, ``seed``, ``role``, ``data_type``, ``protocol``, ``prefix_length``, ``suffix_length``;
    ``n_sizes``; ``slope``, how much ``exact`` grows with a factor of 10 in parameters, by least squares; ``spearman``,
    the rank correlation of parameters and ``exact``.
    """
    by = ["architecture", "seed", "role", "data_type", "protocol", "prefix_length", "suffix_length"]
    chosen, rows = rates[(rates["copies"] == ALL) & (rates["scheme"] == "uniform")], []
    for key, part in chosen.groupby(by):
        sizes = np.log10(part["parameters"].astype(float))
        if sizes.nunique() >= FEWEST_SIZES:
            slope = np.polyfit(sizes, part["exact"], 1)[0]
            row = dict(zip(by, key, strict=True)) | {"n_sizes": sizes.nunique(), "slope": slope}
            rows.append(row | {"spearman": spearman(sizes, part["exact"])[0]})
    return pd.DataFrame(rows, columns=[*by, "n_sizes", "slope", "spearman"])
