"""Paired differences of two conditions: the same windows, prefixes, copies and seeds."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from memorization.extraction.analysis.rates import ALL, RESAMPLES
from memorization.provenance import generator
from memorization.statistics import bootstrap_interval

CELL = ["comparison", "first", "second", "role", "scheme", "protocol", "prefix_length", "suffix_length", "copies"]
PROMPT = ["seed", "window", "protocol", "prefix_length", "suffix_length"]
MEASURES = ["exact", "matched_run", "log_p_z"]
VALUES = ["exact", "matched_run", "log10_p_z"]


def differences(prompts: pd.DataFrame, pairs: Sequence[Mapping]) -> pd.DataFrame:
    """First less second condition of each pair, a row a prompt and twice: with its copies, and among all (-1).

    Among all are windows of any number of copies but 0; those of an unknown number stand there alone.

    Parameters
    ----------
    prompts : rows of ``prompts`` of all runs
    pairs : ``{name, conditions: [first, second]}``

    Returns
    -------
    DataFrame: ``CELL`` and ``PROMPT``; ``exact`` (1, 0 or -1), ``matched_run`` in tokens, ``log10_p_z`` (0 where
    neither can give the suffix).

    Raises
    ------
    ValueError
        If a window's copies differ between the two.
    """
    made = []
    for pair in pairs:
        first, second = pair["conditions"]
        one, other = (
            prompts.loc[prompts["model"] == name, [*PROMPT, "role", "scheme", "copies", *MEASURES]]
            for name in (first, second)
        )
        both = one.merge(other, on=PROMPT, suffixes=("", "_second"), validate="one_to_one")
        if (both["copies"] != both["copies_second"]).any():
            raise ValueError(f"{pair['name']}: copies differ between {first} and {second}; allowed: the same data")
        with np.errstate(invalid="ignore"):  # less infinite from less infinite
            log_p_z = (both["log_p_z"] - both["log_p_z_second"]) / np.log(10)
        values = {
            "comparison": pair["name"],
            "first": first,
            "second": second,
            "exact": both["exact"].astype(float) - both["exact_second"].astype(float),
            "matched_run": both["matched_run"] - both["matched_run_second"],
            "log10_p_z": log_p_z.mask(both["log_p_z"] == both["log_p_z_second"], 0.0),
        }
        made.append(both[[*PROMPT, "role", "scheme", "copies"]].assign(**values))
    rows = pd.concat(made, ignore_index=True)
    return pd.concat([rows, rows[rows["copies"] > 0].assign(copies=ALL)], ignore_index=True)


def difference_table(prompts: pd.DataFrame, pairs: Sequence[Mapping]) -> pd.DataFrame:
    """Paired differences of each seed, a row a cell.

    Parameters
    ----------
    prompts, pairs : as in ``differences``

    Returns
    -------
    DataFrame: ``CELL``, ``seed``, ``n`` windows; ``exact``, the difference of shares, ``matched_run``, that of means
    in tokens, ``log10_p_z``, the median difference; ``only_first``, ``only_second``, the windows that one alone gives.
    """
    return _summary(differences(prompts, pairs), [*CELL, "seed"]).reset_index()


def pooled_differences(prompts: pd.DataFrame, pairs: Sequence[Mapping]) -> pd.DataFrame:
    """Paired differences over seeds, a row a cell, each seed with the same weight.

    Returns
    -------
    DataFrame: ``CELL``, ``n_seeds``; ``n``, ``only_first``, ``only_second`` of all seeds together; means over seeds
    of ``exact``, ``matched_run`` and ``log10_p_z`` of ``difference_table``; ``low`` and ``high``, the 95% bootstrap
    interval of ``exact`` over windows within seeds. Intervals over seeds are the findings'.
    """
    rows = differences(prompts, pairs)
    of_seeds = _summary(rows, [*CELL, "seed"]).groupby(CELL)
    counts = ["n", "only_first", "only_second"]
    pooled = pd.concat([of_seeds.size().rename("n_seeds"), of_seeds[counts].sum(), of_seeds[VALUES].mean()], axis=1)
    intervals = np.reshape([_interval(key, cell) for key, cell in rows.groupby(CELL)], (-1, 2))
    return pooled.assign(low=intervals[:, 0], high=intervals[:, 1]).reset_index()


def _summary(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    flags = rows.assign(only_first=rows["exact"] > 0, only_second=rows["exact"] < 0)
    return flags.groupby(by).agg(
        n=("exact", "size"),
        exact=("exact", "mean"),
        matched_run=("matched_run", "mean"),
        log10_p_z=("log10_p_z", "median"),
        only_first=("only_first", "sum"),
        only_second=("only_second", "sum"),
    )


def _interval(key: tuple, cell: pd.DataFrame) -> tuple[float, float]:
    """Bootstrap interval of the difference of shares; each cell has a random stream of its own."""
    seeds = [values.to_numpy() for _, values in cell.groupby("seed")["exact"]]
    rng = generator("extraction", "pairs", *map(str, key), "bootstrap")
    return bootstrap_interval(seeds, rng, n_resamples=RESAMPLES)[1:]
