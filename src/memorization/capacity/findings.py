"""What the family found, in numbers."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from memorization.findings import Findings

LATE = 0.1  # share of a training that stands for its end
MORRIS = 3.6  # bits per parameter, of Morris et al. 2025
ALLEN_ZHU = 2.0  # bits per parameter, of Allen-Zhu and Li 2024
PER_PARAMETER = "bits per parameter"
VALUES = ["bits", "bits_per_parameter", "bits_per_state_bit"]


def findings_table(
    bits: pd.DataFrame, sequences: Sequence[str], models: Sequence[str], comparisons: Sequence[Mapping]
) -> pd.DataFrame:
    """All findings of the family.

    Parameters
    ----------
    bits : rows of ``capacity_bits``
    sequences, models, comparisons : the configuration's
    """
    findings = Findings()
    ends = {name: at_end(bits[bits["condition"] == name]) for name in dict.fromkeys(bits["condition"])}
    for name, end in ends.items():
        levels(findings, name, end)
    plateau(findings, [name for name in sequences if holds_more(ends[name])], ends)
    growth(findings, models, ends)
    for comparison in comparisons:
        first, *others = comparison["conditions"]
        for name in others:
            pair = (ends[each]["bits_per_parameter"] for each in (name, first))
            findings.add_difference(f"{PER_PARAMETER}, at the end", name, next(pair), first, next(pair), PER_PARAMETER)
    return findings.table()


def at_end(bits: pd.DataFrame) -> pd.DataFrame:
    """Where each seed of a condition ends, a row a seed.

    Returns
    -------
    DataFrame by seed: medians of ``VALUES`` over the last tenth of training; ``gain`` of the bits from its beginning to
    the last step, as a share of the last; ``to_hold``, ``parameters``.
    """
    last = bits.groupby("seed")["step"].transform("max")
    late = bits[bits["step"] >= np.round(last * (1 - LATE))].sort_values("step").groupby("seed")
    end = late[VALUES].median().join(late[["to_hold", "parameters"]].first())
    return end.assign(gain=1 - late["bits"].first() / late["bits"].last())


def holds_more(end: pd.DataFrame) -> bool:
    """Whether there is more to hold than any model is known to hold."""
    return bool((end["to_hold"] > MORRIS * end["parameters"]).all())


def levels(findings: Findings, name: str, end: pd.DataFrame) -> None:
    """What a condition holds at the end."""
    findings.add("bits, at the end", name, end["bits"], "bits")
    findings.add(f"{PER_PARAMETER}, at the end", name, end["bits_per_parameter"], PER_PARAMETER)
    findings.add("bits per bit of state, at the end", name, end["bits_per_state_bit"], "bits per bit")
    findings.add(f"{PER_PARAMETER} that there are to hold", name, end["to_hold"] / end["parameters"], PER_PARAMETER)
    findings.add("share of all that there is to hold, at the end", name, end["bits"] / end["to_hold"], "share of bits")
    findings.add("gain over the last tenth of training", name, end["gain"], "share of bits")


def plateau(findings: Findings, names: Sequence[str], ends: Mapping[str, pd.DataFrame]) -> None:
    """What one model holds where its sequences have more bits than it can hold."""
    if not names:
        return
    condition = " ".join(names)
    of = {value: pd.concat([ends[name][value] for name in names], axis=1, join="inner") for value in VALUES}
    per_parameter = of["bits_per_parameter"]
    findings.add(f"plateau, {PER_PARAMETER}", condition, per_parameter.mean(axis=1), PER_PARAMETER)
    for less in (ALLEN_ZHU, MORRIS):
        findings.add(
            f"plateau, {PER_PARAMETER}, less {less:g}", condition, per_parameter.mean(axis=1) - less, PER_PARAMETER
        )
    findings.add("plateau, bits per bit of state", condition, of["bits_per_state_bit"].mean(axis=1), "bits per bit")
    spread = per_parameter.max(axis=1) / per_parameter.min(axis=1)
    findings.add("plateau, largest over smallest", condition, spread, "ratio")
    means = per_parameter.mean()
    spread = means.max() / means.min()
    findings.add_value("plateau, largest over smallest mean of seeds", condition, spread, len(per_parameter), "ratio")


def growth(findings: Findings, models: Sequence[str], ends: Mapping[str, pd.DataFrame]) -> None:
    """How many bits come with a parameter more: the slope of a least-squares line through the models."""
    sizes = [ends[name]["parameters"].iloc[0] for name in models]
    if len(set(sizes)) < 2:
        return
    bits = pd.concat([ends[name]["bits"] for name in models], axis=1, join="inner")
    slopes = {seed: np.polyfit(sizes, row, 1)[0] for seed, row in zip(bits.index, bits.to_numpy(), strict=True)}
    findings.add("bits that come with a parameter more", " ".join(models), slopes, PER_PARAMETER)
