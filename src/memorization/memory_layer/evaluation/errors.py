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
        wanted = [
            tuple(tokens[labels])
            for tokens, labels in zip(arrays["tokens"][given.index], arrays["labels"][given.index], strict=True)
        ]
        right = np.fromiter(map(tuple.__eq__, given, wanted), bool, len(given))
        kind = np.where(right, "correct", np.where(given.isin(set(wanted)), "other_fact", "unknown"))
    counts = by_fact.loc[given.index, ["split", "group"]].assign(kind=kind).value_counts().rename("n").reset_index()
    counts = counts.sort_values(["split", "group", "kind"], ignore_index=True)
    return counts.assign(share=counts["n"] / counts.groupby(["split", "group"])["n"].transform("sum"), **run)
