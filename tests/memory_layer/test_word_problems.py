import json
import re
from collections import Counter
from itertools import islice

import pytest

from memorization.configuration import ConfigurationError
from memorization.memory_layer.data import arithmetic, word_problems
from memorization.provenance import generator

SETTINGS = {"count": 120, "val": 0.1, "max_length": 500}
NATALIA = {
    "question": "Natalia sold clips to 48 friends in April, and half as many in May. How many clips did she sell?",
    "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nShe sold 48+24 = <<48+24=72>>72 clips.\n#### 72",
}


def made(seed=0, **change):
    return word_problems.make(SETTINGS | change, generator("test", seed, "problems"))


def jsonl(tmp_path, *problems):
    path = tmp_path / "problems.jsonl"
    lines = [each if isinstance(each, bytes) else json.dumps(each, ensure_ascii=False).encode() for each in problems]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return str(path)


def numbered(count):
    return [NATALIA | {"question": f"{n}. {NATALIA['question']}"} for n in range(count)]


def test_every_calculation_is_right_and_follows_from_the_question():
    for problem in islice(arithmetic.problems(generator("test", 0, "arithmetic")), 400):
        known = set(re.findall(r"\d+", problem["question"])) | {"2"}  # "half as many"
        *lines, last = problem["answer"].split("\n")
        for line in lines:
            found = re.fullmatch(r".*?(\d+)([-+*/])(\d+) = <<(\d+[-+*/]\d+)=(\d+)>>(\d+)\b.*", line)
            left, sign, right = int(found[1]), found[2], int(found[3])
            assert {found[1], found[3]} <= known, line
            assert found[4] == f"{left}{sign}{right}"
            assert found[5] == found[6]
            result = {"+": left + right, "-": left - right, "*": left * right, "/": left / right}[sign]
            assert int(found[5]) == result > 0
            known.add(found[5])
        assert last == f"#### {found[5]}"
        assert problem["steps"] == len(lines)


def test_there_are_problems_of_two_to_four_steps_and_of_every_template():
    found = list(islice(arithmetic.problems(generator("test", 0, "arithmetic")), 400))
    assert {problem["steps"] for problem in found} == {2, 3, 4}
    assert min(Counter(problem["template"] for problem in found).values()) > 20
    assert {problem["template"] for problem in found} == set(arithmetic.TEMPLATES)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("It is 3*4 = <<3*4=13>>13.\n#### 13", r"3\*4=13: wrong arithmetic"),
        ("It is 3*4 = <<3*4=12>>12.\n#### 13", "'#### 13': does not say"),
        ("#### 13", "'#### 13': does not say"),
        ("It is 1/4 = <<1/4=0.2>>0.2.\n#### 0.2", "1/4=0.2: wrong"),
    ],
)
def test_wrong_arithmetic_is_refused(answer, message):
    arithmetic.verify("It is 1/4 = <<1/4=0.25>>0.25.\nThen 2*(3+.5) = <<2*(3+.5)=7>>7.\n#### 7")
    with pytest.raises(ValueError, match=message):
        arithmetic.verify(answer)


def test_a_text_is_a_question_and_the_answer_that_is_learned():
    table = made()
    for row in table.itertuples():
        question, *answer = row.text.split("\n")
        assert question.endswith("?")
        assert row.text[row.answer_start : row.answer_end] == "\n".join(answer[:-1])
        assert answer[-1] == ""
    assert set("".join(table["text"])) <= set(word_problems.characters(SETTINGS))
    assert set(word_problems.characters(SETTINGS)) == set("".join(made(count=3000)["text"]))
    assert table["chance"].isna().all()


def test_questions_are_different_and_split_by_item():
    table = made()
    assert table.groupby("split").size().to_dict() == {"train": 108, "val": 12}
    assert table["text"].str.split("\n").str[0].is_unique
    assert (table["copies"] == (table["split"] == "train")).all()
    assert made().equals(made())
    assert not made()["text"].equals(made(seed=1)["text"])


def test_longer_problems_are_left_out_and_counted(capsys):
    table = made(max_length=250)
    assert table["text"].str.len().max() <= 250
    assert len(table) == 120
    assert table.attrs["left_out"] > 10
    assert capsys.readouterr().err == (
        f"{table.attrs['left_out']} problems of more than 250 characters were left out\n"
    )
    with pytest.raises(ValueError, match="max_length: of 1000 problems none is new and has at most 50 characters"):
        made(max_length=50)


def test_problems_of_a_file_are_read(tmp_path):
    long = NATALIA | {"question": "Long. " * 100}
    path = jsonl(tmp_path, *numbered(10), long, numbered(1)[0], NATALIA | {"id": 7, "answer": "No €, no calculation"})
    settings = {"path": path, "count": 11, "val": 0.2}
    table = made(**settings)
    assert set(table["item"]) == {f"line {n}" for n in [*range(1, 11), 13]}  # 12 asks what 1 does
    assert table.attrs["left_out"] == 1
    assert sorted(table["steps"]) == [0] + [2] * 10
    by_item = table.set_index("item").loc["line 3"]
    assert by_item["text"] == f"2. {NATALIA['question']}\n{NATALIA['answer']}\n"
    assert by_item["text"][by_item["answer_start"] : by_item["answer_end"]] == NATALIA["answer"]
    assert word_problems.characters(SETTINGS | settings) == "".join(sorted(set("".join(table["text"]))))
    assert made(seed=1, **settings)["item"].tolist() != table["item"].tolist()
    with pytest.raises(
        ValueError, match="11 problems have at most 500 characters; allowed: that count or less, not 12"
    ):
        made(**settings | {"count": 12})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"question": "cut', "JSONDecodeError"),
        (b"", "JSONDecodeError"),
        (b"[1, 2]", "TypeError"),
        (b'{"question": "What?"}', "KeyError: 'answer'"),
        (b'{"question": "What?", "answer": 7}', "TypeError"),
        (b'{"question": 6, "answer": 7}', "AttributeError"),
        (b'{"question": "What?", "answer": ""}', "an empty question or answer"),
        (b'{"question": "What?", "answer": "\\ud83d"}', "UnicodeEncodeError"),
        (b'{"question": "What?", "answer": "\xff"}', "UnicodeDecodeError"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, why):
    path = jsonl(tmp_path, *numbered(2), line, *numbered(1))
    with pytest.raises(ValueError, match="line 3") as error:
        made(path=path, count=3)
    (message,) = str(error.value).splitlines()
    assert message.startswith(f"{path}: line 3 is no problem ({why}")
    assert message.endswith("; allowed: a JSON object with question and answer, texts")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "absent.jsonl"}, "data.path: there is no file absent.jsonl; allowed: JSON lines with"),
        ({"val": 0}, "data.val: 0 of 120 problems; allowed: a share that leaves some to train"),
        ({"val": 0.999}, "data.val: 0.999 of 120 problems"),
    ],
)
def test_a_mistake_is_one_line(change, message):
    word_problems.check(SETTINGS, "data")
    with pytest.raises(ConfigurationError) as error:
        word_problems.check(SETTINGS | change, "data")
    assert str(error.value).startswith(message)
