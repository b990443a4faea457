"""What is answered instead of the answer."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from memorization.memory_layer import hash_hop
from memorization.memory_layer.training import Facts

KINDS = ("correct", "other_fact", "unknown")


def errors_table(by_fact: pd.DataFrame, tokens: pd.DataFrame, data: pd.DataFrame, facts: Facts, run: Mapping):
    """``errors``: of each kind of answer how many there are, by split and group.

    An answer is the likeliest token at each place given the true ones before it. It is ``correct``, ``other_fact`` if
    another row of the data set has this answer, or ``unknown``; of chains of hashes, as ``hash_hop.classify`` says.
    """
    given = tokens.groupby("row")["given"].agg(tuple)
    wanted = tokens.groupby("row")["target"].agg(tuple)
    if "difficulty" in data:
        kind = _of_chains(data, tokens, facts)
    else:
        known = set(wanted)
        kind = np.where(given == wanted, "correct", np.where(given.isin(known), "other_fact", "unknown"))
    counts = by_fact[["split", "group"]].assign(kind=kind).value_counts().rename("n").reset_index()
    counts = counts.sort_values(["split", "group", "kind"], ignore_index=True)
    return counts.assign(share=counts["n"] / counts.groupby(["split", "group"])["n"].transform("sum"), **run)


def _of_chains(data: pd.DataFrame, tokens: pd.DataFrame, facts: Facts) -> list[str]:
    """The kind of the first wrong hash of each row's answers, or ``correct``."""
    characters = facts.arrays.get("characters")
    kinds = []
    for row, part in tokens.groupby("row"):
        if part["right"].all():
            kinds.append("correct")
            continue
        text = list(data["text"].iloc[row])
        if characters is None:
            kinds.append("unknown")
            continue
        places = np.flatnonzero(facts.labels[row].numpy())
        for place, token in zip(places, part["given"], strict=True):
            text[place] = chr(characters[token]) if token < len(characters) else "\0"
        kinds.append(_kind("".join(text), data["text"].iloc[row]))
    return kinds


def _kind(given: str, true: str) -> str:
    """The kind of the first line that differs."""
    prompt, _, _ = true.partition("COMPLETION:")
    links = hash_hop.read_links(true if prompt == true else prompt)
    for answered, wanted in zip(given.splitlines(), true.splitlines(), strict=True):
        if answered != wanted:
            query = wanted.split(" = ")[0]
            return hash_hop.classify(answered.split(" = ")[-1].strip("'"), query, links)
    return "correct"
