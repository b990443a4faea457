"""What is answered instead of the answer."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from memorization.memory_layer import hash_hop
from memorization.memory_layer.hash_hop import ALPHABETS
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
    characters, of_samples = facts.arrays.get("characters"), _links(data)
    with_context = data["text"].str.contains("COMPLETION:").any()
    known = set() if with_context else {one for links in of_samples.values() for link in links.items() for one in link}
    hashes = {symbol for links in of_samples.values() for symbol in "".join(links)}
    alphabet = min(
        (name for name in ALPHABETS if hashes <= set(ALPHABETS[name])), key=lambda name: len(ALPHABETS[name])
    )
    kinds = []
    for row, part in tokens.groupby("row"):
        if part["right"].all() or characters is None:
            kinds.append("correct" if part["right"].all() else "unknown")
            continue
        text, places = data["text"].iloc[row], np.flatnonzero(facts.labels[row].numpy())
        given = "".join(chr(characters[token]) if token < len(characters) else "\0" for token in part["given"])
        query, wanted, answer = _first_wrong(text, places, given)
        links = of_samples[data["sample"].iloc[row]]
        kind = hash_hop.classify(answer, query, links, alphabet, 1 + hash_hop.walk(query, links).index(wanted))
        kinds.append("other_chain" if kind == "unknown" and answer in known else kind)
    return kinds


def _first_wrong(text: str, places: np.ndarray, given: str) -> tuple[str, str, str]:
    """What was asked, the right hash and the answered one, of the first wrong hash; ``given`` stands at ``places``."""
    start = 0
    for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1):
        wanted, answer = text[run[0] : run[-1] + 1], given[start : start + len(run)]
        if answer != wanted:
            query = text[text.rfind("\n", 0, run[0]) + 1 :].split(" = ")[0]
            return query, wanted, answer
        start += len(run)
    raise ValueError(f"{text!r}: every hash is right")


def _links(data: pd.DataFrame) -> dict[int, dict[str, str]]:
    """The links of each sample: of its prompt, or where there is none its rows that are links; questions are none."""
    is_link = (data["kind"] != "question") | (data["hops"] == 1)
    prompts = data.loc[is_link, "text"].str.partition("COMPLETION:")[0]
    return {n: hash_hop.read_links("".join(texts)) for n, texts in prompts.groupby(data.loc[is_link, "sample"])}
