"""Tables of slot ablations: by answer, by slot, by position, and how many slots matter."""

import numpy as np
import pandas as pd

UNIT = ["half", "slot"]


def by_answer(impact: pd.DataFrame, base: pd.DataFrame) -> pd.DataFrame:
    """Of each pair of a slot and an answer that it may change: the impact on the answer as a whole.

    Parameters
    ----------
    impact, base : ``slots.slot_impact``'s

    Returns
    -------
    DataFrame: ``half``, ``slot``, ``row``, ``nll_change_bits``, ``exact_before``, ``exact_after``, ``changed`` (whether
    any token of the answer is another one), ordered by slot and row.
    """
    wrong = base.set_index("row")["wrong"]
    lost = impact["right_before"].astype(np.int64) - impact["right_after"].astype(np.int64)
    of = impact.assign(lost=lost).groupby([*UNIT, "row"], as_index=False)
    table = of.agg(nll_change_bits=("nll_change_bits", "sum"), lost=("lost", "sum"), changed=("changed", "any"))
    before = wrong.loc[table["row"]].to_numpy()
    table["exact_before"], table["exact_after"] = before == 0, before + table["lost"] == 0
    table["changed"] = table["changed"].astype(bool)
    return table[[*UNIT, "row", "nll_change_bits", "exact_before", "exact_after", "changed"]]


def by_slot(answers: pd.DataFrame) -> pd.DataFrame:
    """Of each slot that may change some answer, over those that it may change.

    Parameters
    ----------
    answers : ``by_answer``'s

    Returns
    -------
    DataFrame: ``half``, ``slot``, ``n`` answers, how many of them are ``lost`` (exact before, not after) and
    ``gained``, ``n_changed`` (some token is another one), ``nll_change_bits``, the mean, and ``most_bits``, the
    largest.
    """
    lost = answers["exact_before"] & ~answers["exact_after"]
    gained = ~answers["exact_before"] & answers["exact_after"]
    of = answers.assign(lost=lost, gained=gained).groupby(UNIT)
    sums = of[["lost", "gained", "changed"]].sum().astype(np.int64).rename(columns={"changed": "n_changed"})
    bits = of["nll_change_bits"].agg(nll_change_bits="mean", most_bits="max")
    return pd.concat([of.size().rename("n"), sums, bits], axis=1).reset_index()


def by_position(impact: pd.DataFrame) -> pd.DataFrame:
    """Of each slot and position in the answer, over the tokens that the slot may change.

    Parameters
    ----------
    impact : ``slots.slot_impact``'s

    Returns
    -------
    DataFrame: ``half``, ``slot``, ``position``, ``n`` tokens, how many are ``lost`` (right before, not after) and
    ``gained``, ``nll_change_bits``, the mean.
    """
    lost = impact["right_before"] & ~impact["right_after"]
    gained = ~impact["right_before"] & impact["right_after"]
    of = impact.assign(lost=lost, gained=gained).groupby([*UNIT, "position"])
    sums = of[["lost", "gained"]].sum().astype(np.int64)
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
    exact = int((base["wrong"] == 0).sum())
    lost = answers["exact_before"] & ~answers["exact_after"]
    return {
        "n_slots": n_units,
        "unused": 1 - len(slots) / n_units,
        "redundant": float((slots["n_changed"] == 0).sum()) / n_units,
        "deciding": float((slots["lost"] > 0).sum()) / n_units,
        "n_answers": len(base),
        "exact_share": exact / len(base) if len(base) else np.nan,
        "fragile": answers.loc[lost, "row"].nunique() / exact if exact else np.nan,
        "lost_share": float(lost.sum()) / (exact * n_units) if exact else np.nan,
        "most_bits": float(answers.groupby("row")["nll_change_bits"].max().mean()),
    }
