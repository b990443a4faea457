import time

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from memorization.memory_layer.data import hash_hop, kinds
from memorization.memory_layer.data.token_arrays import consistency_of
from memorization.memory_layer.data.tokens import Characters, HuggingFace, consistency, tokenize, tokenizer
from memorization.provenance import generator

LOOKUP = {"kind": "digit_lookup", "size": 50, "new": 0, "novel": 5, "copies": 1}
CHAINS = {"kind": "hash_hop", "num_samples": 9, "eval_samples": 2, "n_chains": 3, "n_queries": 2, "hops": [1, 2]}
CHAINS |= {"hash_length": 5, "alphabet": "letters", "hashes": "random", "chain_of_thought": True, "context": True}
TWO_HOP = {"kind": "two_hop", "num_chains": 10, "known": 0.5, "name_length": 4, "n_prefixes": 0}
SETTINGS = {
    "pairs": {"kind": "synthetic_qa", "num_pairs": 40, "template": "pairs", "val": 0.1, "test": 0.1},
    "questions": {"kind": "synthetic_qa", "num_pairs": 40, "template": "question", "val": 0.1, "test": 0.1},
    "lookup": LOOKUP,
    "direct": {
        "kind": "two_hop",
        "num_chains": 10,
        "known": 0.5,
        "chain_of_thought": False,
        "name_length": 4,
        "n_prefixes": 0,
    },
    "through": {
        "kind": "two_hop",
        "num_chains": 10,
        "known": 0.5,
        "chain_of_thought": True,
        "name_length": 4,
        "n_prefixes": 0,
    },
    "final": CHAINS | {"labels": "final"},
    "chain": CHAINS | {"labels": "chain"},
    "quoted": CHAINS | {"labels": "quoted"},
    "bare": CHAINS | {"labels": "final", "context": False},
    "bare chain": CHAINS | {"labels": "chain", "context": False},
    "problems": {"kind": "word_problems", "count": 20, "val": 0.2, "max_length": 400},
}


def masking(settings):
    return kinds.KINDS[settings["kind"]].masking(settings)


def made(settings):
    return kinds.make(settings, generator("test", 0, "tokens"))


def by_character(settings):
    table = made(settings)
    return table, tokenize(table, tokenizer("characters", kinds.characters(settings)), **masking(settings))


def saved(folder, vocabulary, pattern, **special):
    """A fast tokenizer of whole words, those that ``pattern`` finds."""
    model = Tokenizer(models.WordLevel({word: n for n, word in enumerate(vocabulary)}, unk_token=vocabulary[0]))
    model.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    PreTrainedTokenizerFast(tokenizer_object=model, unk_token=vocabulary[0], **special).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("name", SETTINGS)
def test_characters_come_back_and_the_labels_are_those_of_the_answers(name):
    table, arrays = by_character(SETTINGS[name])
    assert arrays["tokens"].dtype == np.int32
    assert arrays["tokens"].shape == arrays["labels"].shape == (len(table), table["text"].str.len().max())
    assert arrays["vocabulary"] == len(arrays["pieces"]) == arrays["pad"] + 1
    for row, tokens, labels, length in zip(
        table.itertuples(), arrays["tokens"], arrays["labels"], arrays["lengths"], strict=True
    ):
        text = "".join(arrays["pieces"][tokens[:length]])
        assert text == row.text
        assert (tokens[length:] == arrays["pad"]).all()
        places = np.flatnonzero(labels)
        assert places[0] == row.answer_start
        assert places[-1] == row.answer_end - 1
        chosen = "".join(np.array(list(text))[places])
        answer = row.text[row.answer_start : row.answer_end]
        if name in ("final", "quoted"):
            answer = "".join(line.split("'")[1] for line in text.splitlines()[-2:])
        elif name in ("chain", "bare chain"):
            lines = text.splitlines()[-2:] if name == "chain" else [text.rstrip()]
            answer = "".join(each for line in lines for each in line.replace("'", "").split(" = ")[1:])
        assert chosen == answer


def test_all_data_sets_of_a_kind_have_the_same_tokens():
    one, other = (by_character(LOOKUP | {"size": size})[1] for size in (2, 50))
    assert one["pieces"].tolist() == other["pieces"].tolist() == [*sorted("0123456789: "), ""]


def test_a_character_that_it_has_not_is_named_with_its_text():
    three = Characters("ba€")
    tokens, lengths, offsets = three.encode(["ab", "€"])
    assert tokens.tolist() == [0, 1, 2]
    assert lengths.tolist() == [2, 1]
    assert [each.tolist() for each in offsets] == [[[0, 1], [1, 2]], [[0, 1]]]
    assert three.pieces.tolist() == ["a", "b", "€", ""]
    for wrong in ("abc", "a\U0001f600", "A"):
        with pytest.raises(ValueError, match="none of its 3 characters") as error:
            three.encode(["ab", wrong])
        assert str(error.value) == f"tokenizer: {wrong[-1]!r} in {wrong!r} is none of its 3 characters"


@pytest.mark.parametrize("own_padding", [False, True])
def test_a_tokenizer_of_hugging_face_by_its_path(tmp_path, own_padding):
    words = ["[UNK]", *map(str, range(1000)), ":", " "] + (["[PAD]"] if own_padding else [])
    special = {"pad_token": "[PAD]"} if own_padding else {}
    found = tokenizer(saved(tmp_path, words, r"\d{3}|.", **special), "")
    assert isinstance(found, HuggingFace)
    assert found.vocabulary == 1004
    assert found.pad == 1003
    table = made(LOOKUP)
    arrays = tokenize(table, found, "digit_lookup")
    assert arrays["tokens"].shape == (55, 6)
    assert arrays["labels"].tolist() == [[False] * 3 + [True] * 2 + [False]] * 55
    assert arrays["tokens"][0].tolist()[:3] == [*(words.index(table["key"][0][n : n + 3]) for n in (0, 3)), 1001]
    assert arrays["pieces"].tolist() == [*words[:1003], ""]
    assert found.decode(arrays["tokens"][0]).replace(" ", "") == table["text"][0].strip()


def test_a_tokenizer_of_the_hub_by_its_name_and_commit(tmp_path, monkeypatch):
    commit = "0123456789" * 4
    cached = tmp_path / f"models--someone--some/snapshots/{commit}"  # as the hub's library leaves what it has fetched
    cached.mkdir(parents=True)
    saved(cached, ["[UNK]", "a", "b"], ".")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert tokenizer(f"someone/some@{commit}", "").encode(["ab"])[0].tolist() == [1, 2]
    for name, why in (
        (f"someone/some@{commit[::-1]}", "gives no tokenizer.json"),
        ("someone/some@main", "40 hexadecimal digits"),
        ("someone/some", "40 hexadecimal digits"),
    ):
        with pytest.raises(ValueError, match=why) as error:
            tokenizer(name, "")
        assert "\n" not in str(error.value)
        assert "allowed: characters, a folder with tokenizer.json, or name@commit" in str(error.value)


@pytest.mark.parametrize("by", ["characters", "words"])
def test_shorter_texts_are_padded(tmp_path, by):
    table = made(SETTINGS["through"])
    words = saved(tmp_path, ["[UNK]"], ".") if by == "words" else "characters"
    arrays = tokenize(table, tokenizer(words, "ABCDEFGHIJKLMNOPQRSTUVWXYZ:> "), "two_hop")
    assert set(arrays["lengths"]) == {10, 15}
    assert (arrays["tokens"] == arrays["pad"]).sum() == 5 * (arrays["lengths"] == 10).sum()
    assert not arrays["labels"][arrays["tokens"] == arrays["pad"]].any()


def test_a_token_across_the_edge_of_an_answer_is_named_with_its_text(tmp_path):
    table = made(LOOKUP)
    text = table["text"][0]
    with pytest.raises(ValueError, match="partly") as error:
        tokenize(table, HuggingFace(saved(tmp_path, ["[UNK]"], r".:\d|.")), "digit_lookup")
    assert repr(text[5:8]) in str(error.value)
    assert repr(text) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_rule_that_finds_another_answer_than_the_table_says_is_refused():
    table = made(LOOKUP)
    characters = Characters("0123456789: ")
    for change in ({"answer_end": table["answer_end"] - 1}, {"answer_start": table["answer_start"] - 1}):
        with pytest.raises(ValueError, match="its labels are not those of the answer"):
            tokenize(table.assign(**change), characters, "digit_lookup")
    without = pd.concat([table, table.tail(1).assign(text="123456,123456 ")])
    with pytest.raises(ValueError, match=r"^'123456,123456 ': its labels are not those of the answer '123456'$"):
        tokenize(without, Characters("0123456789:, "), "digit_lookup")


def test_a_tokenizer_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="cannot be loaded") as error:
        tokenizer(str(tmp_path / "absent"), "")
    assert str(error.value).startswith(f"tokenizer: '{tmp_path}/absent' cannot be loaded (")
    assert "\n" not in str(error.value)


def test_hashes_by_character_are_consistent():
    strings = ["abcdef", "fedcba"]
    found = consistency(strings, Characters("abcdef ='\n"))
    assert found["consistent"].all()
    assert not found["straddles"].any()
    assert set(found["n_tokens"]) == {6}
    assert sorted(found["context"].unique()) == ["chain", "first", "link", "quoted"]
    assert sorted(found["string"]) == sorted(strings * 4)


@pytest.mark.parametrize(
    ("pattern", "straddling", "counts"),
    [
        (" [a-z]|[a-z]+|.|\n", {"link", "chain"}, {"first": 1, "link": 2, "chain": 2, "quoted": 1}),
        ("(?<=')[a-z]{2}|[a-z]+|.|\n", set(), {"first": 1, "link": 1, "chain": 1, "quoted": 2}),
    ],
)
def test_a_hash_that_is_other_tokens_elsewhere_is_found(tmp_path, pattern, straddling, counts):
    words = HuggingFace(saved(tmp_path, ["[UNK]", "abcd", "ab", "cd", "bcd"], pattern))
    found = consistency(["abcd"], words).set_index("context")
    assert found["n_tokens"].to_dict() == counts
    assert set(found.index[found["straddles"]]) == straddling
    assert not found["consistent"].any()


def test_a_data_set_whose_hashes_are_other_tokens_elsewhere_has_a_warning(tmp_path, capsys):
    folder = saved(tmp_path, ["[UNK]", "ab"], "(?<=')[a-z]{2}|[a-z]+|.|\n")
    settings = {"kind": "hash_hop", "alphabet": "letters", "hash_length": 4, "context": False}
    texts = pd.DataFrame({"text": ["abcd = 'dcba'\n"]})
    consistency_of(texts, settings | {"tokenizer": "characters"}, hash_hop)
    assert capsys.readouterr().out == ""
    assert not consistency_of(texts, settings | {"tokenizer": str(folder)}, hash_hop)["consistent"].any()
    assert capsys.readouterr().out == (
        f"warning: tokenizer {folder}: 2 of 2 strings, such as 'abcd', are other tokens in other places\n"
    )


def test_of_equally_many_other_tokens_a_hash_is_not_consistent(tmp_path):
    words = HuggingFace(saved(tmp_path, ["[UNK]", "abc", "d", "a", "bcd"], "(?<=')[a-z]|[a-z]{3}|.|\n"))
    found = consistency(["abcd", "xxxx"], words)
    assert set(found["n_tokens"]) == {2}
    assert not found["consistent"].loc[found["string"] == "abcd"].any()
    assert found["consistent"].loc[found["string"] == "xxxx"].all()  # unknown in all of them


def test_200_000_pairs_take_seconds():
    start = time.process_time()
    _, arrays = by_character(LOOKUP | {"size": 200_000})
    assert arrays["labels"].sum() == 6 * 200_005
    assert time.process_time() - start < 20  # about 2
