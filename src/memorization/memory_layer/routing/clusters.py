"""Clusters by k-means, and how well they are apart."""

import numpy as np

STEPS = 25  # of k-means, at most


def clustered(x: np.ndarray, n_clusters: int, rng: np.random.Generator) -> float:
    """The mean silhouette of vectors (n, width) in clusters of k-means."""
    return float(silhouettes(x, k_means(x, n_clusters, rng)).mean())


def k_means(x: np.ndarray, n_clusters: int, rng: np.random.Generator) -> np.ndarray:
    """Lloyd's algorithm from the seeds of k-means++ (Arthur and Vassilvitskii 2007).

    Parameters
    ----------
    x : (n, width), n at least ``n_clusters``

    Returns
    -------
    The cluster of each vector, (n,) from 0; one that has lost all its vectors keeps its centre, and stays empty.
    """
    centres = x[[rng.integers(len(x))]]
    while len(centres) < n_clusters:
        nearest = squares(x, centres).min(axis=1)
        share = nearest / nearest.sum() if nearest.any() else None
        centres = np.concatenate([centres, x[[rng.choice(len(x), p=share)]]])
    labels = squares(x, centres).argmin(axis=1)
    for _ in range(STEPS):
        for label in np.unique(labels):
            centres[label] = x[labels == label].mean(axis=0)
        before, labels = labels, squares(x, centres).argmin(axis=1)
        if (labels == before).all():
            break
    return labels


def silhouettes(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(b - a) / max(a, b) of each vector (Rousseeuw 1987), (n,) in [-1, 1]; 0 of one alone in its cluster.

    a is its mean distance from the others of its cluster, b the least mean distance from another cluster. With one
    cluster all are 0.
    """
    _, labels, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        return np.zeros(len(x))
    sums = np.sqrt(squares(x, x)) @ np.eye(len(sizes))[labels]  # (n, clusters)
    own = np.arange(len(x)), labels
    a = sums[own] / np.maximum(sizes[labels] - 1, 1)
    means = sums / sizes
    means[own] = np.inf
    b = means.min(axis=1)
    most = np.maximum(a, b)
    apart = np.divide(b - a, most, out=np.zeros(len(x)), where=most > 0)
    return np.where(sizes[labels] > 1, apart, 0.0)


def squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances of vectors (n, width) from others (m, width): (n, m), 0 of a vector from itself."""
    found = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * x @ y.T
    found = np.maximum(found, 0)
    if x is y:
        np.fill_diagonal(found, 0.0)
    return found
