"""The numbers that the pages of docs/ quote, as a table: a finding of a condition, over seeds, in a row."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from memorization.csv_files import DIGITS
from memorization.statistics import t_interval

COLUMNS = ("finding", "condition", "value", "low", "high", "n", "unit", "seeds")


class Findings:
    """Findings as they are made, in their order."""

    def __init__(self):
        self._rows: list[tuple] = []

    def add(self, finding: str, condition: str, values: "pd.Series | Mapping[int, float]", unit: str) -> None:
        """A finding of which each seed has a value: their mean and its 95% t interval.

        Parameters
        ----------
        finding : what was measured
        condition : of which condition, or of which two
        values : by seed; NaN where a seed has none, which is left out of the mean
        unit : of the value
        """
        by_seed = {int(seed): float(value) for seed, value in sorted(dict(values).items())}
        known = [value for value in by_seed.values() if not np.isnan(value)]
        text = " ".join(f"{seed}:{value:.{DIGITS}g}" for seed, value in by_seed.items())
        self._rows.append((finding, condition, *t_interval(np.array(known)), len(known), unit, text))

    def add_difference(
        self, finding: str, condition: str, values: pd.Series, other: str, others: pd.Series, unit: str
    ) -> None:
        """How much more a condition has than another, in pairs: of the seeds that both have."""
        self.add(f"{finding}, difference", f"{condition} - {other}", (values - others).dropna(), unit)

    def add_value(self, finding: str, condition: str, value: float, n: int, unit: str) -> None:
        """A finding of all runs together, such as a p value; ``n`` counts the runs, pairs of runs or draws."""
        self._rows.append((finding, condition, float(value), np.nan, np.nan, n, unit, ""))

    def table(self) -> pd.DataFrame:
        """All of them: ``COLUMNS``; low and high are NaN where there are fewer than two seeds."""
        return pd.DataFrame(self._rows, columns=COLUMNS)
