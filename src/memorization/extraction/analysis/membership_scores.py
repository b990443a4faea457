"""Scores of membership that one window of one run cannot have: against other models, and against other texts."""

import numpy as np
import pandas as pd

FOLDS = 5
FEWEST_SEEDS = 3
FLOOR = 1e-6  # nats, of the standard deviation


def lira(scores: pd.DataFrame) -> pd.Series:
    """Offline likelihood ratio attack: how much cheaper a window is for a model than for one that never saw it.

    (NLL_out - NLL_target) / σ, in standard deviations (Carlini et al. 2022, arXiv 2112.03570, with one out-model a
    window). The out-model is of the same condition and of the next seed, in the circle of its seeds, in which the
    window has 0 copies: for a control the next seed, for a planted window of a three-seed design the only one. σ² is
    the variance of the NLL over seeds of one window that none of them saw, averaged over the controls of the
    condition: one variance for all, which scales the score and never changes a ranking. Without controls it is unknown.

    Parameters
    ----------
    scores : rows of ``scores`` of all seeds of one or several conditions

    Returns
    -------
    Series by row of ``scores``: NaN for texts, for planted windows of 0 copies, for windows that every other seed saw,
    without controls, and below three seeds.
    """
    rows = scores.reset_index(drop=True)
    found = pd.Series(np.nan, rows.index)
    for _, runs in rows.groupby("condition"):
        if runs["seed"].nunique() >= FEWEST_SEEDS:
            found[runs.index] = _lira(runs)
    return found.set_axis(scores.index)


def blind(tokens: np.ndarray, member: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the tokens alone say of membership: log-odds of naive Bayes, each window judged by the other folds.

    A multinomial model of token counts with one count added (Das et al. 2024, arXiv 2406.16201, judge texts without a
    model likewise), in 5 folds that each hold a fifth of the members and of the others. Log-odds leave out the prior:
    it differs between folds by which windows are left out, and so would tell.

    Parameters
    ----------
    tokens : (n, length), ids ≥ 0
    member : (n,) bool

    Returns
    -------
    (n,) log-odds in nats; NaN where a kind has fewer than two windows.
    """
    odds = np.full(len(tokens), np.nan)
    if min(member.sum(), (~member).sum()) < 2:
        return odds
    fold, ids = np.empty(len(tokens), int), tokens.max() + 1
    for kind in (member, ~member):
        fold[rng.permutation(np.flatnonzero(kind))] = np.arange(kind.sum()) % FOLDS
    for number in range(FOLDS):
        counts = [np.bincount(tokens[kind & (fold != number)].ravel(), minlength=ids) + 1 for kind in (member, ~member)]
        token_odds = np.subtract(*(np.log(count / count.sum()) for count in counts))
        odds[fold == number] = token_odds[tokens[fold == number]].sum(axis=1)
    return odds


def _lira(runs: pd.DataFrame) -> pd.Series:
    """``lira`` of one condition, by row."""
    nll, copies, role = (runs.pivot(index="window", columns="seed", values=each) for each in ("nll", "copies", "role"))
    control = (role == "control").any(axis=1).to_numpy()
    values, unseen = nll.to_numpy(float), (copies == 0).to_numpy()
    out = np.full(values.shape, np.nan)
    for turn in reversed(range(1, values.shape[1])):  # the nearest seed is written last
        out = np.where(np.roll(unseen, -turn, axis=1), np.roll(values, -turn, axis=1), out)
    sigma = np.sqrt(values[control].var(axis=1, ddof=1).mean()) if control.any() else np.nan
    score = pd.DataFrame((out - values) / np.maximum(sigma, FLOOR), nll.index, nll.columns).where(
        control[:, None] | ~unseen
    )
    place = pd.MultiIndex.from_frame(runs[["window", "seed"]])
    return pd.Series(score.stack().reindex(place).to_numpy(), runs.index)
