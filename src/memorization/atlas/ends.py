"""The end of each run, item by item, from the records of any family."""

import pandas as pd

RUN = ["family", "arm", "condition", "seed"]
LATE = 0.1  # share of a run's steps, at its end
TRAINED = ("train", "after_switch", "before_switch")  # phases of items that the run, or one before it, was trained on


def last_step(records: pd.DataFrame) -> pd.Series:
    """The last recorded step of each row's run."""
    return records.groupby(RUN, observed=True)["step"].transform("max")


def at_last_step(records: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run's last step."""
    return records[records["step"] == last_step(records)]


def at_end(records: pd.DataFrame) -> pd.DataFrame:
    """Each item at the end of its run: medians over the recorded steps of the last tenth, since losses have spikes.

    Returns
    -------
    The rows of the last step, with the medians of ``recall`` and ``nll_bits``. Items that are not recorded there have
    no row.
    """
    last = last_step(records)
    late = records[records["step"] > (1 - LATE) * last]
    medians = late.groupby([*RUN, "item"], observed=True)[["recall", "nll_bits"]].median()
    end = records[records["step"] == last].drop(columns=["recall", "nll_bits"])
    return end.join(medians, on=[*RUN, "item"])


def before_end(records: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run's last recorded step before its last tenth; none of a run that has no such step."""
    early = records[records["step"] <= (1 - LATE) * last_step(records)]
    return at_last_step(early)


def above_chance(table: pd.DataFrame) -> pd.Series:
    """Recall as a share of what guessing leaves: 0 is chance, 1 is all."""
    return (table["recall"] - table["chance"]) / (1 - table["chance"])
