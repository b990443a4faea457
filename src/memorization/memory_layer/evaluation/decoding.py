"""What a model answers by itself: greedily, each token given its own ones before."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch

from memorization.memory_layer.model import answer_logits
from memorization.memory_layer.training import ANSWERS, TEXTS, Facts
from memorization.models.decoder import Decoder


def given_answers(model: Decoder, facts: Facts, tokens: pd.DataFrame, questions: Sequence[int]) -> pd.Series:
    """Of each row the tokens that a model gives at the places of its answer.

    Each question of a row is answered greedily: what is not part of its answer, the earlier questions and their
    answers too, stands as in the text. A row whose tokens are all the likeliest given the true ones is answered right.

    Parameters
    ----------
    tokens : ``tables.by_token`` of the rows
    questions : of each row of the data set, how many it asks; their answers have equally many runs of tokens
    """
    given = tokens.groupby("row")["target"].agg(list)
    wrong = given.index[~tokens.groupby("row")["right"].all()]
    asked = [(row, question) for row in wrong for question in places_of(facts, row, questions[row])]
    answered = greedy(model, facts, asked)
    for row in wrong:
        given[row] = []
    for (row, _), answer in zip(asked, answered, strict=True):
        given[row] = given[row] + answer.tolist()
    return given.map(tuple)


def places_of(facts: Facts, row: int, questions: int) -> list[np.ndarray]:
    """The places of the answers' tokens in a row, for each question."""
    runs = runs_of(np.flatnonzero(facts.labels[row].numpy()))
    size = len(runs) // questions
    return [np.concatenate(runs[first : first + size]) for first in range(0, len(runs), size)]


def runs_of(places: np.ndarray) -> list[np.ndarray]:
    """Ascending places in runs without a gap."""
    return np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)


@torch.no_grad()
def greedy(model: Decoder, facts: Facts, asked: Sequence[tuple[int, np.ndarray]]) -> list[np.ndarray]:
    """The likeliest token at each of some places of a row, given the row before them and the model's own ones.

    Parameters
    ----------
    asked : rows, and of each the places, ascending; a row may stand there often
    """
    model.eval()
    return [answer for part in _parts(asked, facts) for answer in _greedy(model, facts, part)]


def _greedy(model: Decoder, facts: Facts, asked: Sequence[tuple[int, np.ndarray]]) -> list[np.ndarray]:
    columns = [places for _, places in asked]
    tokens = facts.tokens[[row for row, _ in asked]]
    for n in range(max(map(len, columns))):
        those = np.flatnonzero([len(places) > n for places in columns])
        place = torch.tensor([columns[k][n] for k in those])
        text = tokens[those, : int(place.max()) + 1].to(facts.device)
        rows = torch.arange(len(those), device=facts.device)
        here = place.to(facts.device)
        logits, _ = answer_logits(model, text, rows, here, here)
        tokens[those, place] = logits.argmax(dim=-1).cpu()
    return [tokens[k, places].numpy() for k, places in enumerate(columns)]


def _parts(asked: Sequence, facts: Facts) -> Iterator[Sequence]:
    most = max(1, TEXTS * ANSWERS // facts.length)
    yield from (asked[first : first + most] for first in range(0, len(asked), most))
