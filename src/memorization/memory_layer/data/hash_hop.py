"""Chains of hashes as a data set: samples for training, and sets of unseen chains for evaluation.

Imported when the Snakefile is read: nothing here may import torch or pandas.
"""

import math
import re
from collections.abc import Iterator, Mapping

import numpy as np

from memorization.configuration import ConfigurationError
from memorization.memory_layer.data.examples import examples
from memorization.memory_layer.data.names import DIGEST_LENGTH, check_strings
from memorization.memory_layer.hash_hop import ALPHABETS, DRAWS, HEADER, sample_of, verify

LABELS = ("final", "chain", "quoted")  # what of an answer is trained: see ``memorization.training.masking``
DIFFICULTIES = {"easy": 1, "medium": 2, "hard": 3, "challenge": 4}  # hops
WITH_CHAIN = "medium"  # asked with a chain of thought; the harder ones without


def make(settings: Mapping, rng: np.random.Generator):
    """Examples in the splits train and eval; no hash stands in two samples.

    With ``context`` an example is a whole sample: its links, then the questions. Without, each link and each question
    is an example of its own: the links of the chains of eval are trained and their questions are not, but for chains of
    one hop, whose question is their only link: of them nothing is trained.
    The sets of eval: the four of ``DIFFICULTIES``, medium with a chain of thought, hard and challenge without, easy as
    training has it; and each number of hops that training has, asked as in training, if it is none of these. Without
    context, of all of them those of as many hops as training has.
    The task's columns: ``kind`` (sample, link, question), ``hops``, ``chain_of_thought``, ``difficulty`` (or none),
    ``sample``, its number, and ``exact_chance``, of naming a final hash by guessing: of the prompt's with context, of
    all that there are without.

    Parameters
    ----------
    settings : ``num_samples`` for training, balanced over the list ``hops``; ``eval_samples`` of each set of eval;
        ``n_chains``, ``n_queries``, ``hash_length``, ``alphabet``, ``hashes``, ``chain_of_thought`` and ``context`` as
        ``make_sample`` takes them; ``labels``, one of ``LABELS``
    """
    plans, n_chains = _plans(settings), settings["n_chains"]
    sizes = [n_chains * (hops + 1) for _, _, hops, _ in plans]
    draw, alphabet = DRAWS[settings["hashes"]], ALPHABETS[settings["alphabet"]]
    drawn = np.split(draw(sum(sizes), settings["hash_length"], alphabet, rng), np.cumsum(sizes)[:-1])
    lines, rows = _with_context if settings["context"] else _without_context, []
    for number, ((split, difficulty, hops, chain_of_thought), hashes) in enumerate(zip(plans, drawn, strict=True)):
        chains = hashes.reshape(n_chains, hops + 1).tolist()
        sample = sample_of(chains, chain_of_thought, settings["n_queries"], rng, settings["context"])
        verify(*sample, hops)
        of_task = {"hops": hops, "chain_of_thought": chain_of_thought, "difficulty": difficulty, "sample": number}
        for row in lines(*sample, split, hops):
            rows.append(row | _answer(row["text"], settings) | of_task)
            if row["kind"] == "link":
                rows[-1]["difficulty"] = "none"
    return examples({name: [row[name] for row in rows] for name in rows[0]} | {"bucket": 1})


def check(settings: Mapping, where: str) -> None:
    """Refuse what no sample can be, too few hashes for all samples, and labels that no link would have.

    Raises
    ------
    ConfigurationError
    """
    for key, allowed in (("alphabet", ALPHABETS), ("hashes", DRAWS), ("labels", LABELS)):
        if settings[key] not in allowed:
            raise ConfigurationError(f"{where}.{key}: {settings[key]!r} is not allowed; allowed: {', '.join(allowed)}")
    n_chains, hops, length = settings["n_chains"], settings["hops"], settings["hash_length"]
    if not 1 <= settings["n_queries"] <= n_chains:
        raise ConfigurationError(f"{where}.n_queries: {settings['n_queries']}; allowed: 1 to n_chains, {n_chains}")
    if not hops or min(hops) < 1 or len(set(hops)) < len(hops):
        raise ConfigurationError(f"{where}.hops: {hops}; allowed: different numbers of 1 or more")
    if settings["num_samples"] < len(hops):
        raise ConfigurationError(
            f"{where}.num_samples: {settings['num_samples']}; allowed: one for each of hops, {hops}"
        )
    if settings["labels"] == "quoted" and not settings["context"] and max(hops) > 1:
        raise ConfigurationError(
            f"{where}.labels: quoted, but without context links of more than one hop have no quotes and would not be "
            "trained; allowed: final, chain"
        )
    if settings["hashes"] == "digest" and length > DIGEST_LENGTH:
        raise ConfigurationError(f"{where}.hash_length: {length}; allowed of a digest: 1 to {DIGEST_LENGTH}")
    count = sum(n_chains * (hops + 1) for _, _, hops, _ in _plans(settings))
    check_strings(count, length, ALPHABETS[settings["alphabet"]], f"{where}: hashes")


def characters(settings: Mapping) -> str:
    """All that may stand in a text, sorted."""
    header = HEADER.format("0123456789", "TrueFalse") if settings["context"] else ""
    return "".join(sorted({*ALPHABETS[settings["alphabet"]], *header, *" ='\n"}))


def _plans(settings: Mapping) -> list[tuple[str, str, int, bool]]:
    """Of each sample the split, the difficulty, the hops and whether it has a chain of thought."""
    trained, mix = settings["chain_of_thought"], settings["hops"]
    sets = {}  # of one hop a chain of thought is the answer itself: asked as in training
    for name, hops in DIFFICULTIES.items():
        sets[hops, trained if hops == 1 else name == WITH_CHAIN] = name
    for hops in mix:
        sets.setdefault((hops, trained), "none")
    if not settings["context"]:  # a question of so many hops is never seen
        sets = {key: name for key, name in sets.items() if key[0] in mix}
    plans = [("train", "none", mix[n % len(mix)], trained) for n in range(settings["num_samples"])]
    for (hops, chain_of_thought), name in sets.items():
        plans += [("eval", name, hops, chain_of_thought)] * settings["eval_samples"]
    return plans


def _with_context(prompt: str, completion: str, targets: Mapping, split: str, hops: int) -> Iterator[dict]:
    copies = int(split == "train")
    item = next(iter(targets))
    yield {"text": f"{prompt}\n{completion}", "split": split, "item": item, "copies": copies, "kind": "sample"}


def _without_context(prompt: str, completion: str, targets: Mapping, split: str, hops: int) -> Iterator[dict]:
    questions = completion.splitlines()
    links = [line for line in prompt.splitlines() if line not in questions]
    if split == "train" or hops > 1:
        yield from (_line(link, "train", "link") for link in links)
    yield from (_line(question, split, "question") for question in questions)


def _line(line: str, split: str, kind: str) -> dict:
    return {"text": f"{line}\n", "split": split, "item": line, "copies": int(split == "train"), "kind": kind}


def _answer(text: str, settings: Mapping) -> dict[str, float]:
    """From the first hash that is trained to the last one, and what guessing them does."""
    begin = text.rfind("COMPLETION:") if settings["context"] else 0
    symbols, length, n_chains = len(ALPHABETS[settings["alphabet"]]), settings["hash_length"], settings["n_chains"]
    found, candidates = [], []
    for line in re.finditer(r".+ = .+", text[begin:]):
        hashes = [match.span(1) for match in re.finditer(r" = '?(\w+)", line[0])]
        wanted = hashes if settings["labels"] == "chain" else hashes[-1:]
        found += [(begin + line.start() + start, begin + line.start() + end) for start, end in wanted]
        candidates += [n_chains * (len(hashes) - 1)] * (len(wanted) - 1) + [n_chains]
    guessed = 1 / np.array(candidates) if settings["context"] else np.zeros(len(found))
    return {
        "answer_start": found[0][0],
        "answer_end": found[-1][1],
        "chance": float(np.mean(guessed + (1 - guessed) / symbols)),
        "prior_bits": len(found) * length * math.log2(symbols),
        "exact_chance": 1 / n_chains if settings["context"] else symbols**-length,
    }
