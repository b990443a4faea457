"""Arithmetic word problems of our own, in the format of GSM8K (Cobbe et al. 2021, arXiv 2110.14168).

An answer says each calculation as ``<<3*4=12>>12``, and its last line is ``#### 12``.
Imported when the Snakefile is read: nothing here may import torch or pandas.
"""

import ast
import operator
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.floordiv}
VERIFIED = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
NAMES = ("Ana", "Ben", "Carla", "Deniz", "Emil", "Farah", "Goran", "Hana", "Ivo", "Jun", "Kofi", "Lena")
THINGS = ("apples", "books", "candles", "cards", "clips", "eggs", "marbles", "pencils", "shells", "stamps")


@dataclass(frozen=True)
class Template:
    """One kind of problem.

    Attributes
    ----------
    question : with ``{who}``, ``{things}`` and numbers in braces
    numbers : drawn uniformly, by name: the lowest and the highest
    steps : each the name of its result, the calculation ("left operator right") and its line, with ``{}`` in its place
    before : calculations as in steps whose results the question tells, so that a division leaves no rest
    """

    question: str
    numbers: Mapping[str, tuple[int, int]]
    steps: tuple[tuple[str, str, str], ...]
    before: Mapping[str, str]


TEMPLATES = {
    "twice_as_many": Template(
        "{who} sold {a} {things} in April and {b} times as many in May. How many {things} did {who} sell in all?",
        {"a": (12, 99), "b": (2, 9)},
        (
            ("c", "a * b", "In May {who} sold {} {things}."),
            ("d", "a + c", "In both months {who} sold {} {things}."),
        ),
        {},
    ),
    "half_as_many": Template(
        "{who} sold {a} {things} in April and half as many in May. How many {things} did {who} sell in all?",
        {"half": (6, 450), "two": (2, 2)},
        (
            ("c", "a / two", "In May {who} sold {} {things}."),
            ("d", "a + c", "In both months {who} sold {} {things}."),
        ),
        {"a": "half * two"},
    ),
    "given_away": Template(
        "{who} has {a} boxes of {b} {things} each and gives {c} of them away. How many {things} are left?",
        {"a": (5, 20), "b": (6, 25), "c": (2, 29)},
        (
            ("d", "a * b", "In the boxes there are {} {things}."),
            ("e", "d - c", "There are {} {things} left."),
        ),
        {},
    ),
    "change": Template(
        "{who} buys {a} {things} for ${b} each and {c} bags for ${d} each, and pays with ${e}. How much is the change?",
        {"a": (2, 12), "b": (2, 9), "c": (2, 9), "d": (3, 12), "e": (220, 500)},
        (
            ("f", "a * b", "The {things} cost ${}."),
            ("g", "c * d", "The bags cost ${}."),
            ("h", "f + g", "Together they cost ${}."),
            ("i", "e - h", "The change is ${}."),
        ),
        {},
    ),
    "reading": Template(
        "{who} reads {a} pages on each of {b} days and {c} pages on each of the {d} days after. How many is that?",
        {"a": (11, 60), "b": (2, 9), "c": (11, 60), "d": (2, 9)},
        (
            ("e", "a * b", "On the first days {who} reads {} pages."),
            ("f", "c * d", "On the days after {who} reads {} pages."),
            ("g", "e + f", "All together that is {} pages."),
        ),
        {},
    ),
    "sharing": Template(
        "{who} has {a} {things} and finds {b} more. Then {who} shares all of them equally among {c} friends. "
        "How many {things} does each friend get?",
        {"c": (3, 12), "each": (11, 40), "b": (2, 30)},
        (
            ("d", "a + b", "{who} has {} {things}."),
            ("e", "d / c", "Each friend gets {} {things}."),
        ),
        {"all": "c * each", "a": "all - b"},
    ),
    "saving": Template(
        "{who} saves ${a} a week for {b} weeks, gets ${c} from each of {d} aunts and spends ${e}. How much is left?",
        {"a": (6, 30), "b": (4, 20), "c": (10, 50), "d": (2, 6), "e": (5, 43)},
        (
            ("f", "a * b", "{who} saves ${}."),
            ("g", "c * d", "The aunts give ${}."),
            ("h", "f + g", "Together that is ${}."),
            ("i", "h - e", "There are ${} left."),
        ),
        {},
    ),
    "speed": Template(
        "{who} rides {a} km an hour for {b} hours, rests, and rides {c} km more to the sea. On the way back {who} "
        "needs {d} hours for the same distance. How many km an hour is that?",
        {"a": (12, 40), "d": (2, 8), "each": (21, 30), "b": (2, 4)},
        (
            ("e", "a * b", "Before the rest {who} rides {} km."),
            ("f", "e + c", "To the sea it is {} km."),
            ("g", "f / d", "On the way back {who} rides {} km an hour."),
        ),
        {"all": "d * each", "first": "a * b", "c": "all - first"},
    ),
}


def problems(rng: np.random.Generator) -> Iterator[dict[str, object]]:
    """Problems without end, of all templates alike.

    Yields
    ------
    ``question``, ``answer``, ``template`` and ``steps``, how many calculations there are.
    """
    names = list(TEMPLATES)
    while True:
        name = names[rng.integers(len(names))]
        template = TEMPLATES[name]
        words = {"who": NAMES[rng.integers(len(NAMES))], "things": THINGS[rng.integers(len(THINGS))]}
        numbers = {key: int(rng.integers(low, high + 1)) for key, (low, high) in template.numbers.items()}
        for result, calculation in template.before.items():
            numbers[result] = _calculate(calculation, numbers)[1]
        if min(numbers.values()) < 2:
            continue
        question, lines = template.question.format(**words, **numbers), []
        for result, calculation, line in template.steps:
            told, numbers[result] = _calculate(calculation, numbers)
            lines.append(line.format(f"{told} = <<{told}={numbers[result]}>>{numbers[result]}", **words))
        answer = "\n".join([*lines, f"#### {numbers[template.steps[-1][0]]}"])
        verify(answer)
        yield {"question": question, "answer": answer, "template": name, "steps": len(lines)}


def verify(answer: str) -> None:
    """Assert that every calculation of an answer is right, and that its last line says the last result.

    Raises
    ------
    ValueError
        One line that names the calculation.
    """
    found = re.findall(r"<<([^=<>]+)=([^=<>]+)>>", answer)
    for calculation, result in found:
        if _value(ast.parse(calculation, mode="eval").body) != Fraction(result):
            raise ValueError(f"{calculation}={result}: wrong arithmetic")
    last = answer.rsplit("\n", 1)[-1]
    if not found or last != f"#### {found[-1][1]}":
        raise ValueError(f"{last!r}: does not say the result of the last calculation")


def letters() -> str:
    """All that may stand in a question or an answer, sorted."""
    texts = "".join([*NAMES, *THINGS, "0123456789+-*/=<>#\n "])
    for template in TEMPLATES.values():
        texts += template.question + "".join(line for _, _, line in template.steps)
    return "".join(sorted(set(texts) - set("{}")))


def _calculate(calculation: str, numbers: Mapping[str, int]) -> tuple[str, int]:
    """A calculation told in numbers, and its result."""
    left, sign, right = calculation.split()
    return f"{numbers[left]}{sign}{numbers[right]}", OPERATORS[sign](numbers[left], numbers[right])


def _value(node: ast.expr) -> Fraction:
    """What a calculation gives, by Python's own reading of it, exactly."""
    if isinstance(node, ast.BinOp):
        return VERIFIED[type(node.op)](_value(node.left), _value(node.right))
    return Fraction(str(node.value))
