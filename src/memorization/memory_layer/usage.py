"""How evenly the slots of a memory are used."""

import numpy as np

TOPS = (0.5, 0.9, 0.99)
USAGE = ("used", "kl_counts", "kl_weights", "gini", "top_50", "top_90", "top_99")


def usage(counts: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Use of the slots of a memory over one pass.

    Parameters
    ----------
    counts, weights : (n_slots,), how often each slot was retrieved, and the sum of its weights

    Returns
    -------
    ``used``, the share of slots that were ever retrieved; ``kl_counts`` and ``kl_weights``, ln S + Σ p ln p of the
    shares p of S slots, in nats: 0 for uniform use, ln S for one slot alone (Lample et al. 2019); ``gini`` of the
    counts, 0 for uniform use; ``top_50``, ``top_90``, ``top_99``, the smallest share of slots that has so much of all
    weight. All but ``used`` are NaN where nothing was retrieved.
    """
    of_weights = shares(weights)
    below = np.cumsum(np.sort(of_weights)[::-1])
    tops = {f"top_{share * 100:.0f}": (np.searchsorted(below, share - 1e-12) + 1) / len(weights) for share in TOPS}
    empty = not counts.any()
    measures = {
        "kl_counts": divergence(shares(counts)),
        "kl_weights": divergence(of_weights),
        "gini": gini(counts),
        **tops,
    }
    return {"used": float((counts > 0).mean())} | {name: np.nan if empty else x for name, x in measures.items()}


def shares(values: np.ndarray) -> np.ndarray:
    total = values.sum()
    return values / total if total else np.full(len(values), np.nan)


def divergence(p: np.ndarray) -> float:
    """KL of shares (n,) from uniform ones, nats."""
    seen = p[p > 0]
    return float(np.log(len(p)) + (seen * np.log(seen)).sum())


def gini(values: np.ndarray) -> float:
    """Gini coefficient: half of the mean difference between two of (n,) values, relative to their mean."""
    ordered = np.sort(values)
    n = len(ordered)
    total = ordered.sum()
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * total)) if total else np.nan
