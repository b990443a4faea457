"""Chains of hashes: given A = B and B = 'C', what is at A's end?

The format is that of the public benchmark HashHop (Magic 2024, https://github.com/magicproduct/hash-hop), which asks
with a chain of thought for all hashes of a chain; our targets map its first hash to its last one, however it asks.
Imported when the Snakefile is read: nothing here may import torch or pandas.
"""

import re
import string
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from memorization.memory_layer.data.names import unique_digests, unique_strings

ALPHABETS = {
    "letters": string.ascii_letters,
    "alphanumeric": string.ascii_letters + string.digits,
    "hex": "0123456789abcdef",
}
DRAWS = {"random": unique_strings, "digest": unique_digests}
HEADER = "COMPLETION:\nHops={}\n\nCoT={}\n\n"
CLASSES = ("correct", "intermediate", "other_chain", "unknown", "malformed")


def make_sample(
    n_chains: int,
    hops: int,
    hash_length: int,
    chain_of_thought: bool,
    n_queries: int,
    rng: np.random.Generator,
    alphabet: str = "letters",
    hashes: str = "random",
    context: bool = True,
) -> tuple[str, str, dict[str, str]]:
    """Chains of hashes that are all different, and questions about some of them.

    Parameters
    ----------
    n_chains : how many chains there are
    hops : links of each: A = B, B = C, C = 'D' are 3
    hash_length : characters
    chain_of_thought : whether an answer tells the hashes on the way, A = B = C = 'D', or the last alone, A = 'D'
    n_queries : how many chains are asked about
    rng : draws hashes, and the order of the links
    alphabet : a key of ``ALPHABETS``
    hashes : ``random``, or the ``digest`` of a number
    context : whether the answers are preceded by ``COMPLETION:``, the hops and the chain of thought, to follow the
        prompt; otherwise they are lines as the links are, for a model that has to know these

    Returns
    -------
    prompt : the links of all chains, shuffled, a line each; the last of a chain has quotes
    completion : a line a query, as above
    targets : the last hash by the first, of the queries

    Raises
    ------
    ValueError
        If there are fewer chains than queries, too few hashes of that length, or a name is unknown.
    """
    _check_choice(alphabet, ALPHABETS, "alphabet")
    _check_choice(hashes, DRAWS, "hashes")
    if not 1 <= n_queries <= n_chains:
        raise ValueError(f"n_queries: {n_queries} of {n_chains} chains; allowed: 1 to {n_chains}")
    if hops < 1:
        raise ValueError(f"hops: {hops} is less than the minimum of 1")
    drawn = DRAWS[hashes](n_chains * (hops + 1), hash_length, ALPHABETS[alphabet], rng)
    return sample_of(drawn.reshape(n_chains, hops + 1).tolist(), chain_of_thought, n_queries, rng, context)


def sample_of(
    chains: Sequence[Sequence[str]], chain_of_thought: bool, n_queries: int, rng: np.random.Generator, context: bool
) -> tuple[str, str, dict[str, str]]:
    """The sample of given chains, each hops + 1 hashes; the first ``n_queries`` are asked about."""
    hops, links, asked = len(chains[0]) - 1, [], []
    for chain in chains:
        links += [f"{one} = {then}" for one, then in pairwise(chain[:-1])]
        links.append(f"{chain[-2]} = '{chain[-1]}'")
    for chain in chains[:n_queries]:
        way = chain[:-1] if chain_of_thought else chain[:1]
        asked.append(f"{' = '.join(way)} = '{chain[-1]}'\n")
    header = HEADER.format(hops, chain_of_thought) if context else ""
    prompt = "\n".join([links[n] for n in rng.permutation(len(links))])
    return prompt, header + "".join(asked), {chain[0]: chain[-1] for chain in chains[:n_queries]}


def read_links(prompt: str) -> dict[str, str]:
    """Each hash of a prompt and the one that follows it.

    Raises
    ------
    ValueError
        If a line is no link, or a hash is followed by two.
    """
    links: dict[str, str] = {}
    for line in prompt.splitlines():
        found = re.fullmatch(r"(\w+) = ('?)(\w+)\2", line)
        if not found or found[1] in links:
            raise ValueError(f"{line!r}: {'a second link of its hash' if found else 'no link such as A = B'}")
        links[found[1]] = found[3]
    return links


def walk(first: str, links: Mapping[str, str]) -> list[str]:
    """The hashes that follow ``first``, to the last one.

    Raises
    ------
    ValueError
        If the chain comes back to itself.
    """
    way = [first]
    while way[-1] in links:
        way.append(links[way[-1]])
        if len(way) > len(links) + 1:
            raise ValueError(f"{first!r}: its chain comes back to itself")
    return way[1:]


def verify(prompt: str, completion: str, targets: Mapping[str, str], hops: int) -> None:
    """Assert, by walking the chains, that a sample is right: its hashes are all different, its queries are answered.

    Raises
    ------
    ValueError
        One line that names the hash.
    """
    links = read_links(prompt)
    entered = set(links.values())
    firsts = [one for one in links if one not in entered]
    ways = {first: walk(first, links) for first in firsts}
    if len(entered) < len(links) or sum(map(len, ways.values())) < len(links):
        raise ValueError(f"{prompt.splitlines()[0]!r} …: a hash stands in two chains, or twice in one")
    for first, way in ways.items():
        if len(way) != hops:
            raise ValueError(f"{first!r}: {len(way)} hops, not {hops}")
    asked = [line.split(" = ") for line in completion.splitlines() if " = " in line]
    if sorted(line[0] for line in asked) != sorted(targets):
        raise ValueError(f"{sorted(targets)}: the targets are not the queries asked")
    for first, *answer in asked:
        hashes, way = [each.strip("'") for each in answer], ways.get(first, [])
        if hashes not in (way, way[-1:]) or targets[first] not in way[-1:]:
            raise ValueError(f"{first!r}: answered by {hashes}, but its chain is {way}")


def classify(answer: str, query: str, links: Mapping[str, str], alphabet: str = "letters", hop: int = 0) -> str:
    """What kind of answer a hash is.

    Parameters
    ----------
    answer : a hash, as a model gave it
    query : the first hash of the chain
    links : of all chains, as ``read_links`` gives them
    alphabet : a key of ``ALPHABETS``
    hop : which hash of the chain is asked, counted from 1; 0 for the last

    Returns
    -------
    One of ``CLASSES``: ``correct``; ``intermediate``, another hash of its chain, the query itself too;
    ``other_chain``, a hash of another one; ``unknown``, a hash of none; ``malformed``, no hash of that length and
    alphabet.
    """
    way = walk(query, links)
    if answer == way[hop - 1]:
        return "correct"
    if answer == query or answer in way:
        return "intermediate"
    if answer in links or answer in links.values():
        return "other_chain"
    is_hash = len(answer) == len(query) and set(answer) <= set(ALPHABETS[alphabet])
    return "unknown" if is_hash else "malformed"


def score(links: Mapping[str, str], completion: str, answered: str, alphabet: str = "letters"):
    """What a model answered, hash by hash, beside what is right.

    Parameters
    ----------
    links : of all chains
    completion : the right one, a line a query
    answered : the model's; a query that has no line in it, or one with another number of hashes, is malformed

    Returns
    -------
    DataFrame with one row a query and hash asked: ``query``, ``hops`` of its chain, ``hop`` (which hash, from 1),
    ``is_last`` (whether it is the final hash), ``target``, ``answer``, ``kind`` (one of ``CLASSES``), ``right``.
    """
    import pandas as pd

    given = dict(line.split(" = ", 1) for line in answered.splitlines() if " = " in line)
    rows = []
    for line in filter(lambda line: " = " in line, completion.splitlines()):
        query, *targets = line.split(" = ")
        answers = given.get(query, "").split(" = ")
        whole = [*answers[:-1], answers[-1][1:-1]] if re.fullmatch("'.*'", answers[-1]) else answers
        fits = len(whole) == len(targets) and whole[-1] != answers[-1]
        way = walk(query, links)
        for n, target in enumerate(targets):
            hop = len(way) - len(targets) + n + 1
            answer = whole[n] if fits else given.get(query, "")
            kind = classify(answer, query, links, alphabet, hop) if fits else "malformed"
            rows.append((query, len(way), hop, hop == len(way), target.strip("'"), answer, kind, kind == "correct"))
    names = ["query", "hops", "hop", "is_last", "target", "answer", "kind", "right"]
    return pd.DataFrame(rows, columns=names)


def _check_choice(value: str, allowed: Mapping[str, object], where: str) -> None:
    if value not in allowed:
        raise ValueError(f"{where}: {value!r} is not allowed; allowed: {', '.join(allowed)}")
