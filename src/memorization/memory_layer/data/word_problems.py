"""Arithmetic word problems as text: our own, or those of a file in the format of GSM8K.

Imported when the Snakefile is read: nothing here may import torch or pandas.
"""

import json
import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from memorization.configuration import ConfigurationError
from memorization.memory_layer.data import arithmetic
from memorization.memory_layer.data.examples import examples, held_out

TRIED = 1000  # problems of our own, none of which is short enough: then none is


def make(settings: Mapping, rng: np.random.Generator):
    """Examples of ``count`` problems with different questions, in the splits train and val.

    A text is the question, a line's end, the answer and a line's end; what is answered is the whole answer.
    The task's columns: ``template``, empty for those of a file, and ``steps``, the calculations of the answer.
    How many were left out, as their text is longer than ``max_length``, is printed, and is the table's attribute
    (``table.attrs``) ``left_out``.

    Parameters
    ----------
    settings : ``count``; ``val``, a share; ``max_length``, in characters; if not our own, ``path`` of JSON lines with
        ``question`` and ``answer``

    Raises
    ------
    ValueError
        If a line of the file is no problem, or there are fewer than ``count``.
    """
    path, most, count = settings.get("path"), settings["max_length"], settings["count"]
    chosen, left_out = _of_file(path, most, count, rng) if path else _own(most, count, rng)
    print(f"{left_out} problems of more than {most} characters were left out", file=sys.stderr)
    texts = [_text(problem) for problem in chosen]
    val = held_out(count, settings["val"])
    split = np.repeat(["val", "train"], [val, count - val])
    table = examples(
        {
            "text": texts,
            "answer_start": [len(problem["question"]) + 1 for problem in chosen],
            "answer_end": [len(text) - 1 for text in texts],
            "split": split,
            "item": [problem["item"] for problem in chosen],
            "copies": np.where(split == "train", 1, 0),
            "bucket": 1,
            "chance": np.nan,
            "prior_bits": np.nan,
            "template": [problem["template"] for problem in chosen],
            "steps": [problem["steps"] for problem in chosen],
        }
    )
    table.attrs["left_out"] = left_out
    return table


def check(settings: Mapping, where: str) -> None:
    """Refuse a file that is not there, and a share that leaves nothing to train or to validate.

    Raises
    ------
    ConfigurationError
    """
    path, count = settings.get("path"), settings["count"]
    if path and not Path(path).is_file():
        raise ConfigurationError(f"{where}.path: there is no file {path}; allowed: JSON lines with question and answer")
    if not 0 < held_out(count, settings["val"]) < count:
        raise ConfigurationError(
            f"{where}.val: {settings['val']} of {count} problems; allowed: a share that leaves some to train and some "
            "to validate"
        )


def characters(settings: Mapping) -> str:
    """All that may stand in a text, sorted: of a file, all that stands in its problems of ``max_length`` or less."""
    path = settings.get("path")
    if not path:
        return arithmetic.letters()
    texts = map(_text, read_problems(path))
    return "".join(sorted(set().union(*(text for text in texts if len(text) <= settings["max_length"]))))


def masking(settings: Mapping) -> dict[str, str]:
    """The rule of ``memorization.training.masking`` by which tokens are answers, and its options."""
    return {"rule": "span"}


def read_problems(path: str) -> list[dict[str, object]]:
    """The problems of a file of JSON lines that have ``question`` and ``answer``; other keys are passed over.

    Returns
    -------
    For each ``question``, ``answer``, ``item`` (its line), ``template`` ("") and ``steps``. Of equal questions only
    the first.

    Raises
    ------
    ValueError
        One line that names the line of the file.
    """
    problems: dict[str, dict[str, object]] = {}
    for number, line in enumerate(Path(path).read_bytes().splitlines(), 1):
        try:
            problem = json.loads(line.decode("utf-8"))
            question, answer = problem["question"], problem["answer"]
            (question + answer).encode("utf-8")  # no text, or half of a surrogate pair
            why = "" if question and answer else "an empty question or answer"
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if why:
            raise ValueError(
                f"{path}: line {number} is no problem ({why}); allowed: a JSON object with question and answer, texts"
            )
        steps = {"item": f"line {number}", "template": "", "steps": answer.count("<<")}
        problems.setdefault(question, {"question": question, "answer": answer} | steps)
    return list(problems.values())


def _of_file(path: str, most: int, count: int, rng: np.random.Generator) -> tuple[list[dict], int]:
    """``count`` random problems of a file, and how many of all are too long."""
    problems = read_problems(path)
    short = [problem for problem in problems if len(_text(problem)) <= most]
    if len(short) < count:
        raise ValueError(
            f"{path}: {len(short)} problems have at most {most} characters; allowed: that count or less, not {count}"
        )
    return [short[n] for n in rng.permutation(len(short))[:count]], len(problems) - len(short)


def _own(most: int, count: int, rng: np.random.Generator) -> tuple[list[dict], int]:
    """``count`` problems of our own, and how many were drawn that are too long."""
    chosen: dict[str, dict] = {}
    left_out = 0
    drawn = arithmetic.problems(rng)
    while len(chosen) < count:
        before = len(chosen)
        for problem in islice(drawn, TRIED):
            if len(_text(problem)) > most:
                left_out += 1
            elif problem["question"] not in chosen:
                chosen[problem["question"]] = problem | {"item": f"problem {len(chosen)}"}
            if len(chosen) == count:
                break
        if len(chosen) == before:
            raise ValueError(f"max_length: of {TRIED} problems none is new and has at most {most} characters")
    return list(chosen.values()), left_out


def _text(problem: Mapping[str, object]) -> str:
    return f"{problem['question']}\n{problem['answer']}\n"
