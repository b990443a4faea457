"""Texts and questions from elsewhere, of a file or of the hub."""

from collections.abc import Iterator, Mapping
from itertools import islice

from memorization.data.text_rows import rows, source_of, value
from memorization.prompt_capacity import FAMILY
from memorization.prompt_capacity.questions import Question, of_rows, rule_questions
from memorization.provenance import generator


def texts_of(settings: Mapping) -> Iterator[str]:
    """The texts of a source, one by one.

    Parameters
    ----------
    settings : of ``text_rows.rows``, and ``text``, the column

    Raises
    ------
    ValueError
        If a row has no such column, or no text in it.
    """
    for number, row in enumerate(rows(settings, [settings["text"]])):
        where = f"{source_of(settings)}:{number}"
        text = value(row, settings["text"], where)
        if not isinstance(text, str):
            raise ValueError(f"{where}: its {settings['text']} is {text!r:.40}; allowed: text")
        yield text


def questions_of(task: Mapping, settings: Mapping) -> tuple[list[Question], list[Question] | None]:
    """The questions of a task, of a rule as many as are needed, of a source at most ``limit``; test questions apart.

    Parameters
    ----------
    task : its settings
    settings : of ``generalization``
    """
    if task["kind"] == "rule":
        needed = settings["validation"] + settings["test"] + max(settings["training_samples"])
        return rule_questions(task, needed, generator(FAMILY, task["name"], "questions of a rule")), None
    apart = {key: task[f"test_{key}"] for key in ("path", "split") if task[f"test_{key}"] is not None}
    return _asked(task), _asked(dict(task) | apart) if apart else None


def _asked(task: Mapping) -> list[Question]:
    return of_rows(list(islice(rows(task, ["question", "answer"]), task["limit"])), source_of(task))
