"""What is answered instead of the answer."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from memorization.memory_layer.evaluation.chains import kinds_of_answers

KINDS = ("correct", "other_fact", "unknown")


def errors_table(
    by_fact: pd.DataFrame, given: pd.Series, data: pd.DataFrame, arrays: Mapping[str, np.ndarray], run: Mapping
) -> pd.DataFrame:
    """``errors``: of each kind of answer how many there are, by split and group.

    An answer is ``correct``, ``other_fact`` if another row of the data set has this answer, or ``unknown``; of chains
    of hashes, as ``hash_hop.classify`` says. Rows that are not decoded do not count.

    Parameters
    ----------
    by_fact : ``tables.by_fact``
    given : of each row the tokens that are answered, as ``decoding.given_answers`` gives them
    data, arrays : the data set, as a table and as tokens
    """
    if "difficulty" in data:
        kind = kinds_of_answers(given, data, arrays)
    else:
        every = [tuple(tokens[of]) for tokens, of in zip(arrays["tokens"], arrays["labels"], strict=True)]
        right = np.fromiter((answer == every[row] for row, answer in given.items()), bool, len(given))
        kind = np.where(right, "correct", np.where(given.isin(set(every)), "other_fact", "unknown"))
    counts = by_fact.loc[given.index, ["split", "group"]].assign(kind=kind).value_counts().rename("n").reset_index()
    counts = counts.sort_values(["split", "group", "kind"], ignore_index=True)
    return counts.assign(share=counts["n"] / counts.groupby(["split", "group"])["n"].transform("sum"), **run)
