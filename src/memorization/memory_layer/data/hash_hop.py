"""Chains of hashes as a data set: samples for training, and sets of unseen chains for evaluation.

Imported when the Snakefile is read: nothing here may import torch or pandas.
"""

import math
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np

from memorization.configuration import ConfigurationError
from memorization.memory_layer.data.examples import examples
from memorization.memory_layer.data.names import DIGEST_LENGTH, check_strings
from memorization.memory_layer.hash_hop import ALPHABETS, DRAWS, HEADER, sample_of, verify

LABELS = ("final", "chain", "quoted")  # what of an answer is trained: see ``memorization.training.masking``
DIFFICULTIES = {"easy": 1, "medium": 2, "hard": 3, "challenge": 4}  # hops
WITH_CHAIN = "medium"  # asked with a chain of thought; the harder ones without
TRIES = 100  # samples that are drawn for one without a link of evaluation, at most, in the mean


def make(settings: Mapping, rng: np.random.Generator):
    """Examples in the splits train and eval.

    With ``context`` an example is a whole sample: its links, then the questions. Its hashes are all different, and no
    link of eval stands in training. Without, each link and each question is an example of its own, and no hash stands
    in two samples: the links of the chains of eval are trained and their questions are not, but for chains of one hop,
    whose question is their only link: of them nothing is trained.
    The sets of eval: the four of ``DIFFICULTIES``, medium with a chain of thought, hard and challenge without, easy as
    training has it; and each number of hops that training has, asked as in training, if it is none of these. Without
    context, of all of them those of as many hops as training has.
    The task's columns: ``kind`` (sample, link, question), ``hops``, ``chain_of_thought``, ``difficulty`` (or none),
    ``sample``, its number, and ``exact_chance``, of naming all hashes that an example is asked for by guessing: with
    context of those that the prompt has and no question before has taken, of all that there are without.

    Parameters
    ----------
    settings : ``num_samples`` for training, balanced over the list ``hops``; ``eval_samples`` of each set of eval;
        ``n_chains``, ``n_queries``, ``hash_length``, ``alphabet``, ``hashes``, ``chain_of_thought`` and ``context`` as
        ``make_sample`` takes them; ``labels``, one of ``LABELS``
    """
    plans, n_chains = _plans(settings), settings["n_chains"]
    shapes = [(n_chains, hops + 1) for _, _, hops, _ in plans]
    drawn = _unlike(shapes, plans, settings, rng) if settings["context"] else _different(shapes, settings, rng)
    lines, rows = _with_context if settings["context"] else _without_context, []
    for number, ((split, difficulty, hops, chain_of_thought), hashes) in enumerate(zip(plans, drawn, strict=True)):
        sample = sample_of(hashes.tolist(), chain_of_thought, settings["n_queries"], rng, settings["context"])
        verify(*sample, hops)
        of_task = {"hops": hops, "chain_of_thought": chain_of_thought, "difficulty": difficulty, "sample": number}
        for row in lines(*sample, split, hops, number):
            rows.append(row | _answer(row["text"], settings) | of_task)
            if row["kind"] == "link":
                rows[-1]["difficulty"] = "none"
    return examples({name: [row[name] for row in rows] for name in rows[0]} | {"bucket": 1})


def check(settings: Mapping, where: str) -> None:
    """Refuse what no sample can be, too few hashes, and labels that no link would have.

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
    counts = [n_chains * (hops + 1) for _, _, hops, _ in _plans(settings)]
    count = max(counts) if settings["context"] else sum(counts)
    check_strings(count, length, ALPHABETS[settings["alphabet"]], f"{where}: hashes")
    links = sum(n_chains * each for split, _, each, _ in _plans(settings) if split == "eval")
    there, trained = len(ALPHABETS[settings["alphabet"]]) ** (2 * length), n_chains * max(hops)
    if settings["context"] and (links >= there or trained * -math.log1p(-links / there) > math.log(TRIES)):
        most = math.floor(there * -math.expm1(-math.log(TRIES) / trained))
        raise ConfigurationError(
            f"{where}: {links} links in evaluation, of {there} that there are; allowed: {most}, so that {TRIES} "
            f"samples of {trained} links have one that can be trained"
        )


def characters(settings: Mapping) -> str:
    """All that may stand in a text, sorted."""
    header = HEADER.format("0123456789", "TrueFalse") if settings["context"] else ""
    return "".join(sorted({*ALPHABETS[settings["alphabet"]], *header, *" ='\n"}))


def masking(settings: Mapping) -> dict[str, str]:
    """The rule of ``memorization.training.masking`` by which tokens are answers, and its options."""
    return {"rule": "hash_hop", "labels": settings["labels"]}


def strings(table, settings: Mapping) -> list[str]:
    """The hashes of its texts, each once."""
    pattern = f"[{ALPHABETS[settings['alphabet']]}]{{{settings['hash_length']}}}"
    alone = re.compile(rf"(?<![A-Za-z0-9]){pattern}(?![A-Za-z0-9])")
    return list(dict.fromkeys(string for text in table["text"] for string in alone.findall(text)))


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


def _different(shapes: list[tuple[int, int]], settings: Mapping, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The hashes of each sample, none of which stands in two."""
    sizes = [chains * length for chains, length in shapes]
    drawn = _draw(sum(sizes), settings, rng)
    return (part.reshape(shape) for part, shape in zip(np.split(drawn, np.cumsum(sizes)[:-1]), shapes, strict=True))


def _unlike(
    shapes: list[tuple[int, int]], plans: list[tuple], settings: Mapping, rng: np.random.Generator
) -> list[np.ndarray]:
    """The hashes of each sample; no link of evaluation is trained."""
    evaluated: set[tuple[str, str]] = set()
    drawn: dict[int, np.ndarray] = {}
    for n in sorted(range(len(plans)), key=lambda n: plans[n][0] == "train"):
        is_train = plans[n][0] == "train"
        while n not in drawn or (is_train and not evaluated.isdisjoint(_links(drawn[n]))):
            drawn[n] = _draw(shapes[n][0] * shapes[n][1], settings, rng).reshape(shapes[n])
        evaluated |= set() if is_train else _links(drawn[n])
    return [drawn[n] for n in range(len(plans))]


def _links(hashes: np.ndarray) -> set[tuple[str, str]]:
    return {link for chain in hashes.tolist() for link in pairwise(chain)}


def _draw(count: int, settings: Mapping, rng: np.random.Generator) -> np.ndarray:
    return DRAWS[settings["hashes"]](count, settings["hash_length"], ALPHABETS[settings["alphabet"]], rng)


def _with_context(prompt: str, completion: str, targets: Mapping, split: str, hops: int, number: int) -> Iterator[dict]:
    copies, item = int(split == "train"), f"sample {number}"
    yield {"text": f"{prompt}\n{completion}", "split": split, "item": item, "copies": copies, "kind": "sample"}


def _without_context(
    prompt: str, completion: str, targets: Mapping, split: str, hops: int, number: int
) -> Iterator[dict]:
    questions = completion.splitlines()
    links = [line for line in prompt.splitlines() if line not in questions]
    if split == "train" or hops > 1:
        yield from (_line(link, "train", "link") for link in links)
    yield from (_line(question, split, "question") for question in questions)


def _line(line: str, split: str, kind: str) -> dict:
    return {"text": f"{line}\n", "split": split, "item": line, "copies": int(split == "train"), "kind": kind}


def _answer(text: str, settings: Mapping) -> dict[str, float]:
    """From the first hash that is trained to the last one, and what guessing them does.

    A chain is asked for once, and the answers before stand in the text: who only leaves these out guesses among fewer.
    """
    begin = text.rfind("COMPLETION:") if settings["context"] else 0
    symbols, length, n_chains = len(ALPHABETS[settings["alphabet"]]), settings["hash_length"], settings["n_chains"]
    found, candidates = [], []
    for question, line in enumerate(re.finditer(r".+ = .+", text[begin:])):
        hashes = [match.span(1) for match in re.finditer(r" = '?(\w+)", line[0])]
        wanted = hashes if settings["labels"] == "chain" else hashes[-1:]
        found += [(begin + line.start() + start, begin + line.start() + end) for start, end in wanted]
        left = n_chains - question
        candidates += [left * (len(hashes) - 1)] * (len(wanted) - 1) + [left]
    guessed = 1 / np.array(candidates) if settings["context"] else np.zeros(len(found))
    return {
        "answer_start": found[0][0],
        "answer_end": found[-1][1],
        "chance": float(np.mean(guessed + (1 - guessed) / symbols)),
        "prior_bits": len(found) * length * math.log2(symbols),
        "exact_chance": float(np.prod(guessed)) if settings["context"] else float(symbols) ** (-length * len(found)),
    }
