from decimal import Decimal

import numpy as np
import pytest

from memorization.prompt_capacity.questions import (
    RULES,
    Question,
    exercises,
    judged,
    of_rows,
    result_of,
    rule_questions,
    rule_result,
)
from memorization.provenance import generator

TASK = {"name": "rule", "kind": "rule", "rule": "second", "numbers": 3, "digits": 2}


def rng(seed=0):
    return generator("test", seed, "questions")


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ("He has 3 left.\n#### 3", "3"),
        ("#### 1,234", "1234"),
        ("#### 1,234,567.25", "1234567.25"),
        ("#### $29.00", "29.00"),
        ("#### -7", "-7"),
        ("#### - 7", "7"),
        ("#### 0.5", "0.5"),
        ("#### 5.", "5"),
        ("#### 12, because", "12"),
        ("#### is 12 of 13", "12"),
        ("####8", "8"),
        ("#### 4 #### 5", "5"),
        ("#### 4 ####", None),
        ("#### ,", None),
        ("#### ,5", "5"),
        ("####", None),
        ("#### none", None),
        ("the answer is 5", None),
        ("### 5", None),
        ("", None),
    ],
)
def test_a_result_is_the_number_behind_the_last_mark(answer, result):
    assert result_of(answer) == (None if result is None else Decimal(result))


@pytest.mark.parametrize(
    ("said", "complies", "exact"),
    [
        ("so #### 29", True, True),
        ("#### $29.00", True, True),
        ("#### 29.000", True, True),
        ("#### 29.01", True, False),
        ("#### -29", True, False),
        ("29", False, False),
        ("#### ,", False, False),
    ],
)
def test_answers_are_compared_as_decimals_and_whether_they_comply_is_apart(said, complies, exact):
    assert judged(said, "2 + 27 = <<2+27=29>>29\n#### 29") == (complies, exact)


def test_numbers_too_large_for_floats_are_told_apart():
    assert not judged("#### 9007199254740993", "#### 9007199254740992")[1]
    assert judged("#### 9,007,199,254,740,993", "#### 9007199254740993")[1]
    assert judged("#### 0.30", "#### 0.3")[1]


@pytest.mark.parametrize(
    ("rule", "result"), [("first", 31), ("second", 7), ("last", 24), ("largest", 90), ("smallest", 7)]
)
def test_a_rule_makes_a_number_of_numbers(rule, result):
    assert rule in RULES
    assert rule_result(rule, [31, 7, 90, 24]) == result


def test_another_rule_is_one_line():
    with pytest.raises(ValueError, match=r"^rule: 'sum' is not one of first, second, last, largest, smallest$"):
        rule_result("sum", [1, 2])


@pytest.mark.parametrize("rule", RULES)
def test_questions_of_a_rule_are_different_ones_that_it_answers(rule):
    found = rule_questions(TASK | {"rule": rule}, 200, rng())
    assert len({each.question for each in found}) == 200
    for question, answer in found:
        numbers = [*map(int, question.split())]
        assert len(numbers) == 3
        assert all(10 <= number < 100 for number in numbers)
        assert answer == f"#### {rule_result(rule, numbers)}"
        assert rule not in question


def test_questions_are_of_their_stream():
    assert rule_questions(TASK, 9, rng()) == rule_questions(TASK, 9, rng())
    assert rule_questions(TASK, 9, rng()) != rule_questions(TASK, 9, rng(1))


def test_more_questions_than_a_fifth_of_those_that_there_are_are_one_line():
    small = TASK | {"numbers": 2, "digits": 1}
    assert len(rule_questions(small, 16, rng())) == 16
    with pytest.raises(ValueError, match=r"^17 questions of 2 numbers of 1 digits are too many$"):
        rule_questions(small, 17, rng())


def all_numbers(task, seeds, count):
    """The numbers of all questions, and those of all exercises, of many streams."""
    asked = {each.question for seed in seeds for each in rule_questions(task, count, rng(seed))}
    texts = {text for seed in seeds for text in exercises(task, 4 * count, rng(seed))}
    return asked, {" ".join(text.splitlines()[0].split()[2:]) for text in texts}


@pytest.mark.parametrize(("numbers", "digits", "count", "seeds"), [(2, 1, 16, 40), (3, 1, 140, 40), (2, 2, 1600, 10)])
def test_a_quarter_of_all_numbers_is_for_questions_and_the_others_for_exercises(numbers, digits, count, seeds):
    """Whatever the stream and the rule."""
    task = TASK | {"numbers": numbers, "digits": digits}
    asked, practised = all_numbers(task, range(seeds), count)
    there_are = (9 * 10 ** (digits - 1)) ** numbers
    assert not asked & practised
    assert len(asked) == pytest.approx(there_are / 4, rel=0.05)
    assert len(asked | practised) == there_are
    other = {each.question for each in rule_questions(task | {"rule": "largest"}, count, rng(99))}
    assert other < asked


def test_exercises_name_their_rules_and_are_right():
    found = exercises(TASK, 300, rng())
    rules = set()
    for text in found:
        question, answer = text.splitlines()
        rule, *numbers = question.removeprefix("question: ").split()
        rules.add(rule)
        assert question.startswith("question: ")
        assert answer == f"answer: #### {rule_result(rule, [*map(int, numbers)])}"
        assert text.endswith("\n")
    assert rules == {*RULES}


def test_rows_are_questions():
    rows = [{"question": "a?", "answer": "b\n#### 3", "more": 1}, {"question": "c?", "answer": "#### 1,000"}]
    assert of_rows(rows, "here") == [Question("a?", "b\n#### 3"), Question("c?", "#### 1,000")]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "a?"}, "here:1: has no question and answer, both texts"),
        ({"question": "a?", "answer": 3}, "here:1: has no question and answer, both texts"),
        ({"question": None, "answer": "#### 3"}, "here:1: has no question and answer, both texts"),
        (["a?", "#### 3"], "here:1: has no question and answer, both texts"),
        (3, "here:1: has no question and answer, both texts"),
        ({"question": "a?", "answer": "3"}, "here:1: its answer has no number behind ####; allowed: GSM8K's format"),
    ],
)
def test_a_row_that_is_no_question_is_one_line(row, message):
    with pytest.raises(ValueError, match=r"^here:1: ") as error:
        of_rows([{"question": "a?", "answer": "#### 3"}, row], "here")
    assert str(error.value) == message


def test_a_lone_number_is_as_good_as_a_whole_solution():
    assert np.array([judged("#### 7", "text\n#### 7"), judged("long text #### 7", "#### 7")]).all()
