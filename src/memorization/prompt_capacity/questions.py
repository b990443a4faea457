"""Questions with an answer behind ``####``, as GSM8K's (Cobbe et al., 2110.14168), and a rule task in that format."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from typing import NamedTuple

import numpy as np

MARK = "####"
NUMBER = re.compile(r"-?\d[\d,]*(\.\d+)?")
RULES = ("first", "second", "last", "largest", "smallest")


class Question(NamedTuple):
    """A question and its answer, which ends with its result behind ``####``."""

    question: str
    answer: str


def result_of(answer: str) -> Decimal | None:
    """The number behind the last ``####`` of an answer; None where there is none.

    It is the first number there, ``-?\\d[\\d,]*(\\.\\d+)?``, without commas: ``#### $1,234.50`` is 1234.50.
    """
    _, mark, after = answer.rpartition(MARK)
    found = NUMBER.search(after) if mark else None
    return Decimal(found.group().replace(",", "")) if found else None


def judged(answer: str, right: str) -> tuple[bool, bool]:
    """Whether an answer complies, that is, has a number behind ``####``; and whether the number is right."""
    result = result_of(answer)
    return result is not None, result is not None and result == result_of(right)


def rule_result(rule: str, numbers: Sequence[int]) -> int:
    """What a rule makes of some numbers.

    Raises
    ------
    ValueError
        If the rule is unknown.
    """
    rules = {
        "first": lambda: numbers[0],
        "second": lambda: numbers[1],
        "last": lambda: numbers[-1],
        "largest": lambda: max(numbers),
        "smallest": lambda: min(numbers),
    }
    if rule not in rules:
        raise ValueError(f"rule: {rule!r} is not one of {', '.join(RULES)}")
    return rules[rule]()


def rule_questions(task: Mapping, count: int, rng: np.random.Generator) -> list[Question]:
    """Different questions of a rule that they do not name, the numbers alone, of which no exercise is.

    Parameters
    ----------
    task : ``rule``, ``numbers`` of a question, ``digits`` of a number
    count : of questions
    rng : of the numbers

    Raises
    ------
    ValueError
        If there are fewer different ones.
    """
    low, high = 10 ** (task["digits"] - 1), 10 ** task["digits"]
    if (high - low) ** task["numbers"] < 5 * count:  # a quarter is apart
        raise ValueError(f"{count} questions of {task['numbers']} numbers of {task['digits']} digits are too many")
    found: dict[tuple[int, ...], Question] = {}
    while len(found) < count:
        numbers = _numbers(low, high, task["numbers"], rng, True)
        found[numbers] = Question(" ".join(map(str, numbers)), f"{MARK} {rule_result(task['rule'], numbers)}")
    return list(found.values())


def _numbers(low: int, high: int, count: int, rng: np.random.Generator, is_question: bool) -> tuple[int, ...]:
    """Numbers of a question, which a quarter of all are for, or of an exercise."""
    while True:
        numbers = tuple(rng.integers(low, high, size=count).tolist())
        if (sha256(str(numbers).encode()).digest()[0] < 64) == is_question:
            return numbers


def exercises(task: Mapping, count: int, rng: np.random.Generator) -> list[str]:
    """Texts that teach a base model all rules by their names: what a prompt may call on.

    Parameters
    ----------
    task : as in ``rule_questions``; its rule does not matter
    """
    low, high = 10 ** (task["digits"] - 1), 10 ** task["digits"]
    found = []
    for _ in range(count):
        numbers = _numbers(low, high, task["numbers"], rng, False)
        rule = RULES[rng.integers(len(RULES))]
        question = f"{rule} {' '.join(map(str, numbers))}"
        found.append(f"question: {question}\nanswer: {MARK} {rule_result(rule, numbers)}\n")
    return found


def of_rows(rows: Sequence[Mapping], where: str) -> list[Question]:
    """Questions of rows with ``question`` and ``answer``.

    Raises
    ------
    ValueError
        If a row has not both, as texts, or its answer has no number behind ``####``; one line with its number.
    """
    found = []
    for number, row in enumerate(rows):
        question, answer = (row.get(key) if isinstance(row, Mapping) else None for key in Question._fields)
        if not isinstance(question, str) or not isinstance(answer, str):
            raise ValueError(f"{where}:{number}: has no question and answer, both texts")
        if result_of(answer) is None:
            raise ValueError(f"{where}:{number}: its answer has no number behind {MARK}; allowed: GSM8K's format")
        found.append(Question(question, answer))
    return found
