"""What was found of the slots: their ablation, their swaps, what they are retrieved for, and where attention looks."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from memorization.findings import Findings
from memorization.memory_layer.ablation.tables import exposure_bins
from memorization.memory_layer.intervention.shares import kind_shares, pooled_shares
from memorization.statistics import spearman

TRAINED = ("train", "new")  # splits that some training has; what is in any other one is never trained
HEADS = "share of heads"
SEED = ["condition", "seed"]


def slot_findings(findings: Findings, tables: Mapping[str, pd.DataFrame]) -> None:
    """Add a row for each condition that has it, of each table that is there.

    Parameters
    ----------
    tables : rows of ``memory_layer_<table>``, by name; each of ``FINDERS`` is looked for
    """
    for name, find in FINDERS.items():
        if name in tables and len(tables[name]):
            find(findings, tables[name])


def add_means(findings: Findings, table: pd.DataFrame, by: list[str], value: str, finding: str, unit: str) -> None:
    """A finding for each of ``by`` and each condition: the mean over all other rows of each seed.

    Parameters
    ----------
    finding : what it is called; ``{}`` stand for the values of ``by``
    """
    means = table.groupby([*by, *SEED], sort=False)[value].mean().reset_index()
    for keys, part in means.groupby([*by, "condition"], sort=False):
        *of, condition = keys
        findings.add(finding.format(*of), condition, part.set_index("seed")[value], unit)


def ablation_shares(findings: Findings, table: pd.DataFrame) -> None:
    """Of the table ``ablation_shares``: what is lost to a slot or a half-key."""
    for value, what, unit in (
        ("unused", "change nothing in any answer, {}, layer {}", "share of slots or half-keys"),
        ("redundant", "change no prediction, {}, layer {}", "share of slots or half-keys"),
        ("deciding", "lose an exact answer, {}, layer {}", "share of slots or half-keys"),
        ("fragile", "answers lost to some slot, {}, layer {}", "share of exact answers"),
        ("most_bits", "largest loss to a slot, {}, layer {}", "bits"),
    ):
        add_means(findings, table, ["mode", "layer"], value, what, unit)


def ablation_parts(findings: Findings, table: pd.DataFrame) -> None:
    """Of the table ``ablation_parts``: what is answered without a part of the model."""
    table = table[table["split"].isin(TRAINED)]
    slots = table[table["part"].isin(["own_slots", "random_slots"])]
    heads, whole = table[table["part"] == "head"], table[~table.index.isin(slots.index) & (table["part"] != "head")]
    add_means(findings, whole, ["part", "layer"], "exact_after", "exact without {}, layer {}", "share of items")
    add_means(
        findings, slots, ["number", "part", "layer"], "exact_after", "exact without {} {}, layer {}", "share of items"
    )
    add_means(
        findings, heads, ["layer", "number"], "exact_after", "exact without attention head {}.{}", "share of items"
    )


def cuts(findings: Findings, table: pd.DataFrame) -> None:
    """An answer that not even the most slots flip counts with these, so that means are at least so large."""
    left = table.assign(left=(~table["flipped"].astype(bool)).astype(float))
    add_means(findings, left, [], "left", "answers that no allowed cut flips", "share of answers")
    add_means(findings, table, [], "cut", "slots whose removal flips an answer", "slots")
    several = table.groupby("condition")["exposures"].transform(lambda each: each.max() > 2 * each.min())
    if several.any():
        binned = table.assign(exposures=exposure_bins(table["exposures"]))[several]
        add_means(findings, binned, ["exposures"], "cut", "slots whose removal flips an answer, {} exposures", "slots")
        for condition, part in table[several].groupby("condition", sort=False):
            seeds = dict(list(part.groupby("seed")))
            rho = {seed: spearman(rows["exposures"], rows["cut"])[0] for seed, rows in seeds.items()}
            findings.add("Spearman, exposures against the slots of a cut", condition, rho, "ρ")
            rho = {seed: partial(rows["exposures"], rows["cut"], rows["margin"]) for seed, rows in seeds.items()}
            findings.add("Spearman, exposures against the slots of a cut, at equal margin", condition, rho, "ρ")


def partial(x: pd.Series, y: pd.Series, given: pd.Series) -> float:
    """Spearman's partial correlation of x and y, each (n,), with what both have of a third one taken out."""
    xy, xz, yz = (spearman(one, other)[0] for one, other in ((x, y), (x, given), (y, given)))
    return (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))


def swap(findings: Findings, table: pd.DataFrame) -> None:
    """Of the table ``swap``: whose answer comes, less chance."""
    shares = pooled_shares(table, [*SEED, "kind"])
    shares["elsewhere_excess"] = shares["elsewhere_share"] - shares["elsewhere_chance"]
    for value, what in (
        ("kept_share", "own answer kept when {} are swapped"),
        ("excess", "partner's answer when {} are swapped, less chance"),
        ("elsewhere_excess", "partner's answer of other positions when {} are swapped, less chance"),
    ):
        add_means(findings, shares, ["kind"], value, what, "share of examples")


def predictions(findings: Findings, table: pd.DataFrame) -> None:
    """Of the table ``predictions``: what is answered under each intervention."""
    shares = kind_shares(table, [*SEED, "intervention"])
    shares["more"] = shares["partner_share"] - shares["chance"]
    for value, what in (("own_share", "own answer after {}"), ("more", "partner's answer after {}, less chance")):
        add_means(findings, shares, ["intervention"], value, what, "share of examples")


def control(findings: Findings, table: pd.DataFrame) -> None:
    """The same for every condition of a data set: told once."""
    once = table[table["condition"] == table["condition"].iloc[0]].assign(condition="made by hand")
    add_means(
        findings,
        once,
        ["intervention", "keys"],
        "partner_share",
        "partner's answer after {}, {} keys",
        "share of examples",
    )


def swap_correlation(findings: Findings, table: pd.DataFrame) -> None:
    """Of the table ``swap_correlation``: whether slots that cost more ablated cost more swapped."""
    what = "Spearman, {} against the swap of {}, {}"
    add_means(findings, table.dropna(subset="rho"), ["ablation", "kind", "measure"], "rho", what, "ρ")


def routing_information(findings: Findings, table: pd.DataFrame) -> None:
    """Of the table ``routing_information``: what tells the slot, less what shuffled places tell."""
    more = table.assign(more=table["bits"] - table["null_bits"])
    add_means(
        findings, more, ["label"], "more", "information of the {} on the slot, less that of shuffled ones", "bits"
    )


def consistency(findings: Findings, table: pd.DataFrame) -> None:
    """Of the table ``consistency``: how alike the slots of like places are."""
    of_all = table[table["token_type"] == "all"]
    more = of_all.assign(more=of_all["jaccard"] - of_all["null_jaccard"])
    add_means(
        findings, more, ["likeness"], "more", "Jaccard of slots of places alike in {}, less shuffled ones", "Jaccard"
    )


def clusters(findings: Findings, table: pd.DataFrame) -> None:
    """Of the table ``clusters``: how clustered keys and values are, less shuffled ones."""
    more = table.assign(more=table["silhouette"] - table["null_silhouette"]).dropna(subset="more")
    add_means(findings, more, ["of"], "more", "silhouette of {}, less that of shuffled ones", "silhouette")


def repeating_digits(findings: Findings, table: pd.DataFrame) -> None:
    """Of the table ``repeating_digits``: whether numbers with repeated digits differ."""
    table = table[(table["split"] == "train") & table["rho"].notna()]
    what = "Spearman, {2} of the {0}, {1}"
    add_means(findings, table, ["entity", "against", "measure"], "rho", what, "ρ")


def attention(findings: Findings, table: pd.DataFrame) -> None:
    """Of the table ``attention``: the classes of the heads."""
    for kind in dict.fromkeys(table["class"]):
        shares = table.assign(share=(table["class"] == kind).astype(float))
        add_means(findings, shares, [], "share", f"attention heads, {kind}", HEADS)


FINDERS = {
    find.__name__: find
    for find in (
        ablation_shares,
        ablation_parts,
        cuts,
        swap,
        predictions,
        control,
        swap_correlation,
        routing_information,
        consistency,
        clusters,
        repeating_digits,
        attention,
    )
}
