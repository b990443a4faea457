"""What kind of text a token is: a digit, a letter, a piece of a word, an operator, punctuation, space."""

import unicodedata
from collections.abc import Sequence

import numpy as np

TYPES = ("digit", "letter", "word", "operator", "punctuation", "space", "other")
OPERATORS = set("+-*/=×÷−")
BRACKETS = set("<>")  # of a calculation in GSM8K, <<3*4=12>>: no comparison


def token_type(text: str) -> str:
    """The type of a token's text, one of ``TYPES``; space around it and WordPiece's ``##`` do not count.

    ``digit``: digits alone, one or more; ``letter``: a single letter; ``word``: longer, with a letter, a word or a
    piece of one; ``operator``: of + - * / = alone; ``punctuation``: other marks alone, the brackets < and > among them;
    ``space``: spaces and line ends alone; ``other``: the rest, such as currencies, and the empty text of padding.
    """
    if text and text.isspace():
        return "space"
    inner = text.strip().removeprefix("##") or text.strip()
    if not inner:
        return "other"
    if all("0" <= each <= "9" for each in inner):
        return "digit"
    if any(each.isalpha() for each in inner):
        return "letter" if len(inner) == 1 else "word"
    if set(inner) <= OPERATORS:
        return "operator"
    marks = all(unicodedata.category(each).startswith("P") or each in BRACKETS | OPERATORS for each in inner)
    return "punctuation" if marks else "other"


def type_codes(pieces: Sequence[str]) -> np.ndarray:
    """The place in ``TYPES`` of each token's type, from the texts of the tokens, (vocabulary,) int64."""
    return np.array([TYPES.index(token_type(text)) for text in pieces], np.int64)
