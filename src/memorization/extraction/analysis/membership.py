"""Membership inference: which windows a model was trained on, told by each score alone."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from memorization.extraction.analysis.membership_scores import blind, lira
from memorization.extraction.analysis.rates import ALL
from memorization.provenance import generator

SIGNS = {
    "nll": -1,
    "zlib_ratio": -1,
    "lowercase_ratio": 1,
    "min_k": 1,
    "min_k_plus_plus": 1,
    "window_min_perplexity": -1,
    "small_large_ratio": 1,
    "lira": 1,
    "blind": 1,
}  # with which a larger value speaks for membership
NAMES = {"nll": "loss"}
FPR, ERRORS = 0.01, 100
COLUMNS = [
    *("condition", "seed", "score", "copies", "scheme", "n_members", "n_non_members"),
    *("auc", "tpr_at_1_fpr", "recall_at_100_errors"),
]


def auc(scores: np.ndarray, member: np.ndarray) -> float:
    """Probability that a member's score exceeds a non-member's, ties counted half: the area under the ROC curve.

    Parameters
    ----------
    scores : (n,), larger speaks for membership; NaN are left out
    member : (n,) bool

    Returns
    -------
    float, NaN without members or without non-members.
    """
    members, others = _two_kinds(scores, member)
    if not len(members) or not len(others):
        return np.nan
    below, not_above = (np.searchsorted(others, members, side).sum() for side in ("left", "right"))
    return (below + not_above) / (2 * len(members) * len(others))


def tpr_at_fpr(scores: np.ndarray, member: np.ndarray, fpr: float = FPR) -> float:
    """Largest share of members above a threshold that no more than a share ``fpr`` of non-members exceeds.

    Carlini et al. 2022 (arXiv 2112.03570). With fewer than 1 / ``fpr`` non-members no one of them may. A member that
    ties with the first non-member too many is not found.

    Returns
    -------
    float, NaN without members or without non-members.
    """
    members, others = _two_kinds(scores, member)
    if not len(members) or not len(others):
        return np.nan
    allowed = int(fpr * len(others) + 1e-9)
    return _share_above(members, others, allowed)


def recall_at_errors(scores: np.ndarray, right: np.ndarray, errors: int = ERRORS) -> float:
    """Share of all right guesses that a ranking has before its ``errors``-th wrong one; ties count against it.

    A guess is the greedy continuation of a window, ranked by a score of the window, as in the public benchmark of
    extraction (google-research/lm-extraction-benchmark).

    Parameters
    ----------
    scores : (n,), larger goes first; NaN are left out
    right : (n,) bool, whether the suffix is reproduced

    Returns
    -------
    float, NaN without right guesses; 1 with fewer wrong ones than ``errors``.
    """
    found, wrong = _two_kinds(scores, right)
    if not len(found):
        return np.nan
    return _share_above(found, wrong, errors - 1) if len(wrong) >= errors else 1.0


def membership(scores: pd.DataFrame) -> pd.Series:
    """Who is a member (1.0), who is none (0.0) and who is left out (NaN), by row of ``scores``.

    Members are planted windows with copies, the others controls; planted windows of 0 copies are left out. In a run
    without planted windows they are texts of known copies and texts known to have none.
    """
    planted = (scores["role"] == "planted").groupby([scores["condition"], scores["seed"]]).transform("any")
    judged = np.where(planted, scores["role"] != "text", scores["role"] == "text")
    none = (scores["copies"] == 0) & (scores["role"] != "planted")
    member = pd.Series(np.nan, scores.index)
    member[judged & (scores["copies"] > 0)] = 1.0
    member[judged & none] = 0.0
    return member


def membership_table(scores: pd.DataFrame, windows: Sequence[str], tokens: np.ndarray) -> pd.DataFrame:
    """How well each score tells members from non-members, a row for each run, score and number of copies.

    No score is chosen over another: each has its row, and so has the blind baseline, which knows the texts and no
    model. Where its AUC is far from 1/2 the two kinds of windows differ in more than training (Das et al. 2024,
    arXiv 2406.16201), and the other rows of the run say little.

    Parameters
    ----------
    scores : rows of ``scores`` of all runs on one data set
    windows : (n,), names of the data set's windows
    tokens : (n, length), their tokens

    Returns
    -------
    DataFrame: ``condition``, ``seed``; ``score``: ``loss``, ``zlib_ratio``, ``lowercase_ratio``, ``min_k``,
    ``min_k_plus_plus``, ``window_min_perplexity``, ``small_large_ratio``, ``lira``, ``blind``; ``copies`` of the
    members, -1 for all of them; ``scheme`` by which they were sampled; ``n_members``, ``n_non_members`` that have the
    score; ``auc``, ``tpr_at_1_fpr``; ``recall_at_100_errors``, of right guesses among these members and the
    non-members. A run without a score, such as LiRA below three seeds, has no row of it.
    """
    place, rows = {window: number for number, window in enumerate(windows)}, []
    scores = scores.assign(member=membership(scores), lira=lira(scores)).dropna(subset="member")
    for (condition, seed), run in scores.groupby(["condition", "seed"]):
        member = run["member"].to_numpy() == 1
        scheme = "planted" if (run["role"] == "planted").any() else "uniform"
        rng = generator("extraction", int(seed), "blind")
        run = run.assign(blind=blind(tokens[run["window"].map(place)], member, rng))
        for column, sign in SIGNS.items():
            for copies in (ALL, *sorted(set(run.loc[member, "copies"]))):
                chosen = run[column].notna() & (~member | (copies == ALL) | (run["copies"] == copies))
                of, values = member[chosen], sign * run.loc[chosen, column].to_numpy()
                right = run.loc[chosen, "exact"].to_numpy(bool)
                if of.all() or not of.any():
                    continue
                row = {"condition": condition, "seed": seed, "score": NAMES.get(column, column), "copies": copies}
                row["scheme"] = scheme
                row |= {"n_members": of.sum(), "n_non_members": (~of).sum(), "auc": auc(values, of)}
                row |= {"tpr_at_1_fpr": tpr_at_fpr(values, of), "recall_at_100_errors": recall_at_errors(values, right)}
                rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _two_kinds(scores: np.ndarray, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of members and of non-members that have one, each in rising order."""
    scores, member = np.asarray(scores, float), np.asarray(member, bool)
    known = ~np.isnan(scores)
    return np.sort(scores[known & member]), np.sort(scores[known & ~member])


def _share_above(members: np.ndarray, others: np.ndarray, errors: int) -> float:
    """Share of members above all but the ``errors`` largest of the others."""
    if errors >= len(others):
        return 1.0
    return float((members > others[-1 - errors]).mean())
