"""Forecasts of what a model will have memorized: by a smaller model, by itself at an earlier step."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

COLUMNS = [
    *("condition", "scheme", "predictor", "step", "share_of_training", "seed"),
    *("n_items", "n_predicted", "n_memorized", "precision", "recall", "base_rate"),
]


def precision_recall(predicted: np.ndarray, memorized: np.ndarray) -> tuple[float, float]:
    """Share of predicted items that are memorized, and of memorized items that are predicted.

    Parameters
    ----------
    predicted, memorized : (n,) bool

    Returns
    -------
    precision, recall; NaN where nothing is predicted, or nothing memorized.
    """
    both = (predicted & memorized).sum()
    counts = predicted.sum(), memorized.sum()
    return tuple(both / count if count else np.nan for count in counts)


def forecast_table(records: pd.DataFrame, sizes: Sequence[Sequence[str]]) -> pd.DataFrame:
    """How well "memorized by a small model" and "memorized earlier" foretell "memorized at the end".

    Biderman et al. 2023 (arXiv 2304.11158). Memorized is ``exact``; the end is a run's last recorded step. Items are
    those that the large model was trained on by its end. Some of them the predictor has not seen yet at an early step:
    there they count as not predicted, as they would for whoever has to decide by then.

    Parameters
    ----------
    records : rows of the family's ``records`` of all runs
    sizes : pairs of conditions, small and large, trained on the same items of a seed

    Returns
    -------
    DataFrame: ``condition``, the large one; ``scheme``, planted; ``predictor``, the small one at its end or the large
    one at each step before its end; ``step`` of the predictor, ``share_of_training`` that it has by then; ``seed``;
    ``n_items``, ``n_predicted``, ``n_memorized``; ``precision`` and ``recall``, NaN where undefined; ``base_rate``,
    the share of items that are memorized, the precision of a blind guess.
    """
    rows, runs = [], dict(list(records.groupby(["condition", "seed"])))
    for small, large in sizes:
        for seed in sorted(seed for condition, seed in runs if condition == large and (small, seed) in runs):
            ends = {name: _last(runs[name, seed]) for name in (small, large)}
            end = ends[large][ends[large]["exposures"] > 0].set_index("item")["exact"].astype(bool)
            before = runs[large, seed][runs[large, seed]["step"] < runs[large, seed]["step"].max()]
            forecasts = [(small, ends[small]), *((large, each) for _, each in before.groupby("step"))]
            for predictor, rows_then in forecasts:
                predicted = rows_then.set_index("item")["exact"].astype(bool).reindex(end.index, fill_value=False)
                step, steps = rows_then["step"].iloc[0], runs[predictor, seed]["step"].max()
                precision, recall = precision_recall(predicted.to_numpy(), end.to_numpy())
                row = {
                    "condition": large,
                    "scheme": "planted",
                    "predictor": predictor,
                    "step": step,
                    "share_of_training": step / steps,
                }
                row |= {"seed": seed, "n_items": len(end), "n_predicted": predicted.sum(), "n_memorized": end.sum()}
                rows.append(row | {"precision": precision, "recall": recall, "base_rate": end.mean()})
    return pd.DataFrame(rows, columns=COLUMNS).drop_duplicates(ignore_index=True)


def _last(run: pd.DataFrame) -> pd.DataFrame:
    return run[run["step"] == run["step"].max()]
