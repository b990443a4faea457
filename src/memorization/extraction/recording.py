"""How windows are remembered while a model is trained: records, and what the run is.

An item is a window, an exposure one time that it stands in a training batch. Scored is the suffix behind the longest
prefix. Knows nothing of torch.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from memorization.records import records, runs

FAMILY = "extraction"


def exposures_at(
    packing: Mapping[str, np.ndarray], batch_size: int, step: int, n_windows: int
) -> tuple[np.ndarray, np.ndarray]:
    """How often each window was in the batches up to a step, and in which last (0: in none), (n_windows,) each."""
    seen_at = packing["row"] // batch_size + 1
    seen, last = seen_at <= step, np.zeros(n_windows, np.int64)
    np.maximum.at(last, packing["window"][seen], seen_at[seen])
    return np.bincount(packing["window"][seen], minlength=n_windows), last


def prior_bits(
    n_windows: int, twins: Sequence[tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]]
) -> np.ndarray:
    """What windows cost runs that have not seen them: (n_windows,) bits, NaN where there is no such run.

    Parameters
    ----------
    n_windows : of the data set
    twins : trajectory and packing of runs of the condition; of a window the first counts that never had it
    """
    bits = np.full(n_windows, np.nan)
    for trajectory, packing in reversed(twins):
        unseen = packing["copies"][trajectory["rows"]] == 0
        bits[trajectory["rows"][unseen]] = trajectory["nll"][-1, unseen].astype(np.float64) / np.log(2)
    return bits


def extraction_records(
    trajectory: Mapping[str, np.ndarray],
    packing: Mapping[str, np.ndarray],
    twins: Sequence[tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]],
    windows: pd.DataFrame,
    arm: str,
    condition: str,
    seed: int,
    batch_size: int,
) -> pd.DataFrame:
    """``records`` of a run.

    Parameters
    ----------
    trajectory : of ``training.train``, with the ``rows`` of the windows that are followed, and how many tokens are
        ``n_scored`` of how large a ``vocabulary``
    packing : of the seed
    twins : as in ``prior_bits``, other runs; without two of them, of three in all, no window has prior_bits
    windows : table of the data set
    arm : the architecture
    condition, seed : the run
    batch_size : rows of an optimizer step
    """
    rows, n_scored = trajectory["rows"], int(trajectory["n_scored"])
    prior = prior_bits(len(windows), twins if len(twins) > 1 else [])[rows]
    of = windows.iloc[rows]
    own = {"family": FAMILY, "arm": arm, "condition": condition, "seed": seed, "n_tokens": n_scored}
    parts = []
    for place, step in enumerate(trajectory["step"].tolist()):
        exposures, last = exposures_at(packing, batch_size, step, len(windows))
        right = trajectory["right"][place]
        part = records(
            **own,
            step=step,
            phase=np.where(packing["copies"][rows] > 0, "train", "held_out"),
            item=of["window"].to_numpy(),
            exposures=exposures[rows],
            last_exposure_step=last[rows],
            recall=right / n_scored,
            chance=1 / int(trajectory["vocabulary"]),
            exact=right == n_scored,
            nll_bits=trajectory["nll"][place].astype(np.float64) / np.log(2),
            prior_bits=prior,
        )
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def extraction_runs(trajectory: Mapping[str, np.ndarray], arm: str, condition: str, seed: int) -> pd.DataFrame:
    """``runs`` of one run: float32 parameters. Of the text around the windows there are no records."""
    about = {"family": FAMILY, "arm": arm, "condition": condition, "seed": seed, "all_recorded": False}
    sizes = {name: int(trajectory[name]) for name in ("parameters", "trainable")}
    return runs(**about, **sizes, steps=int(trajectory["step"].max()))
