"""What runs on random sequences found, in numbers: at their end, on the way there, around switches."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from memorization.findings import Findings
from memorization.random_sequences.measures import at_end

RANKS = {"0-9": (0, 10), "10-29": (10, 30), "30-99": (30, 100), "100 and up": (100, np.inf)}
KNOWN = 0.9  # of the suffix's bits right
FAST = 0.75  # mean suffix accuracy by which the speed of two sets is compared
BITS, STEPS, EXPOSURES, SHARE = "nats per bit", "steps", "exposures", "share of bits"


def levels(findings: Findings, summary: pd.DataFrame, items: pd.DataFrame) -> None:
    """Where the conditions without a switch end, and after how many exposures their sequences are known.

    Parameters
    ----------
    summary, items : rows of ``summary`` and ``by_sequence``
    """
    summary, items = (table[table["phase"] == "train"] for table in (summary, items))
    for name, rows in summary.groupby("condition", sort=False):
        own = items[items["condition"] == name]
        end = at_end(rows, ["condition", "seed"], ["weighted_loss", "suffix_loss", "suffix_accuracy"])
        end = end.set_index("seed")
        findings.add("loss above the Bayes floor, at the end", name, end["weighted_loss"] - rows["floor"].iloc[0], BITS)
        findings.add("suffix loss, at the end", name, end["suffix_loss"], BITS)
        findings.add("suffix accuracy, at the end", name, end["suffix_accuracy"], SHARE)
        sequences = at_end(own, ["condition", "seed", "rank"], ["suffix_accuracy"])
        for label, of_rank in _by_rank(sequences):
            values = of_rank.groupby("seed")["suffix_accuracy"].mean()
            findings.add(f"suffix accuracy of ranks {label}, at the end", name, values, SHARE)
        until, medians = exposures_until_known(own), {}
        for label, of_rank in _by_rank(until):
            medians[label] = of_rank.groupby("seed")["exposures"].median().replace(np.inf, np.nan)
            known = of_rank["exposures"].lt(np.inf).groupby(of_rank["seed"]).mean()
            finding = f"exposures until {KNOWN} of the suffix, median of ranks {label}"
            findings.add(finding, name, medians[label], EXPOSURES)
            findings.add(f"sequences of ranks {label} that reach {KNOWN}", name, known, "share of sequences")
        if len(medians) > 1:
            frequent, *_, rare = medians
            finding = f"exposures until {KNOWN} of the suffix, ranks {frequent} less ranks {rare}, difference"
            findings.add(finding, name, (medians[frequent] - medians[rare]).dropna(), EXPOSURES)
        rarest = own[(own["rank"] >= RANKS["100 and up"][0]) & (own["step"] >= own["step"].max() / 30)]
        if len(rarest):
            highest = rarest.groupby(["seed", "step"])["loss"].mean().groupby("seed").max()
            findings.add("loss of ranks 100 and up, highest after a thirtieth of the steps", name, highest, BITS)


def exposures_until_known(items: pd.DataFrame) -> pd.DataFrame:
    """How often each sequence had been in a batch when ``KNOWN`` of its suffix was first seen right; inf for never.

    Returns
    -------
    DataFrame of a row a (seed, rank) with a suffix: those, ``exposures``.
    """
    known = items[(items["suffix_accuracy"] >= KNOWN) & (items["exposures"] > 0)].sort_values("step")
    first = known.groupby(["seed", "rank"])["exposures"].first()
    there = items[items["suffix_length"] > 0].groupby(["seed", "rank"]).size()
    return first.reindex(there.index).fillna(np.inf).rename("exposures").reset_index()


def steps_until(summary: pd.DataFrame) -> pd.Series:
    """By seed, after how many steps the mean suffix accuracy of a set first is ``FAST``; NaN if it never is.

    Between recorded steps on their log axis: a set that is recorded more rarely would seem late otherwise.
    """
    steps = {}
    for seed, rows in summary[summary["step"] > 0].sort_values("step").groupby("seed"):
        step, reached = np.log(rows["step"].to_numpy()), rows["suffix_accuracy"].to_numpy()
        at = int((reached >= FAST).argmax())
        between = np.interp(FAST, reached[at - 1 : at + 1], step[at - 1 : at + 1]) if at else step[0]
        steps[seed] = np.exp(between) if reached.max() >= FAST else np.nan
    return pd.Series(steps, dtype=float)


def values_at(summary: pd.DataFrame, value: str, steps: Sequence[float]) -> pd.Series:
    """By seed, the median of a column over some steps, between recorded ones on their log axis."""
    by_seed = {}
    for seed, rows in summary[summary["step"] > 0].sort_values("step").groupby("seed"):
        by_seed[seed] = np.median(np.interp(np.log(steps), np.log(rows["step"]), rows[value]))
    return pd.Series(by_seed, dtype=float)


def switches(
    findings: Findings,
    summary: pd.DataFrame,
    items: pd.DataFrame,
    of: Sequence[Mapping],
    since: Callable[[str], Mapping[str, int]] = lambda name: {},
) -> None:
    """What the last switch of each condition does to the set before it and to the new one.

    Parameters
    ----------
    summary, items : as in ``levels``
    of : the configuration's switches
    since : steps after the switch that are looked at too, by what they are, of a switch
    """
    first_sets = {}
    for name in dict.fromkeys(switch["condition"] for switch in of):
        first_sets[name] = steps_until(summary[(summary["condition"] == name) & (summary["phase"] == "train")])
        findings.add(f"first set, steps to suffix accuracy {FAST}", name, first_sets[name], STEPS)
    speed: dict[str, pd.Series] = {}
    ends: dict[str, dict[str, pd.Series]] = {}
    for switch in of:
        name, start = switch["name"], switch["switch_steps"][-1]
        rows, own = (table[table["condition"] == name] for table in (summary, items))
        number = rows["set"].max()
        end = at_end(rows, ["condition", "seed", "set"], ["weighted_loss", "suffix_loss", "suffix_accuracy"])
        old_end, new_end = (end[end["set"] == each].set_index("seed") for each in (number - 1, number))
        old, new = (rows[rows["set"] == each] for each in (number - 1, number))
        # The row of the switch itself: the old set as it was left, the new one before it is trained on.
        old_then, new_then = (part[part["step"] == start].set_index("seed") for part in (old, new))
        findings.add("old set, suffix accuracy at the switch", name, old_then["suffix_accuracy"], SHARE)
        after = old[old["step"] > start].assign(step=lambda part, start=start: part["step"] - start)
        for label, steps in {"10 steps on": 10, **since(name)}.items():
            values = values_at(after, "suffix_accuracy", [steps])
            findings.add(f"old set, suffix accuracy {label}", name, values, SHARE)
        findings.add("old set, suffix accuracy at the end", name, old_end["suffix_accuracy"], SHARE)
        findings.add("old set, suffix loss at the end", name, old_end["suffix_loss"], BITS)
        first = own[(own["set"] == number) & (own["step"] == start)].groupby("seed")
        findings.add("new set, accuracy at the switch, all bits", name, first["accuracy"].mean(), SHARE)
        findings.add("new set, loss at the switch, all bits", name, new_then["loss"], BITS)
        findings.add("new set, suffix loss at the switch", name, new_then["suffix_loss"], BITS)
        findings.add("new set, suffix accuracy at the end", name, new_end["suffix_accuracy"], SHARE)
        above = new_end["weighted_loss"] - new["floor"].iloc[0]
        findings.add("new set, loss above the Bayes floor at the end", name, above, BITS)
        speed[name] = steps_until(new.assign(step=new["step"] - start))
        findings.add(f"new set, steps to suffix accuracy {FAST}", name, speed[name], STEPS)
        learned = first_sets[switch["condition"]]
        findings.add_difference(
            f"steps to suffix accuracy {FAST}, new set less first set", name, speed[name], "first set", learned, STEPS
        )
        ends[name] = {"new": new_end["suffix_accuracy"], "old": old_end["suffix_accuracy"]}
        kept = own[(own["first_set"] < own["set"]) & (own["set"] == number)]
        if len(kept):
            kept = at_end(kept, ["condition", "seed", "rank"], ["suffix_accuracy"]).groupby("seed")
            findings.add("kept sequences, suffix accuracy at the end", name, kept["suffix_accuracy"].mean(), SHARE)
    for switch, other in _pairs(of):
        findings.add_difference(
            f"new set, steps to suffix accuracy {FAST}", switch, speed[switch], other, speed[other], STEPS
        )
        for which, values in ends[switch].items():
            finding = f"{which} set, suffix accuracy at the end"
            findings.add_difference(finding, switch, values, other, ends[other][which], SHARE)


def _by_rank(table: pd.DataFrame):
    for label, (low, high) in RANKS.items():
        part = table[(table["rank"] >= low) & (table["rank"] < high)]
        if len(part):
            yield label, part


def _pairs(of: Sequence[Mapping]) -> list[tuple[str, str]]:
    """Switches that differ in what is frozen alone, each with the first of its kind."""
    first: dict[tuple, str] = {}
    pairs = []
    for switch in of:
        kind = (switch["condition"], switch["kind"], tuple(switch["switch_steps"]), switch["steps"])
        other = first.setdefault(kind, switch["name"])
        if other != switch["name"]:
            pairs.append((switch["name"], other))
    return pairs
