"""What is found, beside what shuffles give."""

import numpy as np

NULL_RANGE = (2.5, 97.5)  # percent, of what shuffles give
ROUNDING = 1e-12


def beside(found: float, null: np.ndarray) -> tuple[float, float, float, float, float]:
    """What shuffles give beside what is found.

    Parameters
    ----------
    null : (n_permutations,), of random shuffles; ``memorization.permutation`` has tests of runs and of signs

    Returns
    -------
    The mean of the shuffles; low and high, the range of 95% of them; p, the share of them, what is found among them,
    that are as large; and the smallest p that there can be.
    """
    low, high = np.percentile(null, NULL_RANGE)
    p = (1 + (null >= found - ROUNDING).sum()) / (1 + len(null))
    return float(null.mean()), float(low), float(high), float(p), 1 / (1 + len(null))
