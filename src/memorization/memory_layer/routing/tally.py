"""How often each slot is retrieved, and with how much weight: by a label of the places, summed while they come."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from memorization.memory_layer.routing.places import NONE

HELD = 2**21  # sums that are not merged yet: 48 MB


class Tally:
    """Sums by label, head and slot of one layer; only what was retrieved takes memory.

    Parameters
    ----------
    n_heads, n_slots : of the memory
    """

    def __init__(self, n_heads: int, n_slots: int):
        self.n_heads, self.n_slots = n_heads, n_slots
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, labels: np.ndarray, weights: np.ndarray, slots: np.ndarray) -> None:
        """Count the retrievals of some places.

        Parameters
        ----------
        labels : (n,) int64, from 0; places of label ``NONE`` are left out
        weights, slots : (n, n_heads, top_k)
        """
        some = labels != NONE
        cells = labels[some, None] * self.n_heads + np.arange(self.n_heads)
        keys = (cells[..., None] * self.n_slots + slots[some]).ravel()
        self._parts.append(_summed(keys, np.ones(len(keys), np.int64), weights[some].ravel()))
        if len(self._parts) > 2 and sum(len(part[0]) for part in self._parts[1:]) > max(HELD, len(self._parts[0][0])):
            self._merge()

    def table(self) -> pd.DataFrame:
        """``label``, ``head``, ``slot``, ``count``, ``weight`` of all that was retrieved, in this order."""
        self._merge()
        keys, counts, weights = self._parts[0]
        label, rest = np.divmod(keys, self.n_heads * self.n_slots)
        head, slot = np.divmod(rest, self.n_slots)
        return pd.DataFrame({"label": label, "head": head, "slot": slot, "count": counts, "weight": weights})

    def _merge(self) -> None:
        empty = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        self._parts = [_summed(*(np.concatenate(each) for each in zip(empty, *self._parts, strict=True)))]


class SlotSums:
    """Of each head and slot of one layer: how often it is retrieved, and sums of weights, scores and their squares."""

    def __init__(self, n_heads: int, n_slots: int):
        self.shape = (n_heads, n_slots)
        self.sums = {
            name: np.zeros(self.shape) for name in ("count", "weight", "weight_squares", "score", "score_squares")
        }

    def add(self, scores: np.ndarray, weights: np.ndarray, slots: np.ndarray) -> None:
        """Count the retrievals of some places, each (n, n_heads, top_k)."""
        keys = (np.arange(self.shape[0])[:, None] * self.shape[1] + slots).ravel()
        w, s = (each.ravel().astype(np.float64) for each in (weights, scores))
        values = {"count": None, "weight": w, "weight_squares": w * w, "score": s, "score_squares": s * s}
        for name, each in values.items():
            self.sums[name] += np.bincount(keys, each, self.shape[0] * self.shape[1]).reshape(self.shape)

    def moments(self) -> Mapping[str, np.ndarray]:
        """``count``, ``weight`` (sum), ``weight_variance``, ``score_mean``, ``score_variance``: (n_heads, n_slots).

        Variances are of all retrievals, Σx²/n - (Σx/n)²; they and the mean are NaN where there is none.
        """
        of = self.sums
        count = np.where(of["count"] > 0, of["count"], np.nan)
        means = {name: of[name] / count for name in ("weight", "score")}
        variances = {name: np.maximum(of[f"{name}_squares"] / count - means[name] ** 2, 0) for name in means}
        return {
            "count": of["count"].astype(np.int64),
            "weight": of["weight"],
            "weight_variance": variances["weight"],
            "score_mean": means["score"],
            "score_variance": variances["score"],
        }


def _summed(keys: np.ndarray, counts: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each key once, ascending, with the sums of its counts and weights."""
    found, inverse = np.unique(keys, return_inverse=True)
    sums = (np.bincount(inverse, each, len(found)) for each in (counts, weights))
    counted, weighed = sums
    return found, counted.astype(np.int64), weighed
