"""What the family found, in numbers."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from memorization.extraction.analysis.fits import size_table
from memorization.extraction.analysis.membership_scores import counterfactual
from memorization.extraction.analysis.rates import ALL
from memorization.findings import Findings

SHARE = "share of windows"


def findings_table(tables: Mapping[str, pd.DataFrame], pairs: Sequence[Mapping], sizes: Sequence[Sequence[str]]):
    """All findings of the family.

    Parameters
    ----------
    tables : the pooled tables by name, those that there are
    pairs : ``{name, conditions}``, two models that are compared
    sizes : the smaller and the larger model of an architecture
    """
    findings = Findings()
    rates = tables["rates"]
    longest = rates.groupby("model")["prefix_length"].transform("max")
    at_longest = rates[(rates["prefix_length"] == longest) & (rates["protocol"] == "fixed_start")]
    for name in dict.fromkeys(rates["model"]):
        levels(findings, name, at_longest[at_longest["model"] == name])
        prefixes(findings, name, rates[rates["model"] == name])
    growth(findings, at_longest, sizes)
    fits(findings, tables["fits"])
    if "difference" in tables:
        differences(findings, tables["difference"], pairs)
    if "membership" in tables:
        membership(findings, tables["membership"])
    remembered(findings, tables["scores"])
    if "forecast" in tables:
        forecast(findings, tables["forecast"])
    if "interference" in tables:
        interference(findings, tables["interference"])
    if "near_verbatim" in tables:
        near_verbatim(findings, tables["near_verbatim"])
    return findings.table()


def of_cell(rows: pd.DataFrame, value: str = "exact", **cell) -> pd.Series:
    """A column by seed, of the rows of one cell."""
    for name, wanted in cell.items():
        rows = rows[rows[name] == wanted]
    return rows.set_index("seed")[value]


def levels(findings: Findings, name: str, rows: pd.DataFrame) -> None:
    """What is reproduced exactly behind the longest prefix: by copies, by scheme, by data type."""
    of_all = rows[rows["data_type"] == "all"]
    for role in ("planted", "text"):
        for copies in sorted(set(of_all.loc[(of_all["role"] == role) & (of_all["copies"] >= 0), "copies"])):
            findings.add(f"exact, {copies} copies", name, of_cell(of_all, role=role, copies=copies), SHARE)
    if (of_all["role"] == "control").any():
        findings.add("exact, controls", name, of_cell(of_all, role="control"), SHARE)
        tokens = of_cell(of_all, "matched_run", role="control")
        findings.add("tokens right in a row, controls", name, tokens, "tokens")
    for scheme in ("uniform", "by_copies"):
        for kind in dict.fromkeys(rows["data_type"]):
            cell = of_cell(rows, scheme=scheme, copies=ALL, data_type=kind)
            if len(cell):
                findings.add(f"exact, {scheme.replace('_', ' ')}, {kind}", name, cell, SHARE)
    flipped = of_cell(of_all, "flipped", scheme="uniform", copies=ALL)
    if flipped.notna().any():
        findings.add("exact, decided otherwise in float32", name, flipped, "share of decisions")
    for n in (10, 1000):
        cell = of_cell(of_all, f"extractable_{n}", scheme="uniform", copies=ALL)
        findings.add(f"drawn at least once in {n} draws with probability 1/2", name, cell, SHARE)


def prefixes(findings: Findings, name: str, rows: pd.DataFrame) -> None:
    """What is reproduced exactly by length of the prefix, of windows that were trained on."""
    cell = rows[(rows["data_type"] == "all") & (rows["scheme"] == "uniform") & (rows["copies"] == ALL)]
    for (protocol, prefix, suffix), part in cell.groupby(["protocol", "prefix_length", "suffix_length"]):
        found = f"exact, {protocol.replace('_', ' ')}, prefix of {prefix}, suffix of {suffix}"
        findings.add(found, name, part.set_index("seed")["exact"], SHARE)


def growth(findings: Findings, rates: pd.DataFrame, sizes: Sequence[Sequence[str]]) -> None:
    """How much more a larger model reproduces; with three sizes of an architecture, per factor of ten."""
    uniform = rates[(rates["data_type"] == "all") & (rates["scheme"] == "uniform") & (rates["copies"] == ALL)]
    for small, large in sizes:
        pair = (of_cell(uniform, model=name) for name in (large, small))
        findings.add_difference("exact, uniform, all", large, next(pair), small, next(pair), SHARE)
    slopes = size_table(rates[rates["data_type"] == "all"])
    for architecture, part in slopes.groupby("architecture", sort=False):
        findings.add("exact per tenfold parameters", architecture, part.set_index("seed")["slope"], SHARE)


def fits(findings: Findings, table: pd.DataFrame) -> None:
    """How the rate grows with copies and with the prefix."""
    at_start = table[(table["protocol"] == "fixed_start") & table["spearman"].notna()]
    for (name, suffix), rows in at_start.groupby(["model", "suffix_length"], sort=False):
        rows, of = rows.set_index("seed"), f"suffix of {suffix}"
        findings.add(f"Spearman's correlation of copies and exact, {of}", name, rows["spearman"], "correlation")
        findings.add(f"copies for a rate of 1/2, {of}", name, rows["copies_for_half"], "copies")
        findings.add(f"log-odds of exact for a doubling of copies, {of}", name, rows["slope_copies"], "log-odds")
        findings.add(f"log-odds of exact for 16 tokens of prefix more, {of}", name, rows["slope_prefix"], "log-odds")


def differences(findings: Findings, table: pd.DataFrame, pairs: Sequence[Mapping]) -> None:
    """What one model of a pair reproduces more than the other, on the same windows."""
    longest = table.groupby("comparison")["prefix_length"].transform("max")
    rows = table[(table["prefix_length"] == longest) & (table["protocol"] == "fixed_start")]
    rows = rows[rows["role"] != "control"]
    for pair in pairs:
        condition = " - ".join(pair["conditions"])
        of_pair = rows[rows["comparison"] == pair["name"]]
        for copies in sorted(set(of_pair["copies"])):
            of_all = "all trained on" if (of_pair["copies"] > 0).any() else "all"
            what = of_all if copies == ALL else f"{copies} copies"
            cell = of_pair[of_pair["copies"] == copies].set_index("seed")
            findings.add(f"exact, {what}, difference", condition, cell["exact"], SHARE)
            if copies == ALL:
                findings.add("tokens right in a row, difference", condition, cell["matched_run"], "tokens")


def membership(findings: Findings, table: pd.DataFrame) -> None:
    """How well each score tells who was trained on: members of all copies, and those of the fewest."""
    fewest = table.loc[table["copies"] > 0, "copies"].min()
    for copies, of in ((ALL, ""), (fewest, f", {fewest} copies")):
        rows = table[table["copies"] == copies]
        for (condition, score), part in rows.groupby(["condition", "score"], sort=False):
            part = part.set_index("seed")
            findings.add(f"AUC of {score}{of}", condition, part["auc"], "AUC")
            found = f"members found at 1% false positives by {score}{of}"
            findings.add(found, condition, part["tpr_at_1_fpr"], "share of members")


def remembered(findings: Findings, scores: pd.DataFrame) -> None:
    """Counterfactual memorization by copies: of controls it is what seeds differ by."""
    rows = scores.assign(gain=counterfactual(scores)).dropna(subset="gain")
    for (condition, role, copies), part in rows.groupby(["condition", "role", "copies"]):
        what = "controls" if role == "control" else f"{copies} copies"
        gain = part.groupby("seed")["gain"].mean()
        findings.add(f"counterfactual memorization, {what}", condition, gain, "nats per token")


def forecast(findings: Findings, table: pd.DataFrame) -> None:
    """What the smaller model, and the same one at about half of its training, says of the end."""
    for condition, rows in table.groupby("condition", sort=False):
        earlier = rows[(rows["predictor"] == condition) & (rows["share_of_training"] < 1)]
        nearest = (earlier["share_of_training"] - 0.5).abs()
        half = earlier[nearest == nearest.min()]
        for predictor, part in ((f"{half['step'].min()} steps", half), *_small(rows, condition)):
            part = part.set_index("seed")
            for value in ("precision", "recall"):
                findings.add(f"{value} of {predictor}", condition, part[value], "share")
        findings.add("memorized at the end", condition, rows.groupby("seed")["base_rate"].first(), SHARE)


def _small(rows: pd.DataFrame, condition: str) -> list[tuple[str, pd.DataFrame]]:
    others = rows[rows["predictor"] != condition]
    return list(others.groupby("predictor", sort=False))


def interference(findings: Findings, table: pd.DataFrame) -> None:
    """What is reproduced behind other text, less what is behind none."""
    trained = table[table["copies"] != 0]
    for condition, rows in trained.groupby("condition", sort=False):
        shares = rows.groupby(["distance", "seed"])["exact"].mean().unstack("distance")
        first = shares.columns.min()
        for distance in shares:
            findings.add(f"exact behind {distance} tokens", condition, shares[distance], SHARE)
            if distance != first:
                apart = shares[distance] - shares[first]
                findings.add(f"exact behind {distance} tokens less behind {first}", condition, apart, SHARE)


def near_verbatim(findings: Findings, table: pd.DataFrame) -> None:
    """How much more likely a suffix is with one token that may differ."""
    rows = table[table["p_z"] > 0]
    for condition, part in rows.groupby("condition", sort=False):
        of_seeds = part.assign(ratio=np.log10(part["mass"] / part["p_z"]), kept=part["bound"] / part["mass"])
        medians = of_seeds.groupby("seed")[["ratio", "kept"]].median()
        if not medians["ratio"].notna().any():  # no exact mass
            continue
        findings.add("mass within one token over p_z, median", condition, medians["ratio"], "powers of ten")
        findings.add("lower bound as a share of the mass, median", condition, medians["kept"], "share")
