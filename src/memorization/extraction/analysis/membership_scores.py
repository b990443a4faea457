"""Scores of membership that one window of one run cannot have: against other models, and against other texts."""

from collections.abc import Callable

import numpy as np
import pandas as pd

FOLDS = 5
FEWEST_SEEDS = 3
FLOOR = 1e-6  # nats, of the standard deviation


def lira(scores: pd.DataFrame) -> pd.Series:
    """Offline likelihood ratio attack: how much cheaper a window is for a model than for one that never saw it.

    (NLL_out - NLL) / σ, in standard deviations (Carlini et al. 2022, arXiv 2112.03570, with one out-model a window).
    The out-model is that of ``counterfactual``. From the NLL of each seed the mean of its controls is taken: seeds
    differ as a whole, and windows have different out-models. σ² is the variance of what is left over seeds, averaged
    over the controls of the condition: one for all windows, which scales the score and never changes a ranking.

    Parameters
    ----------
    scores : rows of ``scores`` of all seeds of one or several conditions

    Returns
    -------
    Series by row of ``scores``: NaN as in ``counterfactual``, and without controls.
    """
    return _by_condition(scores, _lira)


def counterfactual(scores: pd.DataFrame) -> pd.Series:
    """Counterfactual memorization: NLL_out - NLL of a window, in nats per token (Zhang et al. 2021, arXiv 2112.12938).

    NLL_out is that of a model of the same condition which never saw the window: of the next seed, in the circle of
    seeds, in which it has 0 copies. For a control this is the next seed, for a planted window of a three-seed design
    the only one.

    Parameters
    ----------
    scores : rows of ``scores`` of all seeds of one or several conditions

    Returns
    -------
    Series by row of ``scores``: NaN for texts, for planted windows of 0 copies, for windows that every other seed saw,
    and below three seeds.
    """
    return _by_condition(scores, lambda nll, unseen, control: _out(nll, unseen) - nll)


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


def _by_condition(scores: pd.DataFrame, score: Callable[..., np.ndarray]) -> pd.Series:
    """A score of the NLL of all seeds, by row of ``scores``.

    ``score`` takes (windows, seeds) of NLL and of whether the window is unseen, and (windows,) of whether it is a
    control; it gives (windows, seeds).
    """
    rows = scores.reset_index(drop=True)
    found = pd.Series(np.nan, rows.index)
    for _, runs in rows.groupby("condition"):
        if runs["seed"].nunique() < FEWEST_SEEDS:
            continue
        nll, copies, role = (
            runs.pivot(index="window", columns="seed", values=each) for each in ("nll", "copies", "role")
        )
        control, unseen = (role == "control").any(axis=1).to_numpy(), (copies == 0).to_numpy()
        values = score(nll.to_numpy(float), unseen, control)
        values = pd.DataFrame(values, nll.index, nll.columns).where(control[:, None] | ~unseen)
        place = pd.MultiIndex.from_frame(runs[["window", "seed"]])
        found[runs.index] = values.stack().reindex(place).to_numpy()
    return found.set_axis(scores.index)


def _lira(nll: np.ndarray, unseen: np.ndarray, control: np.ndarray) -> np.ndarray:
    if not control.any():
        return np.full(nll.shape, np.nan)
    centred = nll - nll[control].mean(axis=0)
    sigma = np.sqrt(centred[control].var(axis=1, ddof=1).mean())
    return (_out(centred, unseen) - centred) / max(sigma, FLOOR)


def _out(values: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Of each window and seed the value of the next seed that has not seen the window; NaN where there is none."""
    out = np.full(values.shape, np.nan)
    for turn in reversed(range(1, values.shape[1])):  # the nearest seed is written last
        out = np.where(np.roll(unseen, -turn, axis=1), np.roll(values, -turn, axis=1), out)
    return out
