"""What the family found, in numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from memorization.findings import Findings
from memorization.random_sequences.findings import BITS, SHARE, levels, switches, values_at
from memorization.random_sequences.measures import LATE


def findings_table(
    summary: pd.DataFrame,
    by_sequence: pd.DataFrame,
    comparisons: Sequence[Mapping],
    switch_settings: Sequence[Mapping],
    trainings: Mapping[str, Mapping[str, float]],
    swap: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """All findings of the family.

    Parameters
    ----------
    summary, by_sequence : rows of ``zipf_summary``, ``zipf_by_sequence``
    comparisons, switch_settings : the configuration's
    trainings : ``steps`` and ``decay`` of the conditions without a switch
    swap : rows of ``zipf_swap``, where there are switches
    """
    findings = Findings()
    levels(findings, summary, by_sequence)
    compared(findings, summary, comparisons, trainings)
    switches(findings, summary, by_sequence, switch_settings, lambda name: {"100 steps on": 100})
    if swap is not None:
        swaps(findings, swap)
    return findings.table()


def compared(
    findings: Findings,
    summary: pd.DataFrame,
    comparisons: Sequence[Mapping],
    trainings: Mapping[str, Mapping[str, float]],
) -> None:
    """Conditions against the one that stands in most comparisons, over the last tenth of the shortest training.

    A pair is left out if by then the learning rate of one has begun to fall and that of the other has not.
    """
    stands = Counter(name for each in comparisons for name in each["conditions"])
    baseline = stands.most_common(1)[0][0]
    train = summary[summary["phase"] == "train"]
    for comparison in comparisons:
        names = comparison["conditions"]
        if baseline not in names:
            continue
        end = min(trainings[name]["steps"] for name in names)
        steps = np.linspace(end * (1 - LATE), end, 10)
        for name in names:
            falling = {end > trainings[each]["steps"] * (1 - trainings[each]["decay"]) for each in (name, baseline)}
            if name == baseline or len(falling) > 1:
                continue
            one, other = (train[train["condition"] == each] for each in (name, baseline))
            for value, label, unit in (("weighted_loss", "loss", BITS), ("suffix_accuracy", "suffix accuracy", SHARE)):
                values = [values_at(rows, value, steps) for rows in (one, other)]
                finding = f"{label}, steps {steps[0]:.0f} to {end}"
                findings.add_difference(finding, name, values[0], baseline, values[1], unit)


def swaps(findings: Findings, swap: pd.DataFrame) -> None:
    """How much of the set before the last switch comes back with a part of the model."""
    before = swap[swap["set"] == swap.groupby("condition")["set"].transform("max") - 1]
    means = before.groupby(["condition", "swap", "seed"], sort=False)["suffix_accuracy"].mean()
    for name in dict.fromkeys(before["condition"]):
        nothing, everything = means[name]["none"], means[name]["all"]
        for part in ("none", "attention", "mlp", "mlp_head", "all"):
            findings.add(f"old set, suffix accuracy with {part} put back", name, means[name][part], SHARE)
        for part in ("attention", "mlp"):
            back = (means[name][part] - nothing) / (everything - nothing)
            findings.add(f"share of the loss in accuracy that {part} put back brings back", name, back, "share")
