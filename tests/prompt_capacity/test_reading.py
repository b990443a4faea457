import json

import pandas as pd
import pytest

from memorization.prompt_capacity import reading
from memorization.prompt_capacity.questions import Question, rule_result
from memorization.prompt_capacity.reading import questions_of, texts_of

HUB = f"someone/some@{'0123456789' * 4}"
NOWHERE = {"path": None, "repository": None, "config": None, "split": "train"}
TASK = NOWHERE | {"name": "gsm", "kind": "questions", "test_path": None, "test_split": None, "limit": 100}
SETTINGS = {"validation": 4, "test": 3, "training_samples": [2, 9, 5]}
RULE = {"name": "rule", "kind": "rule", "rule": "last", "numbers": 3, "digits": 2}


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def asked(*numbers):
    return [{"question": f"how many are {n}?", "answer": f"{n}.\n#### {n}"} for n in numbers]


def test_texts_are_a_column_of_a_file(tmp_path):
    table = pd.DataFrame({"body": ['one, "two"', "grüße\n日本"], "text": ["x", "y"]})
    table.to_csv(tmp_path / "some.csv", index=False)
    table.to_parquet(tmp_path / "some.parquet")
    jsonl(tmp_path / "some.jsonl", table.to_dict("records"))
    for name in ("some.csv", "some.parquet", "some.jsonl"):
        settings = NOWHERE | {"path": str(tmp_path / name), "text": "body"}
        assert [*texts_of(settings)] == table["body"].tolist()


def test_texts_may_be_inside(tmp_path):
    path = jsonl(tmp_path / "some.jsonl", [{"row": {"text": "a"}}, {"row": {"text": "b"}}])
    assert [*texts_of(NOWHERE | {"path": path, "text": "row.text"})] == ["a", "b"]


@pytest.mark.parametrize("column", [3, None, ["a"]])
def test_what_is_no_text_is_one_line(tmp_path, column):
    path = jsonl(tmp_path / "some.jsonl", [{"text": "a"}, {"text": column}])
    with pytest.raises(ValueError, match=r"^some\.jsonl:1: its text is .*; allowed: text$") as error:
        [*texts_of(NOWHERE | {"path": path, "text": "text"})]
    assert "\n" not in str(error.value)


def test_texts_are_read_as_they_are_asked_for(tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b"}\nno JSON\n')
    texts = texts_of(NOWHERE | {"path": str(path), "text": "text"})
    assert [next(texts), next(texts)] == ["a", "b"]
    with pytest.raises(ValueError, match="line 3 is no JSON"):
        next(texts)


def test_questions_of_a_rule_are_as_many_as_are_needed_and_the_same_in_all_runs():
    found, test = questions_of(RULE, SETTINGS)
    assert test is None
    assert len({*found}) == len(found) == 16
    assert questions_of(RULE, SETTINGS)[0] == found
    assert questions_of(RULE | {"name": "other"}, SETTINGS)[0] != found
    for question, answer in found:
        assert answer == f"#### {rule_result('last', [*map(int, question.split())])}"


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_questions_of_a_file_are_in_gsm8k_s_format(tmp_path, ending):
    path, rows = tmp_path / f"some.{ending}", asked(5, 6, 7)
    if ending == "jsonl":
        jsonl(path, rows)
    else:
        table = pd.DataFrame(rows)
        table.to_csv(path, index=False) if ending == "csv" else table.to_parquet(path)
    found, test = questions_of(TASK | {"path": str(path)}, SETTINGS)
    assert found == [Question(**row) for row in rows]
    assert test is None


def test_no_more_questions_are_read_than_the_limit(tmp_path):
    path = tmp_path / "some.jsonl"
    jsonl(path, asked(1, 2, 3))
    path.write_text(path.read_text() + "no JSON\n")
    found, _ = questions_of(TASK | {"path": str(path), "limit": 2}, SETTINGS)
    assert [each.answer for each in found] == ["1.\n#### 1", "2.\n#### 2"]


def test_test_questions_may_be_a_file_of_their_own(tmp_path):
    task = TASK | {"path": jsonl(tmp_path / "a.jsonl", asked(1)), "test_path": jsonl(tmp_path / "b.jsonl", asked(2, 3))}
    found, test = questions_of(task, SETTINGS)
    assert found == [Question(**row) for row in asked(1)]
    assert test == [Question(**row) for row in asked(2, 3)]


def test_test_questions_may_be_a_split_of_their_own(monkeypatch):
    """Of the same data set of the hub; without one, no other split is read."""
    of_splits, read = {"train": asked(1, 2, 3), "test": asked(4, 5, 6)}, []

    def rows(task, columns):
        read.append((task["repository"], task["config"], task["split"], columns))
        return iter(of_splits[task["split"]])

    monkeypatch.setattr(reading, "rows", rows)
    task = TASK | {"repository": HUB, "config": "main", "limit": 2}
    assert questions_of(task, SETTINGS) == ([Question(**row) for row in asked(1, 2)], None)
    found, test = questions_of(task | {"test_split": "test"}, SETTINGS)
    assert found == [Question(**row) for row in asked(1, 2)]
    assert test == [Question(**row) for row in asked(4, 5)]
    of = HUB, "main"
    assert read == [(*of, split, ["question", "answer"]) for split in ("train", "train", "test")]


def test_a_row_without_a_number_is_told_by_its_file(tmp_path):
    path = jsonl(tmp_path / "some.jsonl", [*asked(1), {"question": "a?", "answer": "b"}])
    with pytest.raises(ValueError, match=r"^some\.jsonl:1: its answer has no number behind ####"):
        questions_of(TASK | {"path": path}, SETTINGS)
