"""How far apart clusters are."""

import numpy as np


def silhouette(distances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of each thing (b - a) / max(a, b), from -1 to 1, (n,); 0 of one alone in its cluster (Rousseeuw 1987).

    a is its mean distance from the others of its cluster, b the least mean distance from another cluster. The
    silhouette of a clustering is the mean.

    Parameters
    ----------
    distances : (n, n), symmetric, 0 on the diagonal
    labels : (n,); with one cluster alone all are 0
    """
    _, labels, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        return np.zeros(len(labels))
    sums = distances @ np.eye(len(sizes))[labels]  # (n, clusters)
    own = np.arange(len(labels)), labels
    a = sums[own] / np.maximum(sizes[labels] - 1, 1)
    means = sums / sizes
    means[own] = np.inf
    b = means.min(axis=1)
    most = np.maximum(a, b)
    apart = np.divide(b - a, most, out=np.zeros(len(labels)), where=most > 0)
    return np.where(sizes[labels] > 1, apart, 0.0)
