"""What the family found, in numbers."""

from collections.abc import Mapping, Sequence

import pandas as pd

from memorization.findings import Findings
from memorization.random_sequences.findings import levels, switches


def findings_table(
    summary: pd.DataFrame,
    by_sequence: pd.DataFrame,
    switch_settings: Sequence[Mapping],
    since: Mapping[str, Mapping[str, int]],
) -> pd.DataFrame:
    """All findings of the family.

    Parameters
    ----------
    summary, by_sequence : rows of ``associative_memory_summary``, ``associative_memory_by_sequence``
    switch_settings : the configuration's
    since : by switch, the steps after it that are looked at, by what happens then
    """
    findings = Findings()
    levels(findings, summary, by_sequence)
    labels = {name: {f"when {what}": steps for what, steps in marks.items()} for name, marks in since.items()}
    switches(findings, summary, by_sequence, switch_settings, lambda name: labels.get(name, {}))
    return findings.table()
