import json

import pandas as pd
import pytest

from memorization.configuration import ConfigurationError
from memorization.extraction.checks import check_texts
from memorization.extraction.pile import PILE

COMMIT = "0123456789" * 4
PLAIN = dict.fromkeys(("path", "repository", "config", "split", "tokens", "data_type", "data_types", "copies"))
PLAIN |= {"text": "text"}


def refused(settings):
    with pytest.raises(ConfigurationError, match=r"^some\.key") as error:
        check_texts(settings, "some.key")
    assert "\n" not in str(error.value)
    return str(error.value)


def jsonl(folder):
    path = folder / "some.jsonl"
    path.write_text(json.dumps({"text": "a", "meta": {"set": "b"}, "copies": 2}) + "\n")
    return str(path)


def test_each_key_that_names_a_column_is_looked_at(tmp_path):
    path = jsonl(tmp_path)
    check_texts(PLAIN | {"path": path, "data_type": "meta.set", "copies": "copies"}, "key")
    for key, column in (("text", "body"), ("data_type", "meta.sets"), ("copies", "n")):
        message = refused(PLAIN | {"path": path, key: column})
        assert message == f"some.key.{key}: {path} has no '{column}'; allowed: text, meta, meta.set, copies"
    message = refused(PLAIN | {"path": path, "text": None, "tokens": "ids"})
    assert message.startswith(f"some.key.tokens: {path} has no 'ids'")


def test_settings_that_cannot_go_together_are_refused(tmp_path):
    path = jsonl(tmp_path)
    for settings, why in (
        ({}, "either path or repository"),
        ({"path": path, "repository": f"someone/some@{COMMIT}"}, "either path or repository"),
        ({"path": path, "tokens": "copies"}, "either text or tokens"),
        ({"path": path, "text": None}, "either text or tokens"),
        ({"path": path, "data_types": ["code"]}, "needs data_type"),
    ):
        assert why in refused(PLAIN | settings)


def test_a_subset_that_the_pile_has_not_is_told_with_those_that_it_has():
    pile = PLAIN | {"repository": f"someone/pile@{COMMIT}", "split": "train", "data_type": "meta.pile_set_name"}
    check_texts(pile | {"data_types": list(PILE)}, "key")
    message = refused(pile | {"data_types": ["ArXiv", "Arxiv"]})
    assert message == f"some.key.data_types: 'Arxiv' is not of the Pile; known: {', '.join(PILE)}"


def test_numbers_are_not_read_of_csv(tmp_path):
    path, parquet = tmp_path / "some.csv", tmp_path / "some.parquet"
    path.write_text("text,copies,kind\na,1,b\n")
    check_texts(PLAIN | {"path": str(path), "data_type": "kind"}, "key")
    for change in ({"copies": "copies"}, {"text": None, "tokens": "copies"}):
        (key,) = change.keys() - {"text"}
        message = refused(PLAIN | {"path": str(path)} | change)
        assert message == f"some.key.{key}: {path} has only text; allowed: a .jsonl or .parquet file"
        pd.DataFrame({"text": ["a"], "copies": [1]}).to_parquet(parquet)
        check_texts(PLAIN | {"path": str(parquet)} | change, "key")
