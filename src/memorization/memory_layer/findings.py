"""What the family found, in numbers."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from memorization.findings import Findings
from memorization.memory_layer.slot_findings import TRAINED, add_means, slot_findings
from memorization.statistics import spearman

EXACT = "exact match at the end"
SHARE = "share of items"


def findings_table(
    recall: pd.DataFrame,
    parameters: pd.DataFrame,
    comparisons: Sequence[Mapping],
    frequency: Sequence[str],
    retention: Sequence[str],
    **others: pd.DataFrame,
) -> pd.DataFrame:
    """All findings of the family.

    Parameters
    ----------
    recall, parameters : rows of ``memory_layer_<table>``
    comparisons, frequency, retention : the configuration's
    others : of ``value_norms``, ``forgetting``, ``hops`` and the tables of ``slot_findings`` those that there are
    """
    findings = Findings()
    levels(findings, recall, frequency)
    above_chance(findings, recall)
    compared(findings, recall, comparisons)
    if retention:
        kept(findings, recall, others["forgetting"], retention)
    norms = others.get("value_norms", pd.DataFrame(columns=["condition", "layer"]))
    for (name, layer), part in of_each(norms, "condition", "layer"):
        used = (part["count"] > 0).groupby(part["seed"]).mean()
        findings.add(f"slots that trained facts retrieve, layer {layer}", name, used, "share of slots")
    for (name,), part in of_each(parameters, "condition"):
        for kind in ("total", "active"):
            findings.add(f"parameters, {kind}", name, part.set_index("seed")[kind], "parameters")
    if len(others.get("hops", ())):
        chains(findings, others["hops"])
    slot_findings(findings, others)
    return findings.table()


def pooled(table: pd.DataFrame, by: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """Means of rows that are means of ``n`` items themselves: a row for each of ``by``, in the order of the table.

    Returns
    -------
    DataFrame of ``by``, ``values`` and ``n``, the items of all rows of the group; groups without items are left out.
    """
    some = table[table["n"] > 0]
    sums = some[list(values)].mul(some["n"], axis=0).assign(n=some["n"])
    sums = sums.groupby([some[key] for key in by], sort=False).sum()
    return sums.assign(**{value: sums[value] / sums["n"] for value in values}).reset_index()


def levels(findings: Findings, recall: pd.DataFrame, frequency: Sequence[str]) -> None:
    """Exact match of each split, and of each of its groups where it has several."""
    for (name, split), part in of_each(recall, "condition", "split"):
        findings.add(f"{EXACT}, {split}", name, by_seed(part, "exact"), SHARE)
        if part["group"].nunique() == 1:
            continue
        for group, rows in part.groupby("group"):
            which = f"{group} in a pass" if name in frequency else f"group {group}"
            findings.add(f"{EXACT}, {split}, {which}", name, by_seed(rows, "exact"), SHARE)


def above_chance(findings: Findings, recall: pd.DataFrame) -> None:
    """Exact match of what was never trained, less what guessing gives."""
    never = recall[~recall["split"].isin(TRAINED)]
    for (name, split), part in of_each(never, "condition", "split"):
        more = by_seed(part, "exact") - by_seed(part, "exact_chance")
        findings.add(f"{EXACT}, {split}, less chance", name, more, SHARE)


def chains(findings: Findings, table: pd.DataFrame) -> None:
    """Which share of unseen chains of hashes is answered, and how much more than by guessing."""
    by = ["difficulty", "hops", "asked"]
    named = table.assign(difficulty=np.where(table["difficulty"] == "none", "as trained", table["difficulty"]))
    named["more"] = named["accuracy"] - named["chance"]
    add_means(findings, named, by, "accuracy", "chains answered, {}, {} hops, {}", "share of chains")
    add_means(findings, named, by, "more", "chains answered, {}, {} hops, {}, less chance", "share of chains")


def compared(findings: Findings, recall: pd.DataFrame, comparisons: Sequence[Mapping]) -> None:
    """How much more of the trained facts a condition has than the first one of its comparison, each pair once."""
    train = recall[recall["split"] == "train"]
    of = {name: by_seed(part, "exact") for (name,), part in of_each(train, "condition")}
    pairs = [(other, each["conditions"][0]) for each in comparisons for other in each["conditions"][1:]]
    for name, first in dict.fromkeys(pairs):
        if name in of and first in of:
            findings.add_difference(f"{EXACT}, train", name, of[name], first, of[first], SHARE)


def kept(findings: Findings, recall: pd.DataFrame, forgetting: pd.DataFrame, retention: Sequence[str]) -> None:
    """What a second training leaves of the old facts, and whether their weight on the moved rows foretells it."""
    for name in retention:
        for split, which in (("train", "old"), ("new", "new")):
            part = recall[(recall["condition"] == name) & (recall["split"] == split)]
            findings.add(f"exact match after the second training, {which} facts", name, by_seed(part, "exact"), SHARE)
        of_name = forgetting[forgetting["condition"] == name]
        known = of_name[of_name["exact_before"].astype(bool)].groupby("seed")["exact_after"].mean()
        findings.add("old facts kept, of those known before", name, known, SHARE)
        findings.add("bits lost by an old fact", name, bits_lost(of_name), "bits")
        rho = overlap_correlations(of_name)
        findings.add("Spearman, overlap against bits lost", name, rho, "ρ")


def bits_lost(forgetting: pd.DataFrame) -> pd.Series:
    """By how many bits the old facts cost more than before, mean, by seed."""
    return (forgetting["nll_after_bits"] - forgetting["nll_before_bits"]).groupby(forgetting["seed"]).mean()


def overlap_correlations(forgetting: pd.DataFrame) -> dict[int, float]:
    """Spearman's correlation of overlap with bits lost, over the old facts of each seed; NaN where one is constant."""
    return {
        seed: spearman(part["overlap"], part["nll_after_bits"] - part["nll_before_bits"])[0]
        for seed, part in forgetting.groupby("seed")
    }


def by_seed(recall: pd.DataFrame, value: str) -> pd.Series:
    """A value of all items of these rows, by seed."""
    return pooled(recall, ["seed"], [value]).set_index("seed")[value]


def of_each(table: pd.DataFrame, *by: str) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """The rows of each, in the order in which they come."""
    yield from table.groupby(list(by), sort=False)
