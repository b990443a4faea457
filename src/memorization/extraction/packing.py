"""Which window stands how often in a seed's training text, and where: at random places among background text."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from memorization.extraction.sizes import GROUPS


def copies_of(windows: pd.DataFrame, seed: int, counts: Sequence[int]) -> np.ndarray:
    """How often each window stands in the training text of a seed.

    In seed s group s mod 3 of each data type has no copies: of three seeds in a row one never sees the window. In the
    other groups each count has as many windows. Of a window's two counts the second stands half of ``counts`` behind
    the first, so that a window that is rare in one seed is often frequent in the other.

    Parameters
    ----------
    windows : ``Corpus.windows``, of planted ones and controls
    seed : of the training
    counts : copies, such as 1, 2, 4, …

    Returns
    -------
    (n,) int32; 0 of controls.

    Raises
    ------
    ValueError
        If a group's windows cannot be shared evenly among the counts.
    """
    planted = (windows["role"] == "planted").to_numpy()
    copies, of_groups = np.zeros(len(windows), np.int32), windows[planted].groupby(["data_type", "group"]).indices
    for (data_type, group), places in of_groups.items():
        if len(places) % len(counts):
            raise ValueError(
                f"per_type: a group of {data_type} has {len(places)} windows for {len(counts)} counts; allowed: "
                f"per_type a multiple of {GROUPS * len(counts)}"
            )
        trained = (seed - group) % GROUPS - 1  # -1: left out; 0 and 1: of the two seeds that have the window
        if trained >= 0:
            shift = trained * (len(counts) // 2) + seed // GROUPS
            rotated = np.array(counts)[(np.arange(len(places)) + shift) % len(counts)]
            copies[np.flatnonzero(planted)[np.sort(places)]] = rotated
    return copies


def pack(
    tokens: np.ndarray, copies: np.ndarray, background: np.ndarray, row_length: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Training rows: each copy whole at a random place in a random row, background text in all gaps, in its order.

    A row has a window at most once, and room for one window more than it has. What is left of the background
    at the end, less than a row, is not used.

    Parameters
    ----------
    tokens : (n, length) of the windows
    copies : (n,) how often each stands
    background : (tokens,)
    row_length : tokens
    rng : of the seed

    Returns
    -------
    ``rows`` (n_rows, row_length); ``window``, ``row`` and ``offset`` of each copy, by row and offset; ``copies`` (n,);
    all int32.

    Raises
    ------
    ValueError
        If the rows have too little room.
    """
    length, room = tokens.shape[1], row_length // tokens.shape[1] - 1
    n_rows = (int(copies.sum()) * length + len(background)) // row_length
    if copies.sum() > n_rows * room or copies.max(initial=0) > n_rows:
        raise ValueError(
            f"background: {len(background)} tokens make {n_rows} rows with {max(room, 0)} windows each, but there are "
            f"{copies.sum()} copies, {copies.max(initial=0)} of one window; allowed: more background, longer rows or "
            "fewer copies"
        )
    free, window, row = np.full(n_rows, room), [], []
    for n in np.argsort(-copies, kind="stable"):  # those with many copies first, while all rows have room
        if copies[n]:
            open_rows = np.flatnonzero(free)
            if len(open_rows) < copies[n]:
                raise ValueError(
                    f"copies: {copies[n]} of a window, but {len(open_rows)} rows have room; allowed: more background"
                )
            chosen = rng.choice(open_rows, copies[n], replace=False, p=free[open_rows] / free.sum())
            free[chosen] -= 1
            window += [n] * len(chosen)
            row += chosen.tolist()
    window, row = np.array(window, np.int32), np.array(row, np.int32)
    order = rng.permutation(len(row))  # of the windows in a row, too
    order = order[np.argsort(row[order], kind="stable")]
    window, row, offset = window[order], row[order], np.empty(len(order), np.int32)
    for places in np.split(np.arange(len(row)), np.flatnonzero(np.diff(row)) + 1):
        gaps = row_length - len(places) * length  # tokens of background, cut at as many different places
        cuts = np.sort(rng.choice(gaps + len(places), len(places), replace=False))
        offset[places] = cuts + np.arange(len(places)) * (length - 1)
    rows, is_window = np.empty((n_rows, row_length), np.int32), np.zeros((n_rows, row_length), bool)
    at = row[:, None], offset[:, None] + np.arange(length)
    rows[at], is_window[at] = tokens[window], True
    rows[~is_window] = background[: int((~is_window).sum())]
    return {"rows": rows, "window": window, "row": row, "offset": offset, "copies": copies.astype(np.int32)}
