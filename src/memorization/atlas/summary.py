"""What each run of each family holds: bits at its end, and what is left of old items."""

import numpy as np
import pandas as pd

from memorization.atlas.ends import RUN, TRAINED, above_chance, at_end, before_end

RISING = 0.01  # a gain of more than this share of the bits, over the last tenth of the steps
FULL = 0.95  # share of what there is to hold, from which on it might be more of more


def summary_table(records: pd.DataFrame, runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """A row a run of any family.

    Parameters
    ----------
    records, runs : of all families
    curves : of ``exposures.exposure_table``

    Returns
    -------
    DataFrame: see docs/reference/tables.md. ``bits`` is the sum of (prior_bits - nll_bits)⁺ over the trained items
    that have prior_bits, at the end; ``net_bits`` is what is left of it when each item gains as large a share of its
    prior as the run's held-out items do, which is no memory. ``lower_bound`` says why a run may hold more.
    """
    end = at_end(records)
    of_run = end.groupby(RUN, observed=True)
    table = runs.set_index(RUN).join([of_run.apply(_of_items, include_groups=False), _rise(records, end)])
    table["net_bits"] = np.maximum(0, table["bits"] - table["held_out_share"].fillna(0) * table["to_hold"])
    for name, size in {"parameter": "parameters", "active": "active", "state_bit": "state_bits"}.items():
        table[f"bits_per_{name}"] = table["net_bits"] / table[size]
    table["lower_bound"] = [_bound(row) for row in table.itertuples()]
    table = table.join(curves.set_index(RUN)[["e50", "e50_is"]])
    return table.drop(columns="rise").reset_index().sort_values(RUN, ignore_index=True)


def _of_items(end: pd.DataFrame) -> pd.Series:
    trained, held_out = end[end["phase"].isin(TRAINED)], end[end["phase"] == "held_out"]
    old, new = end[end["phase"] == "before_switch"], end[end["phase"].isin(["train", "after_switch"])]
    known = trained[trained["prior_bits"].notna()]
    gained = _gains(known).sum()
    return pd.Series(
        {
            "items": len(trained),
            "without_prior": len(trained) - len(known),
            "recall": new["recall"].mean(),
            "exact": new["exact"].astype(float).mean(),
            "to_hold": known["prior_bits"].sum(),
            "bits": gained if len(known) else np.nan,
            "held_out_share": _held_out_share(held_out),
            "old_recall": above_chance(old).mean(),
            "new_recall": above_chance(new).mean(),
        }
    )


def _gains(table: pd.DataFrame) -> pd.Series:
    return (table["prior_bits"] - table["nll_bits"]).clip(lower=0)


def _held_out_share(held_out: pd.DataFrame) -> float:
    """What held-out items cost less than their prior, as a share of it, at least 0; NaN without such items."""
    known = held_out[held_out["prior_bits"].notna()]
    if not len(known):
        return np.nan
    return max(0.0, 1 - known["nll_bits"].sum() / known["prior_bits"].sum())


def _rise(records: pd.DataFrame, end: pd.DataFrame) -> pd.Series:
    """By run, the share of its net bits that came since the tenth before, over items that are recorded in both."""
    before = before_end(records)
    both = before[[*RUN, "item"]].drop_duplicates()
    sides = {"before": before, "after": end.merge(both, on=[*RUN, "item"])}
    net = {side: _by_run(table, _net) for side, table in sides.items()}
    return ((net["after"] - net["before"]) / net["after"].where(net["after"] > 0)).rename("rise")


def _net(table: pd.DataFrame) -> float:
    trained = table[table["phase"].isin(TRAINED) & table["prior_bits"].notna()]
    share = np.nan_to_num(_held_out_share(table[table["phase"] == "held_out"]))
    return max(0.0, _gains(trained).sum() - share * trained["prior_bits"].sum())


def _by_run(table: pd.DataFrame, of_run) -> pd.Series:
    runs = {run: of_run(rows) for run, rows in table.groupby(RUN, observed=True)}
    return pd.Series(list(runs.values()), pd.MultiIndex.from_tuples(list(runs), names=RUN), dtype=float)


def _bound(row) -> str:
    """Why a run may hold more bits than were counted; empty where nothing says so."""
    reasons = {
        "not all is recorded": not row.all_recorded,
        "no earlier record": np.isnan(row.rise) and row.bits > 0,
        "still rising": row.rise > RISING,
        "holds all that there is": row.net_bits >= FULL * row.to_hold,
    }
    return ", ".join(reason for reason, holds in reasons.items() if holds) if row.bits >= 0 else ""
