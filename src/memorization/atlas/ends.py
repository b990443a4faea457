"""The end of each run, item by item, from the records of any family."""

import pandas as pd

RUN = ["family", "arm", "condition", "seed"]
ITEM = [*RUN, "item"]
LATE = 0.1  # share of the steps of a run's last training, at its end
TRAINED = ("train", "after_switch", "before_switch")  # phases of items that the run, or one before it, was trained on


def last_step(records: pd.DataFrame) -> pd.Series:
    """The last recorded step of each row's run."""
    return records.groupby(RUN, observed=True)["step"].transform("max")


def at_last_step(records: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run's last step."""
    return records[records["step"] == last_step(records)]


def at_end(records: pd.DataFrame) -> pd.DataFrame:
    """Each item at its end: medians over its recorded steps in the last tenth of the last training, for spikes.

    Returns
    -------
    The last row of each item, which may have left training before the others, with the medians of ``recall`` and
    ``nll_bits``.
    """
    items = records.groupby(ITEM, observed=True)["step"]
    last = items.transform("max")
    late = records[(records["step"] == last) | (records["step"] > last - LATE * (last - _start(records)))]
    medians = late.groupby(ITEM, observed=True)[["recall", "nll_bits"]].median()
    end = records[records["step"] == last].drop(columns=["recall", "nll_bits"])
    return end.join(medians, on=ITEM)


def before_end(records: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run's last recorded step in the tenth before the last tenth; none without such a step."""
    last, steps = last_step(records), records["step"]
    tenth = LATE * (last - _start(records))
    return at_last_step(records[(steps < last) & steps.between(last - 2 * tenth, last - tenth)])


def _start(records: pd.DataFrame) -> pd.Series:
    """The step at which the last training of each row's run began: 0, or where the last of its items became old."""
    old = records[records["phase"] == "before_switch"]
    became = old.groupby(ITEM, observed=True)["step"].min().groupby(RUN, observed=True).max()
    began = records.groupby(RUN, observed=True)["step"].min()
    start = became.reindex(began.index)
    start = start.where(start > began, 0).rename("start")  # old ones from the beginning: another run's
    return records[RUN].join(start, on=RUN)["start"]


def above_chance(table: pd.DataFrame) -> pd.Series:
    """Recall as a share of what guessing leaves: 0 is chance, 1 is all."""
    return (table["recall"] - table["chance"]) / (1 - table["chance"])
