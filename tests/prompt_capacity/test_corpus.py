import re

import numpy as np
import pytest

from memorization.data.byte_pairs import BytePairs
from memorization.data.texts import Document
from memorization.prompt_capacity import corpus as module
from memorization.prompt_capacity.corpus import END, corpus
from memorization.prompt_capacity.questions import rule_questions
from memorization.provenance import generator

TASK = {"name": "rule", "kind": "rule", "rule": "second", "numbers": 3, "digits": 2}
SETTINGS = {
    "name": "small", "data_types": ["code"], "vocabulary": 280, "held_out": 0.25, "tokens": 1200, "row_length": 30,
    "task": TASK, "exercises": 0.25,
}  # fmt: skip
WORDS = ["amber", "birch", "coral", "delta", "ember"]
NAMES = [f"document{n}" for n in range(24)]


@pytest.fixture(autouse=True)
def of_words(monkeypatch):
    """24 documents, each of 60 words in an order of its own, which no other has."""
    texts = []
    for n, name in enumerate(NAMES):
        rng = generator("test", n, "document")
        texts.append(name + "".join(f" {WORDS[rng.integers(5)]}" for _ in range(60)))
    found = [Document(name, "code", text, name) for name, text in zip(NAMES, texts, strict=True)]
    asked = []
    monkeypatch.setattr(module, "documents", lambda kinds: asked.append(kinds) or found)
    return {"texts": texts, "asked": asked}


def texts_of(made):
    """Of training, the text of each row, and held out, of each document."""
    pairs = BytePairs(made.tokenizer)
    return pairs.decode(made.rows.tolist()), pairs.decode(made.held_out)


def test_rows_are_as_many_as_the_tokens_fill_and_so_many_of_exercises(of_words):
    made = corpus(SETTINGS)
    assert of_words["asked"] == [["code"]]
    assert made.rows.shape == (40, 30)
    assert made.rows.dtype == np.int32
    assert made.rows.max() < 280
    of_text = [any(word in text for word in WORDS) for text in texts_of(made)[0]]
    assert of_text.count(False) == 10
    assert not any("##" in text for text, is_text in zip(texts_of(made)[0], of_text, strict=True) if is_text)
    places = np.flatnonzero(of_text)
    assert places[0] < 10  # mixed
    assert places[-1] > 30
    assert BytePairs(made.tokenizer).vocabulary == 280


def test_what_is_held_out_is_a_share_of_whole_documents_that_no_row_has(of_words):
    made = corpus(SETTINGS)
    rows, held_out = texts_of(made)
    assert len(held_out) == 6
    assert {*held_out} <= {*of_words["texts"]}
    every = "".join(rows)
    for text in held_out:
        assert text[len("document00") : len("document00") + 40] not in every
    assert all(END not in document for document in made.held_out)


def test_texts_are_apart_by_the_end_token():
    made = corpus(SETTINGS | {"task": None})
    parts = [part for text in texts_of(made)[0] for part in text.split("<|endoftext|>")[1:]]
    assert int((made.rows == END).sum()) == len(parts) > 5
    assert all(part.startswith("document"[: len(part)]) for part in parts)


def test_without_a_task_there_are_no_exercises():
    made = corpus(SETTINGS | {"task": None})
    assert made.rows.shape == (40, 30)
    assert not any("####" in text for text in texts_of(made)[0])


def test_no_base_model_reads_the_numbers_of_a_question():
    """Of 81 pairs of numbers all that exercises may have are in the rows, and none of those that questions have."""
    task = TASK | {"numbers": 2, "digits": 1}
    questions = {each.question for seed in range(40) for each in rule_questions(task, 16, generator("test", seed, "q"))}
    made = corpus(SETTINGS | {"task": task, "tokens": 40000, "exercises": 0.9})
    read = {found for text in texts_of(made)[0] for found in re.findall(r"question: \w+ (\d \d)\n", text)}
    assert len(questions) == 21
    assert len(read) == 60
    assert not questions & read


def test_no_share_of_exercises_is_as_no_task():
    one, other = corpus(SETTINGS | {"exercises": 0}), corpus(SETTINGS | {"task": None})
    np.testing.assert_array_equal(one.rows, other.rows)


def test_a_data_set_is_the_same_whenever_it_is_made_and_another_one_is_another():
    one, again, other = corpus(SETTINGS), corpus(SETTINGS), corpus(SETTINGS | {"name": "other"})
    np.testing.assert_array_equal(one.rows, again.rows)
    assert one.tokenizer == again.tokenizer
    assert [each.tolist() for each in one.held_out] == [each.tolist() for each in again.held_out]
    assert one.rows.tolist() != other.rows.tolist()


def test_less_text_than_tokens_is_one_line():
    with pytest.raises(ValueError, match=r"^tokens: 9000, but the documents of training have \d+ of 6750; ") as error:
        corpus(SETTINGS | {"tokens": 9000})
    assert "\n" not in str(error.value)
    assert "allowed: fewer, or more data_types" in str(error.value)
