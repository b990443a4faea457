"""Whose answer comes after an intervention: shares of examples, and those that chance would give."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

NONE = -1  # a slot without an example
KINDS = ("partner", "own", "neither")  # whose answer it is
ABLATIONS = ("value_zero", "slot_mask")  # that swaps are compared with
ABLATED = {"layer": int, "slot": int, "ablation": str, "kept_share": float, "nll_change_bits": float}
SWAP = {
    "kind": str, "layer": int, "slot": int, "partner_slot": int, "position": int,
    "n_examples": int, "kept_share": float, "nll_change_bits": float,
    "n": int, "partner_share": float, "own_share": float, "neither_share": float, "chance": float, "excess": float,
    "n_elsewhere": int, "elsewhere_share": float, "elsewhere_chance": float,
}  # fmt: skip
PAIR = ["slot", "partner_slot", "position"]


def contents_of(slot: np.ndarray, position: np.ndarray, target: np.ndarray, n_slots: int, n_positions: int):
    """What each slot stands for: the token that its examples have most often at a position of the answer.

    Parameters
    ----------
    slot, position, target : (n,) int of the examples, right ones alone; slots and positions from 0

    Returns
    -------
    here, elsewhere : (n_slots, n_positions), the token that comes most often at this position, and at all others
    together; ties go to the smallest; ``NONE`` without an example. ``elsewhere`` is ``NONE`` where it is ``here``'s.
    """
    counts = np.zeros((n_slots, n_positions, int(target.max(initial=0)) + 1), np.int64)
    np.add.at(counts, (slot, position, target), 1)
    here, elsewhere = _most_often(counts), _most_often(counts.sum(axis=1, keepdims=True) - counts)
    return here, np.where(elsewhere == here, NONE, elsewhere)


def pair_shares(outcomes: pd.DataFrame, here: np.ndarray, elsewhere: np.ndarray) -> pd.DataFrame:
    """Of each ordered pair (slot, partner_slot) and position the shares of the slot's examples by what is answered.

    An example counts among the ``n`` of the three shares if the partner stands for a token at this position, and for
    another one than the example's own answer. The chance level is that of a permutation of partners, in closed form:
    the share that answers what a random other slot stands for, neither of the pair, where that is not its own answer.

    Parameters
    ----------
    outcomes : of each example and partner ``slot`` and ``partner_slot`` (from 0), ``position``, ``own`` (the answer
        before), ``after``; ``change``, by how many bits the right answer costs more than before
    here, elsewhere : ``contents_of``'s

    Returns
    -------
    DataFrame: ``slot``, ``partner_slot``, ``position``; ``n_examples``, ``kept_share`` (of them, those that give their
    own answer), ``nll_change_bits`` (their mean); ``n``, ``partner_share``, ``own_share``, ``neither_share`` (sum 1),
    ``chance`` (of the partner's share), ``excess`` (over it); ``n_elsewhere``, ``elsewhere_share``,
    ``elsewhere_chance``: as ``n``, ``partner_share`` and ``chance`` for what the partner stands for at the other
    positions. Shares of nothing are NaN.
    """
    is_own = (outcomes["after"] == outcomes["own"]).to_numpy()
    counted = _counted(outcomes, here)
    away = _counted(outcomes, elsewhere)
    keys = [outcomes[name] for name in PAIR]
    columns = {"n_examples": 1, "kept": is_own, "own_share": is_own & counted["comparable"], **counted}
    columns |= {f"{name}_elsewhere": values for name, values in away.items()}
    columns = pd.DataFrame(columns, index=outcomes.index).astype(np.int64).assign(change=outcomes["change"])
    sums = columns.groupby(keys).sum().reset_index()
    n, n_elsewhere = sums["comparable"], sums["comparable_elsewhere"]
    shares = pd.DataFrame(
        {
            **sums[[*PAIR, "n_examples"]],
            "kept_share": sums["kept"] / sums["n_examples"],
            "nll_change_bits": sums["change"] / sums["n_examples"],
            "n": n,
            "partner_share": sums["hit"] / n,
            "own_share": sums["own_share"] / n,
            "neither_share": (n - sums["hit"] - sums["own_share"]) / n,
            "chance": sums["other_hits"] / sums["others"],
            "n_elsewhere": n_elsewhere,
            "elsewhere_share": sums["hit_elsewhere"] / n_elsewhere,
            "elsewhere_chance": sums["other_hits_elsewhere"] / sums["others_elsewhere"],
        }
    )
    shares.insert(shares.columns.get_loc("chance") + 1, "excess", shares["partner_share"] - shares["chance"])
    return shares


def pooled_shares(swap: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Shares of all examples of several rows of the table ``swap`` together, a row for each of ``by``.

    Returns
    -------
    DataFrame of ``by``, ``n_examples``, ``kept_share``, ``nll_change_bits``, ``n``, the three shares, ``chance`` and
    ``excess``, ``n_elsewhere``, ``elsewhere_share``, ``elsewhere_chance``
    """
    by, means = list(by), {}
    for weight, names in (
        ("n_examples", ["kept_share", "nll_change_bits"]),
        ("n", ["partner_share", "own_share", "neither_share", "chance"]),
        ("n_elsewhere", ["elsewhere_share", "elsewhere_chance"]),
    ):
        for name in names:
            weights = swap[weight].where(swap[name].notna(), 0)
            sums = pd.DataFrame({"sum": (swap[name] * weights).fillna(0), "n": weights})
            sums = sums.groupby([swap[key] for key in by], sort=False).sum()
            means[name] = sums["sum"] / sums["n"].where(sums["n"] > 0)
    of = swap.groupby(by, sort=False)[["n_examples", "n", "n_elsewhere"]].sum()
    found = of.assign(**means)
    return found.assign(excess=found["partner_share"] - found["chance"]).reset_index()


def kind_shares(predictions: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """By some columns of ``predictions``: ``partner_share``, ``own_share``, ``neither_share``, ``chance``, ``n``."""
    shares = {f"{kind}_share": predictions["kind"] == kind for kind in KINDS}
    of = predictions.assign(**shares).groupby(list(by), sort=False)
    return of[[*shares, "chance"]].mean().assign(n=of.size()).reset_index()


def _counted(outcomes: pd.DataFrame, contents: np.ndarray) -> dict[str, np.ndarray]:
    """Of each example whether its partner's content can be told apart, whether it is answered, and of other slots how
    many contents can and how many are answered; (n,) each.
    """
    slot, partner, position, own, after = (outcomes[name].to_numpy() for name in (*PAIR, "own", "after"))
    n_tokens = 1 + max(int(contents.max(initial=0)), int(own.max(initial=0)), int(after.max(initial=0)))
    of_slots = np.zeros((contents.shape[1], n_tokens), np.int64)  # how many slots stand for a token at a position
    known, at = np.nonzero(contents != NONE)
    np.add.at(of_slots, (at, contents[known, at]), 1)
    pair = contents[slot, position], contents[partner, position]
    comparable = (pair[1] != NONE) & (pair[1] != own)
    others = of_slots.sum(axis=1)[position] - of_slots[position, own]
    others -= sum(((one != NONE) & (one != own)).astype(np.int64) for one in pair)
    other_hits = of_slots[position, after] - sum((one == after).astype(np.int64) for one in pair)
    return {
        "comparable": comparable,
        "hit": comparable & (after == pair[1]),
        "others": others * comparable,
        "other_hits": other_hits * (comparable & (after != own)),
    }


def _most_often(counts: np.ndarray) -> np.ndarray:
    """(…, tokens) -> (…): the token that is counted most often, ``NONE`` if none is."""
    return np.where(counts.any(axis=-1), counts.argmax(axis=-1), NONE)
