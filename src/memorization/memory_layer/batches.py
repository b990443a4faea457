"""In which order facts are seen: passes over a data set in which each stands as often as it has copies."""

import numpy as np

from memorization.provenance import generator


class Passes:
    """Batches of one pass after another, each pass in an order of its own; a batch may span two.

    Parameters
    ----------
    copies : (n,), how often each row stands in a pass; at least one row stands there
    batch_size : rows of a batch
    names : of the random stream
    """

    def __init__(self, copies: np.ndarray, batch_size: int, *names: str | int):
        self.copies, self.batch_size, self.names = copies, batch_size, names
        self.rows = np.repeat(np.arange(len(copies)), copies)
        if not len(self.rows):
            raise ValueError("batches: there is no row to train on")
        self._order = (-1, self.rows)

    def __len__(self) -> int:
        """Rows of a pass, copies counted."""
        return len(self.rows)

    def batch(self, n: int) -> np.ndarray:
        """Rows of batch n, counted from 1: (batch_size,)."""
        return self._between((n - 1) * self.batch_size, n * self.batch_size)

    def exposures(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """How often each row has been seen in batches 1 to n, and in which it was last (0: in none), (n_rows,) each."""
        seen, whole = n * self.batch_size, n * self.batch_size // len(self)
        counts = whole * self.copies + np.bincount(self._between(whole * len(self), seen), minlength=len(self.copies))
        last = np.zeros(len(self.copies), np.int64)
        start = max(0, whole - 1) * len(self)
        last[self._between(start, seen)] = np.arange(start, seen) // self.batch_size + 1
        return counts, last

    def _between(self, start: int, end: int) -> np.ndarray:
        """Rows at places of the endless list of passes, from ``start`` to before ``end``."""
        parts = [np.zeros(0, np.int64)]
        while start < end:
            number, first = divmod(start, len(self))
            part = self._pass(number)[first : first + end - start]
            parts.append(part)
            start += len(part)
        return np.concatenate(parts)

    def _pass(self, number: int) -> np.ndarray:
        if self._order[0] != number:
            self._order = (number, generator(*self.names, number).permutation(self.rows))
        return self._order[1]
