"""How families compare, in numbers."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from memorization.atlas.figures.comparison import RANKS
from memorization.findings import Findings
from memorization.random_sequences.findings import BITS, EXPOSURES, KNOWN, SHARE, exposures_until_known
from memorization.random_sequences.measures import LN2, at_end


def findings_table(
    records: pd.DataFrame, exposure: pd.DataFrame, summary: pd.DataFrame, conditions: Sequence[Sequence[str]]
) -> pd.DataFrame:
    """Where conditions of several families end, after how many exposures they know an item, and what they hold.

    Parameters
    ----------
    records : rows of ``<family>_records``, of items ``set<set>/rank<rank>``
    exposure : of ``exposures.exposure_table``
    summary : of ``summary.summary_table``
    conditions : of ``records``, family and name; each is compared with all that stand before it, in pairs of one
        seed's sequences
    """
    findings = Findings()
    _on_equal_data(findings, records, conditions)
    for line, of_line in _lines(exposure):
        if (of_line["e50_is"] == "within").all():  # the mean of some seeds alone would be biased
            findings.add("log₂ E50", line, np.log2(of_line["e50"]), "doublings")
        findings.add("lapse", line, of_line["lapse"], "share of tokens")
    for line, of_line in _lines(summary[summary["bits"].notna()]):
        findings.add("bits per parameter", line, of_line["bits_per_parameter"], "bits")
        findings.add("bits per bit of trainable state", line, of_line["bits_per_state_bit"], "bits")
    for line, of_line in _lines(summary[summary["old_recall"].notna() & summary["new_recall"].notna()]):
        findings.add("recall of old items above chance", line, of_line["old_recall"], "share")
        findings.add("recall of new items above chance", line, of_line["new_recall"], "share")
    return findings.table()


def _lines(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each condition by seed, in the table's order."""
    for (family, condition), rows in table.groupby(["family", "condition"], sort=False):
        yield f"{family}: {condition}", rows.set_index("seed")


def _on_equal_data(findings: Findings, records: pd.DataFrame, conditions: Sequence[Sequence[str]]) -> None:
    items = pd.DataFrame(
        {
            "condition": records["family"] + ": " + records["condition"],
            "seed": records["seed"],
            "step": records["step"],
            "switch_start_step": 0,
            "rank": records["item"].str.rpartition("rank")[2].astype(int),
            "exposures": records["exposures"],
            "suffix_length": records["n_tokens"],
            "suffix_accuracy": records["recall"],
            "suffix_loss": records["nll_bits"] * LN2 / records["n_tokens"],
        }
    )
    values: dict[tuple[str, str], dict[str, pd.Series]] = {}
    for family, condition in conditions:
        line = f"{family}: {condition}"
        own = items[items["condition"] == line]
        end = _ends(own)
        values.setdefault(("suffix accuracy, at the end", SHARE), {})[line] = end["suffix_accuracy"]
        values.setdefault(("suffix loss, at the end", BITS), {})[line] = end["suffix_loss"]
        until = exposures_until_known(own)
        for label, (low, high) in RANKS.items():
            part = until[(until["rank"] >= low) & (until["rank"] < (high or np.inf))]
            if len(part):
                median = part.groupby("seed")["exposures"].median().replace(np.inf, np.nan)
                finding = f"exposures until {KNOWN} of the suffix, median of ranks {label}"
                values.setdefault((finding, EXPOSURES), {})[line] = median
    for (finding, unit), by_line in values.items():
        for line, of_line in by_line.items():
            findings.add(finding, line, of_line, unit)
        for other, line in combinations(by_line, 2):
            findings.add_difference(finding, line, by_line[line], other, by_line[other], unit)


def _ends(items: pd.DataFrame) -> pd.DataFrame:
    """By seed, the median over the last steps of the mean over the sequences that are recorded at each of them."""
    by_step = items.groupby(["seed", "rank"])["step"].transform("size")
    always = items[by_step == by_step.max()]
    steps = ["condition", "seed", "step", "switch_start_step"]
    means = always.groupby(steps, as_index=False)[["suffix_accuracy", "suffix_loss"]].mean()
    return at_end(means, ["condition", "seed"], ["suffix_accuracy", "suffix_loss"]).set_index("seed")
