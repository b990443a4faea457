import ast
import csv
import io
import json
import sysconfig
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree

import pytest

from memorization.data import texts
from memorization.data.structured_texts import structured_texts
from memorization.data.texts import Document, Source, docstrings, documents, without_docstrings, without_repeats

LONG = "A docstring that says much about little. " * 6
MODULE = f'''"""{LONG}"""
import os


class A:
    """Short."""

    def f(self): "tiny"; return 1

    def g(self):
        """Only this."""

    async def h(self):
        r"""é {LONG}
            Further in.
        """  # a comment
        return "no docstring"
'''
WITHOUT = """import os


class A:

    def f(self): pass; return 1

    def g(self):
        pass

    async def h(self):
        return "no docstring"
"""


def stripped(text):
    return without_docstrings(Source("", text, "", docstrings(text)))


@pytest.fixture
def library(tmp_path):
    """A standard library in small."""
    for folder in ("json", "test", "json/tests", "encodings", "pydoc_data", "site-packages/x", "config-3.11-x"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.py").write_text(f"name = {folder!r}\n")
    (tmp_path / "json/a.py").write_text(MODULE)
    (tmp_path / "_sysconfigdata_x.py").write_text("here = '/home/someone'\n")
    (tmp_path / "old.py").write_bytes("# coding: latin-1\nname = 'é'\n".encode("latin-1"))
    (tmp_path / "pydoc_data/topics.py").write_text(
        "topics = {'with': 'The with statement.', 'assert': 'The assert.'}\n"
    )
    (tmp_path / "LICENSE.txt").write_text("A. HISTORY\n")
    return tmp_path


def test_code_is_core_modules_without_their_docstrings_in_any_encoding(library):
    found = documents(["code"], library)
    assert [(each.name, each.data_type) for each in found] == [("json/a.py", "code"), ("old.py", "code")]
    assert found[0].text == WITHOUT
    assert found[1].text == "# coding: latin-1\nname = 'é'\n"
    assert [each.sha256 for each in found] == [sha256((library / each.name).read_bytes()).hexdigest() for each in found]


def test_prose_is_topics_the_licence_and_long_docstrings(library):
    found = documents(["prose"], library)
    names = ["topics/assert", "topics/with", "LICENSE.txt", "docstrings/json/a.py"]
    assert [each.name for each in found] == names
    assert [each.text for each in found[:3]] == ["The assert.", "The with statement.", "A. HISTORY\n"]
    assert found[3].text == f"{LONG}\n\né {LONG}\nFurther in."


@pytest.mark.parametrize("name", ["dataclasses.py", "argparse.py", "json/decoder.py", "asyncio/streams.py"])
def test_a_source_without_docstrings_is_the_same_program(name):
    text = (Path(sysconfig.get_path("stdlib")) / name).read_text("utf-8")
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if hasattr(node, "body") and isinstance(node.body, list) and not isinstance(node, ast.If | ast.For | ast.While):
            first = node.body[0]
            constant = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            if constant and isinstance(first.value.value, str):
                node.body[:1] = [] if node.body[1:] else [ast.Pass()]
    assert docstrings(text)
    assert ast.dump(ast.parse(stripped(text))) == ast.dump(tree)
    assert not docstrings(stripped(text))


def test_a_long_paragraph_stands_once_over_all_documents():
    long, other, short = "x" * 81, "y" * 81, "z" * 80
    first = Document("a", "code", f"{long}\n\n{short}\n\n  {long}", "")
    second = Document("b", "prose", f"{short}\n\n{long}\n\n{other}", "")
    third = Document("c", "prose", f"{other}\n\n", "")
    assert [(each.name, each.text) for each in without_repeats([first, second, third])] == [
        ("a", f"{long}\n\n{short}"),
        ("b", f"{short}\n\n{other}"),
    ]


def test_data_types_come_in_one_order_whatever_order_is_asked_for(monkeypatch, library):
    monkeypatch.setattr(texts, "STRUCTURED", 4)
    found = documents(["structured", "prose", "code"], library)
    assert found == documents(["code", "prose", "structured"], library)
    assert list(dict.fromkeys(each.data_type for each in found)) == ["code", "prose", "structured"]
    assert len({each.name for each in found}) == len(found)


def test_structured_texts_are_valid_and_hold_records_of_one_schema():
    found = structured_texts(80)
    assert list(found.items())[:9] == list(structured_texts(9).items())
    assert len(set(found.values())) == len(found) == 80
    for name, text in found.items():
        layout = name.split(".")[1]
        if layout == "json":
            records = json.loads(text) if text.startswith("{\n") else [json.loads(line) for line in text.splitlines()]
            (records,) = records.values() if isinstance(records, dict) else (records,)
            schemas = {tuple(record) for record in records}
        elif layout == "csv":
            delimiter = next(each for each in "\t;," if each in text.splitlines()[0])
            records = list(csv.DictReader(io.StringIO(text), delimiter=delimiter))
            assert all(None not in record and None not in record.values() for record in records)
            schemas = {tuple(record) for record in records}
        elif layout == "xml":
            records = list(ElementTree.fromstring(text))
            schemas = {tuple(record.attrib) or tuple(child.tag for child in record) for record in records}
        else:
            records, schemas = text.splitlines()[2:], {tuple(text.splitlines()[0].replace("|", " ").split())}
        assert 12 <= len(records) <= 40, name
        (schema,) = schemas
        assert 4 <= len(schema) <= 8, name


def test_what_is_not_there_is_one_line(library, tmp_path):
    with pytest.raises(ValueError, match=r"^data_types: 'poems' is not allowed; allowed: code, prose, structured$"):
        documents(["code", "poems"], library)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: there are no sources here; allowed: the folder of Python's standard"):
        documents(["code"], tmp_path / "empty")
