import numpy as np
import pytest
from prompt_capacity_small import byte_pairs, words
from tokenizers import Tokenizer, models, pre_tokenizers

from memorization.prompt_capacity.identifiers import METHODS, identifiers, plain_ids
from memorization.provenance import generator

TOKENIZER = Tokenizer.from_str(byte_pairs())
TEXTS = [np.arange(n, n + 6) for n in range(20)]


def ids(method, length, texts=TEXTS, seed=0, tokenizer=TOKENIZER):
    return identifiers(method, texts, length, tokenizer, generator("test", seed, "IDs"))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("length", [1, 2, 5, 12])
def test_ids_are_exact_in_length_and_unique_in_a_group(method, length):
    texts = TEXTS[: 4 if length == 1 else None]
    found = ids(method, length, texts)
    assert found.shape == (len(texts), length)
    assert found.dtype == np.int64
    assert len({tuple(row) for row in found.tolist()}) == len(texts)
    assert found.min() >= 0
    assert found.max() < TOKENIZER.get_vocab_size()


@pytest.mark.parametrize("method", METHODS)
def test_the_same_stream_gives_the_same_ids(method):
    np.testing.assert_array_equal(ids(method, 3), ids(method, 3))


def test_ids_of_another_stream_are_others_but_for_those_of_the_content():
    for method in ("tokens", "random_words"):
        assert (ids(method, 3) != ids(method, 3, seed=1)).any()
    np.testing.assert_array_equal(ids("content_hash", 3), ids("content_hash", 3, seed=1))


def test_an_id_of_the_content_is_of_the_text_alone():
    found, turned = ids("content_hash", 6), ids("content_hash", 6, TEXTS[::-1])
    np.testing.assert_array_equal(found[::-1], turned)
    hexadecimal = TOKENIZER.decode(found[0].tolist())
    assert set(hexadecimal) <= set("0123456789abcdef")


def test_random_words_are_words_of_this_project():
    from memorization.prompt_capacity.identifiers import WORDS

    letters = set("".join(WORDS)) | {" "}
    assert set(TOKENIZER.decode(ids("random_words", 4)[0].tolist())) <= letters


def test_the_same_text_twice_has_two_ids():
    twice = [TEXTS[0], TEXTS[0], TEXTS[1]]
    for method in METHODS:
        assert len({tuple(row) for row in ids(method, 3, twice).tolist()}) == 3


def test_as_many_ids_as_there_are_tokens_are_found():
    tokenizer = words("a", "b", "c", "d")
    assert sorted(ids("tokens", 1, TEXTS[:4], tokenizer=tokenizer)[:, 0].tolist()) == [0, 1, 2, 3]


def with_added():
    """Of six tokens one is special and one was added, both beside a hole in the ids and not at their end."""
    vocabulary = {"a": 0, "<end>": 1, "b": 2, "c": 5, "more": 6, "d": 7}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<end>"])
    tokenizer.add_tokens(["more", "new"])
    return tokenizer


def test_plain_ids_are_sorted_and_of_no_token_that_was_added():
    tokenizer = with_added()
    assert tokenizer.get_vocab_size() == 7
    assert plain_ids(tokenizer).tolist() == [0, 2, 5, 7]
    assert plain_ids(tokenizer).dtype == np.int64
    assert plain_ids(TOKENIZER).tolist() == [*range(1, 280)]  # 0 ends texts


def test_random_ids_have_no_token_that_was_added():
    tokenizer = with_added()
    assert sorted(ids("tokens", 1, TEXTS[:4], tokenizer=tokenizer)[:, 0].tolist()) == [0, 2, 5, 7]
    with pytest.raises(ValueError, match=r"^id_length: 1 tokens by tokens cannot tell 5 texts apart"):
        ids("tokens", 1, TEXTS[:5], tokenizer=tokenizer)
    assert {*ids("tokens", 200).ravel().tolist()} == {*range(1, 280)}


@pytest.mark.parametrize(
    ("method", "length", "count"), [("tokens", 1, 5), ("random_words", 1, 2), ("content_hash", 2, 1)]
)
def test_ids_that_cannot_be_are_one_line(method, length, count):
    """Of four tokens five differ not; words and digests that the tokenizer does not know are one token each."""
    with pytest.raises(
        ValueError, match=rf"^id_length: {length} tokens by {method} cannot tell {count} texts"
    ) as error:
        ids(method, length, TEXTS[:count], tokenizer=words("?", "a", "b", "c"))
    assert "\n" not in str(error.value)
    assert "allowed: " in str(error.value)


def test_another_method_is_one_line():
    with pytest.raises(ValueError, match=r"^id_method: 'numbers' is not one of tokens, random_words, content_hash$"):
        ids("numbers", 1)
