"""Clusters by k-means, and how well they are apart."""

import numpy as np

from memorization.memory_layer.silhouettes import silhouette

STEPS = 25  # of k-means, at most


def clustered(x: np.ndarray, n_clusters: int, rng: np.random.Generator) -> float:
    """The mean silhouette of vectors (n, width) in clusters of k-means."""
    return float(silhouette(np.sqrt(squares(x, x)), k_means(x, n_clusters, rng)).mean())


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


def squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared distances of vectors (n, width) from others (m, width): (n, m), 0 of a vector from itself."""
    found = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1) - 2 * x @ y.T
    found = np.maximum(found, 0)
    if x is y:
        np.fill_diagonal(found, 0.0)
    return found
