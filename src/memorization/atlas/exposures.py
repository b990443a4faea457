"""Recall against the number of exposures: a curve for each run, and its midpoint E50."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import least_squares
from scipy.special import expit

from memorization.atlas.ends import RUN, at_end
from memorization.provenance import generator

HIGHEST_LAPSE = 0.5
SLOPES = (0.05, 20.0)  # a doubling; the least and the steepest
BEYOND = 3.0  # doublings by which E50 may lie outside of the exposures that were seen
LEAST_RANGE = 2.0  # doublings between the least and the most exposures, or there is no curve
RESAMPLES = 199


class Curve(NamedTuple):
    """A fitted curve; see ``recall_curve``."""

    lapse: float
    slope: float
    e50: float


def recall_curve(exposures: np.ndarray, chance: float, curve: Curve) -> np.ndarray:
    """γ + (1 - γ - λ) σ(β (log₂ n - log₂ E50)), for n exposures, at least 1.

    γ is the chance level, λ the lapse: what is not recalled however often it was seen. E50 is where recall is midway
    between γ and 1 - λ.
    """
    rise = expit(curve.slope * (np.log2(exposures) - np.log2(curve.e50)))
    return chance + (1 - chance - curve.lapse) * rise


def fit(exposures: np.ndarray, recall: np.ndarray, chance: float, near: Curve | None = None) -> Curve:
    """The curve of the least squares over items.

    Parameters
    ----------
    exposures : (n_items,), each at least 1
    recall : (n_items,)
    chance : γ
    near : where to start; by default from six places, and the best is taken

    Returns
    -------
    E50 lies at most three doublings outside of the exposures.
    """
    x, inverse, counts = np.unique(np.log2(exposures), return_inverse=True, return_counts=True)
    means = np.bincount(inverse, recall) / counts  # the squares within a place do not depend on the curve
    weights, low, high = np.sqrt(counts), x[0] - BEYOND, x[-1] + BEYOND

    def residuals(point: np.ndarray) -> np.ndarray:
        curve = Curve(point[0], point[1], 2.0 ** point[2])
        return weights * (recall_curve(2.0**x, chance, curve) - means)

    bounds = [0, SLOPES[0], low], [HIGHEST_LAPSE, SLOPES[1], high]
    lapse = np.clip(1 - means.max(), 0.01, HIGHEST_LAPSE - 0.01)
    starts = [(lapse, slope, place) for slope in (0.5, 2.0) for place in np.linspace(low, high, 5)[1:-1]]
    if near is not None:
        starts = [np.clip([near.lapse, near.slope, np.log2(near.e50)], *bounds)]
    found = min((least_squares(residuals, start, bounds=bounds) for start in starts), key=lambda each: each.cost)
    return Curve(float(found.x[0]), float(found.x[1]), float(2.0 ** found.x[2]))


def side(e50: float, least: float, most: float) -> str:
    """Where E50 is: ``within`` the exposures that were seen, or beyond them, ``at most`` or ``at least`` so many."""
    return "at most" if e50 < least else "at least" if e50 > most else "within"


def exposure_table(records: pd.DataFrame, conditions: Sequence[Sequence[str]]) -> pd.DataFrame:
    """E50 of every run of some conditions, at the end of training.

    Parameters
    ----------
    records : of several families
    conditions : family and name, in the order of the rows

    Returns
    -------
    DataFrame of a row a run: its names; ``chance``; ``least`` and ``most`` exposures of an item, ``n_items``;
    ``lapse``, ``slope``, ``e50``, which is ``least`` or ``most`` where ``e50_is`` ``at most`` or ``at least`` that;
    ``low`` and ``high``, its percentile interval over items, inside of what was seen; ``unseen``, the recall of items
    without an exposure (NaN without such items). NaN and ``e50_is`` ``no curve`` where the most exposures are less
    than four times the least.
    """
    order = {tuple(each): place for place, each in enumerate(conditions)}
    chosen = pd.MultiIndex.from_frame(records[["family", "condition"]]).isin(list(order))
    end = at_end(records[chosen & records["phase"].isin(["train", "held_out"])])
    rows = [dict(zip(RUN, run, strict=True)) | _of_run(part, run) for run, part in end.groupby(RUN, observed=True)]
    rows.sort(key=lambda row: (order[row["family"], row["condition"]], row["seed"]))
    return pd.DataFrame(rows)


def _of_run(end: pd.DataFrame, run: tuple) -> dict:
    seen = end[(end["phase"] == "train") & (end["exposures"] > 0)]
    unseen = end.loc[end["exposures"] == 0, "recall"].mean()
    exposures, recall, chance = seen["exposures"].to_numpy(float), seen["recall"].to_numpy(), seen["chance"].mean()
    least, most = (exposures.min(), exposures.max()) if len(seen) else (np.nan, np.nan)
    about = {"chance": chance, "least": least, "most": most, "n_items": len(seen), "unseen": unseen}
    if not np.log2(most / least) >= LEAST_RANGE:
        return about | dict.fromkeys((*Curve._fields, "low", "high"), np.nan) | {"e50_is": "no curve"}
    curve = fit(exposures, recall, chance)
    rng, drawn = generator("atlas", *run, "items"), []
    for _ in range(RESAMPLES):
        rows = rng.integers(len(seen), size=len(seen))
        drawn.append(fit(exposures[rows], recall[rows], chance, near=curve).e50)
    low, high = np.clip(np.quantile(drawn, [0.025, 0.975]), least, most)
    found = curve._asdict() | {"e50_is": side(curve.e50, least, most), "low": low, "high": high}
    return about | found | {"e50": float(np.clip(curve.e50, least, most))}
