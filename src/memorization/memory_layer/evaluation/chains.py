"""How chains of hashes are answered: hash by hash, and what is said instead."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from memorization.memory_layer import hash_hop
from memorization.memory_layer.evaluation.decoding import runs_of
from memorization.memory_layer.hash_hop import ALPHABETS

KEYS = {"difficulty": str, "hops": int, "chain_of_thought": bool}
COLUMNS = {**KEYS, "asked": str, "accuracy": float, "chance": float, "n": int}


def questions_of(data: pd.DataFrame) -> np.ndarray:
    """How many questions each row of a data set asks, (n,): one, but in a sample of chains."""
    samples = data["text"].str.partition("COMPLETION:")[2].str.count(r"\n\w+ = ")
    return np.maximum(1, samples.to_numpy(np.int64))


def kinds_of_answers(given: pd.Series, data: pd.DataFrame, arrays: Mapping[str, np.ndarray]) -> list[str]:
    """By row the kind, as ``hash_hop.classify`` gives it, of the first wrong hash, or ``correct``.

    Parameters
    ----------
    given : of each row the tokens that are answered, as ``decoding.given_answers`` gives them
    data, arrays : the data set, as a table and as tokens
    """
    of_samples, pieces, kinds = links_of(data), arrays["pieces"], []
    alphabet = alphabet_of(of_samples)
    with_context = data["text"].str.contains("COMPLETION:").any()
    known = set() if with_context else {one for links in of_samples.values() for link in links.items() for one in link}
    for row, answer in given.items():
        tokens, kind = arrays["tokens"][row], "correct"
        for run in runs_of(np.flatnonzero(arrays["labels"][row])):
            said, answer = answer[: len(run)], answer[len(run) :]
            if tuple(tokens[run]) != said:
                query = "".join(pieces[tokens[: run[0]]]).splitlines()[-1].split(" = ")[0]
                links, wanted = of_samples[data["sample"].iloc[row]], "".join(pieces[tokens[run]])
                hop = 1 + hash_hop.walk(query, links).index(wanted)
                hash_given = "".join(pieces[list(said)])
                kind = hash_hop.classify(hash_given, query, links, alphabet, hop)
                kind = "other_chain" if kind == "unknown" and hash_given in known else kind
                break
        kinds.append(kind)
    return kinds


def hops_table(given: pd.Series, data: pd.DataFrame, arrays: Mapping[str, np.ndarray], run: Mapping) -> pd.DataFrame:
    """``hops``: which share of the hashes of unseen chains is answered, by difficulty; empty without chains.

    ``asked`` is ``query``, all hashes that a question asks for; ``first query``, those of the first of several
    questions; ``final``, the last hash; or ``hop 1``, …, of those on the way, where they are trained. ``chance`` is
    that of guessing among the prompt's last hashes, or those on the way, of the chains that no question before has
    taken: its true answer stands in the text. Without context it is that of guessing among all hashes that there are.

    Parameters
    ----------
    given, data, arrays : as for ``kinds_of_answers``; rows that are not decoded do not count
    """
    rows = given.index[data["split"].iloc[given.index] == "eval"] if "difficulty" in data else ()
    if not len(rows):
        columns = {**COLUMNS, "condition": str, "seed": int}
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
    links, parts = links_of(data), []
    alphabet = alphabet_of(links)
    for row in rows:
        of, here = data.iloc[row], links[data["sample"].iloc[row]]
        completion, labels = of["text"].rpartition("COMPLETION:")[2], arrays["labels"][row]
        answered = _text(arrays, row, given[row]).rpartition("COMPLETION:")[2]
        scores = hash_hop.score(here, completion, answered, alphabet)
        if len(runs_of(np.flatnonzero(labels))) < len(scores):  # the last hashes alone are trained
            scores = scores[scores["is_last"]]
        question = pd.factorize(scores["query"])[0]
        if completion == of["text"]:
            chance = float(len(ALPHABETS[alphabet])) ** -scores["target"].str.len()
        else:
            left = len(here.keys() - set(here.values())) - question
            chance = 1 / np.where(scores["is_last"], left, left * max(1, of["hops"] - 1))
        parts.append(scores.assign(chance=chance, row=row, question=question, **of[list(KEYS)]))
    return _accuracies(pd.concat(parts, ignore_index=True)).assign(**run)


def links_of(data: pd.DataFrame) -> dict[int, dict[str, str]]:
    """The links of each sample: of its prompt, or where there is none its rows that are links; questions are none."""
    is_link = (data["kind"] != "question") | (data["hops"] == 1)
    prompts = data.loc[is_link, "text"].str.partition("COMPLETION:")[0]
    return {n: hash_hop.read_links("".join(texts)) for n, texts in prompts.groupby(data.loc[is_link, "sample"])}


def alphabet_of(links: Mapping[int, Mapping[str, str]]) -> str:
    """The smallest of ``ALPHABETS`` that has all hashes of some samples."""
    symbols = {symbol for of_sample in links.values() for symbol in "".join(of_sample)}
    fitting = [name for name in ALPHABETS if symbols <= set(ALPHABETS[name])]
    return min(fitting, key=lambda name: len(ALPHABETS[name]))


def _text(arrays: Mapping[str, np.ndarray], row: int, given: Sequence[int]) -> str:
    """The text of a row with some tokens in its answers' places."""
    tokens = arrays["tokens"][row].copy()
    tokens[np.flatnonzero(arrays["labels"][row])] = given
    return "".join(arrays["pieces"][tokens])


def _accuracies(scores: pd.DataFrame) -> pd.DataFrame:
    """From the scores of all hashes a row for each difficulty and what is asked."""
    keys, of = list(KEYS), {"accuracy": ("right", "mean"), "chance": ("chance", "mean"), "n": ("right", "size")}
    queries = scores.groupby([*keys, "row", "question"], as_index=False).agg(
        right=("right", "all"), chance=("chance", "prod")
    )
    asked = np.where(scores["is_last"], "final", "hop " + scores["hop"].astype(str))
    several = (queries["question"] > 0).any()
    firsts = queries[(queries["question"] == 0) & several].assign(asked="first query")
    whole = pd.concat([queries.assign(asked="query"), firsts, scores.assign(asked=asked)], ignore_index=True)
    return whole.groupby([*keys, "asked"], as_index=False).agg(**of)
