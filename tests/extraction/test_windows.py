import numpy as np
import pandas as pd
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from memorization.extraction.windows import (
    as_arrays,
    copies_in,
    decoded,
    documents_as_arrays,
    followed,
    planted_documents,
    schemes,
    tokenizer_of,
    tokenizer_text,
)
from memorization.files import read_arrays, write_arrays


def of_bytes():
    """A tokenizer with an id a byte, and one special token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({character: n for n, character in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.add_special_tokens(["<end>"])
    return tokenizer


def table(roles):
    return pd.DataFrame({"role": roles, "copies": range(len(roles))})


def test_windows_come_back_from_their_file_with_their_tokenizer(tmp_path):
    tokens = np.arange(12, dtype=np.int32).reshape(3, 4)
    write_arrays(tmp_path / "windows.npz", as_arrays(tokens, of_bytes().to_str(), 257), {})
    arrays = read_arrays(tmp_path / "windows.npz")
    np.testing.assert_array_equal(arrays["tokens"], tokens)
    assert int(arrays["vocabulary"]) == 257
    assert tokenizer_text(arrays) == of_bytes().to_str()
    assert tokenizer_of(arrays).encode("naïve <end>").ids == of_bytes().encode("naïve <end>").ids


def test_documents_come_back_from_their_file_in_their_order(tmp_path):
    documents = {"b.py": np.array([5, 6, 7]), "a.py": np.array([1]), "c.py": np.array([2, 2])}
    arrays = documents_as_arrays(np.array([9, 8], np.int32), documents)
    write_arrays(tmp_path / "background.npz", arrays, {})
    arrays = read_arrays(tmp_path / "background.npz")
    assert arrays["background"].tolist() == [9, 8]
    found = planted_documents(arrays)
    assert {name: tokens.tolist() for name, tokens in found.items()} == {"b.py": [5, 6, 7], "a.py": [1], "c.py": [2, 2]}
    assert list(found) == ["b.py", "a.py", "c.py"]


def test_texts_show_special_tokens_and_characters_that_are_cut_through():
    ids = of_bytes().encode("aé<end>").ids
    assert decoded(of_bytes(), np.array([ids])) == ["aé<end>"]
    assert decoded(of_bytes(), [ids[:2], ids[2:]]) == ["a\ufffd", "\ufffd<end>"]


@pytest.mark.parametrize(
    ("n_controls", "controls"), [(0, []), (1, [1]), (2, [1, 6]), (3, [1, 4, 6]), (4, [1, 3, 4, 6]), (9, [1, 3, 4, 6])]
)
def test_all_windows_but_controls_are_followed_and_of_these_so_many_evenly(n_controls, controls):
    roles = ["planted", "control", "planted", "control", "control", "text", "control"]
    rows = followed(table(roles), n_controls)
    assert rows.tolist() == sorted([0, 2, 5, *controls])


def test_without_controls_all_windows_are_followed():
    assert followed(table(["text"] * 3), 5).tolist() == [0, 1, 2]


def test_planted_windows_are_of_a_scheme_of_their_own():
    assert schemes(table(["planted", "control", "text"])).tolist() == ["planted", "uniform", "uniform"]


def test_copies_are_those_of_the_seed_s_packing_or_those_that_the_table_knows():
    windows = table(["text", "text"])
    assert copies_in(windows, None).tolist() == [0, 1]
    assert copies_in(windows, {"copies": np.array([7, 0])}).tolist() == [7, 0]
