"""Rates of extraction: of a run, and over seeds with an interval."""

import numpy as np
import pandas as pd

from memorization.provenance import generator
from memorization.statistics import bootstrap_interval

RUN = ["architecture", "model", "parameters", "revision", "seed"]
CELL = ["data_type", "role", "copies", "scheme", "protocol", "prefix_length", "suffix_length"]
DRAWS = (10, 1000)  # of sampling, in the columns extractable_<n>
MEASURES = ["exact", "flipped", "matched_run", "biderman_score", "p_z", *(f"extractable_{n}" for n in DRAWS)]
ALL = -1  # in place of a number of copies
RESAMPLES = 1_999  # of a cell: a study has thousands of cells


def discoverable(p_z: np.ndarray, n: int, p: float = 0.5) -> np.ndarray:
    """Whether n draws give the suffix at least once with probability p: (n, p)-discoverable extraction.

    1 - (1 - p_z)ⁿ ≥ p, of Hayes et al. 2024 (arXiv 2410.19482): n draws or fewer are needed.

    Parameters
    ----------
    p_z : (…), probability that one draw gives the suffix; float64
    """
    with np.errstate(divide="ignore"):
        return n * np.log1p(-np.asarray(p_z, float)) <= np.log1p(-p)


def rates(prompts: pd.DataFrame) -> pd.DataFrame:
    """How often the windows of a run are reproduced, a row a cell.

    The duplicates of a window raise the rate, and how windows are sampled decides it: in the literature rates of the
    two schemes differ by a factor of 30. So each row says its scheme:

    - the scheme of ``prompts`` itself, ``copies`` ≥ 0: windows of one known number of copies, all of the same weight;
    - ``uniform``, ``copies`` = -1: over all windows but those of 0 copies, all of the same weight: the rate of the
      distinct texts of the training data. Windows of unknown copies stand here alone;
    - ``by_copies``, ``copies`` = -1: over all windows of known copies, each with its copies as weight: the rate of a
      text that is drawn from the training data as it is.

    Parameters
    ----------
    prompts : rows of ``prompts`` of one or several runs

    Returns
    -------
    DataFrame: ``RUN``, ``CELL`` (``data_type`` is ``all`` too), ``n_windows``; weighted means over windows of
    ``MEASURES``: ``exact``; ``flipped``, the share of decisions in half precision that float32 decides otherwise, of
    those that were checked; ``matched_run`` in tokens, ``biderman_score`` (of the windows that have one), ``p_z``,
    ``extractable_10`` and ``extractable_1000``, the share whose suffix 10 or 1000 draws give with a probability of 1/2.
    """
    cells = in_cells(prompts)
    values = cells[MEASURES]
    weights = values.notna().mul(cells["weight"], axis=0)
    by = [cells[name] for name in RUN + CELL]
    total = weights.groupby(by, dropna=False).sum()
    means = values.mul(weights).groupby(by, dropna=False).sum() / total.where(total > 0)
    means.insert(0, "n_windows", cells.groupby(RUN + CELL, dropna=False).size())
    return means.reset_index()


def pooled_rates(prompts: pd.DataFrame) -> pd.DataFrame:
    """The rates of a condition over its seeds, a row a cell.

    Parameters
    ----------
    prompts : rows of ``prompts`` of all seeds of one or several conditions

    Returns
    -------
    DataFrame: ``RUN`` without the seed, ``CELL``, ``n_seeds``, ``n_windows`` of all seeds together; means over seeds of
    ``MEASURES`` of ``rates``, each seed with the same weight; ``low`` and ``high``, the 95% bootstrap interval of
    ``exact`` over windows within seeds: how it would vary with other windows, not with other seeds.
    """
    by = [*(name for name in RUN if name != "seed"), *CELL]
    of_seeds = rates(prompts).groupby(by, dropna=False)
    pooled = of_seeds[MEASURES].mean()
    pooled.insert(0, "n_windows", of_seeds["n_windows"].sum())
    pooled.insert(0, "n_seeds", of_seeds.size())
    cells = in_cells(prompts).groupby(by, dropna=False)
    intervals = pd.DataFrame({key: _interval(key, cell) for key, cell in cells}, index=["low", "high"]).T
    return pooled.assign(low=intervals["low"].to_numpy(), high=intervals["high"].to_numpy()).reset_index()


def in_cells(prompts: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``prompts``, once for each cell of ``rates`` that they are part of, with their ``weight`` in it."""
    items = prompts.assign(
        exact=prompts["exact"].astype(float),
        flipped=(prompts["exact"].astype(float) - prompts["exact_float32"].astype(float)).abs(),
        weight=1.0,
        **{f"extractable_{n}": discoverable(prompts["p_z"], n).astype(float) for n in DRAWS},
    )
    known, seen = items[items["copies"] >= 0], items[items["copies"] > 0]
    by_scheme = [
        known,
        items[items["copies"] != 0].assign(copies=ALL, scheme="uniform"),
        seen.assign(weight=seen["copies"].astype(float), copies=ALL, scheme="by_copies"),
    ]
    cells = pd.concat(by_scheme, ignore_index=True)
    return pd.concat([cells, cells.assign(data_type="all")], ignore_index=True)


def _interval(key: tuple, cell: pd.DataFrame) -> tuple[float, float]:
    """Bootstrap interval of the weighted share of exact rows; each cell has a random stream of its own."""
    exact, weight = cell["exact"].to_numpy(), cell["weight"].to_numpy()

    def weighted_mean(rows: np.ndarray, axis: int = -1) -> np.ndarray:
        rows = rows.astype(int)
        return (exact[rows] * weight[rows]).sum(axis) / weight[rows].sum(axis)

    seeds = [np.flatnonzero(cell["seed"] == seed) for seed in sorted(set(cell["seed"]))]
    rng = generator("extraction", "rates", *map(str, key), "bootstrap")
    return bootstrap_interval(seeds, rng, weighted_mean, n_resamples=RESAMPLES)[1:]
