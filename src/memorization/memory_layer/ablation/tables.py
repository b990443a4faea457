"""Tables of ablations, their columns, and of the slots': by answer, by slot, by position, and how many slots matter.

Nothing here imports torch.
"""

import numpy as np
import pandas as pd

UNIT = ["half", "slot"]
OF_SLOTS = {"mode": str, "layer": int, "half": int, "slot": int}
IMPACT = OF_SLOTS | {
    "split": str, "item": str, "position": int, "nll_change_bits": np.float32, "right_before": bool,
    "right_after": bool, "changed": bool, "n_wrong": int,
}  # fmt: skip
ABLATION = OF_SLOTS | {
    "n": int, "n_lost": int, "n_gained": int, "n_changed": int, "nll_change_bits": float, "most_bits": float,
}  # fmt: skip
POSITIONS = OF_SLOTS | {"position": int, "n": int, "n_lost": int, "n_gained": int, "nll_change_bits": float}
SHARES = {
    "mode": str, "layer": int, "n_slots": int, "unused": float, "redundant": float, "deciding": float,
    "n_answers": int, "exact_share": float, "fragile": float, "lost_share": float, "most_bits": float,
}  # fmt: skip
CUTS = {"split": str, "item": str, "exposures": int, "cut": int, "flipped": bool, "margin": float}
OF_PARTS = {"part": str, "layer": int, "number": int, "split": str}
BITS = {"nll_before_bits": float, "nll_after_bits": float}
PART_ANSWERS = OF_PARTS | {"item": str, "exact_before": bool, "exact_after": bool} | BITS
PARTS = OF_PARTS | {"n": int, "exact_before": float, "exact_after": float, "lost_share": float} | BITS


def exposure_bins(exposures: pd.Series | np.ndarray) -> np.ndarray:
    """The bins in which (n,) exposures are, of a factor of two: the least number of each, 1, 2, 4, …; 0 is in 1's."""
    return 2 ** np.floor(np.log2(np.maximum(np.asarray(exposures, float), 1))).astype(np.int64)


def by_answer(impact: pd.DataFrame) -> pd.DataFrame:
    """Of each pair of a slot and an answer that it may change: the impact on the answer as a whole.

    Parameters
    ----------
    impact : ``slots.slot_impact``'s

    Returns
    -------
    DataFrame: ``half``, ``slot``, ``row``, ``nll_change_bits``, ``exact_before``, ``exact_after``, ``changed`` (whether
    any token of the answer is another one), ordered by slot and row.
    """
    lost = impact["right_before"].astype(np.int64) - impact["right_after"].astype(np.int64)
    of = impact.assign(lost=lost).groupby([*UNIT, "row"], as_index=False)
    sums = {name: (name, "sum") for name in ("nll_change_bits", "lost")}
    table = of.agg(**sums, changed=("changed", "any"), n_wrong=("n_wrong", "first"))
    table["exact_before"], table["exact_after"] = table["n_wrong"] == 0, table["n_wrong"] + table["lost"] == 0
    table["changed"] = table["changed"].astype(bool)
    return table[[*UNIT, "row", "nll_change_bits", "exact_before", "exact_after", "changed"]]


def by_slot(answers: pd.DataFrame) -> pd.DataFrame:
    """Of each slot that may change some answer, over those that it may change.

    Parameters
    ----------
    answers : ``by_answer``'s

    Returns
    -------
    DataFrame: ``half``, ``slot``, ``n`` answers, of them ``n_lost`` (exact before, not after), ``n_gained`` and
    ``n_changed`` (some token is another one), ``nll_change_bits``, the mean, and ``most_bits``, the largest.
    """
    lost = answers["exact_before"] & ~answers["exact_after"]
    gained = ~answers["exact_before"] & answers["exact_after"]
    of = answers.assign(n_lost=lost, n_gained=gained, n_changed=answers["changed"]).groupby(UNIT)
    sums = of[["n_lost", "n_gained", "n_changed"]].sum().astype(np.int64)
    bits = of["nll_change_bits"].agg(nll_change_bits="mean", most_bits="max")
    return pd.concat([of.size().rename("n"), sums, bits], axis=1).reset_index()


def by_position(impact: pd.DataFrame) -> pd.DataFrame:
    """Of each slot and position in the answer, over the tokens that the slot may change.

    Parameters
    ----------
    impact : ``slots.slot_impact``'s

    Returns
    -------
    DataFrame: ``half``, ``slot``, ``position``, ``n`` tokens, of them ``n_lost`` (right before, not after) and
    ``n_gained``, ``nll_change_bits``, the mean.
    """
    lost = impact["right_before"] & ~impact["right_after"]
    gained = ~impact["right_before"] & impact["right_after"]
    of = impact.assign(n_lost=lost, n_gained=gained).groupby([*UNIT, "position"])
    sums = of[["n_lost", "n_gained"]].sum().astype(np.int64)
    return pd.concat([of.size().rename("n"), sums, of["nll_change_bits"].mean()], axis=1).reset_index()


def shares(slots: pd.DataFrame, answers: pd.DataFrame, n_units: int, base: pd.DataFrame) -> dict[str, float]:
    """How many slots, and how many answers, a mode is of consequence for.

    Parameters
    ----------
    slots, answers, base : ``by_slot``'s, ``by_answer``'s, ``slot_impact``'s
    n_units : slots, or half-keys, that there are

    Returns
    -------
    ``n_slots``; the shares of slots that are ``unused`` (may change no answer: with slot_mask, never retrieved),
    ``redundant`` (may change some, but no prediction), ``deciding`` (at least one exact answer is lost); ``n_answers``,
    ``exact_share`` of them before; ``fragile``, the share of exact answers that is lost with at least one slot, and
    ``lost_share``, the mean share of them that is lost with a slot; ``most_bits``, the mean over answers of the largest
    change.
    """
    exact = int((base["n_wrong"] == 0).sum())
    lost = answers["exact_before"] & ~answers["exact_after"]
    return {
        "n_slots": n_units,
        "unused": 1 - len(slots) / n_units,
        "redundant": float((slots["n_changed"] == 0).sum()) / n_units,
        "deciding": float((slots["n_lost"] > 0).sum()) / n_units,
        "n_answers": len(base),
        "exact_share": exact / len(base) if len(base) else np.nan,
        "fragile": answers.loc[lost, "row"].nunique() / exact if exact else np.nan,
        "lost_share": float(lost.sum()) / (exact * n_units) if exact else np.nan,
        "most_bits": float(answers.groupby("row")["nll_change_bits"].max().mean()),
    }
