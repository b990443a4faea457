import os
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from tokenizers import pre_tokenizers

from memorization.data.byte_pairs import BytePairs, train_byte_pairs

TEXTS = ["the cat sat on the mat, the cat sat", "a hat on the cat: that is that", "é 日本 12 1234\n\tthe hat\n"]


@pytest.fixture(scope="module")
def pairs():
    return BytePairs(train_byte_pairs(TEXTS, 280))


def test_any_text_has_tokens_that_give_it_back(pairs):
    texts = [*TEXTS, "", "nothing that was seen: ß∂ƒ\x00\r\n  ", "spelled out: <|endoftext|>"]
    tokens = pairs.encode(texts)
    assert pairs.decode(tokens) == texts
    assert {each.dtype for each in tokens} == {np.dtype(np.int32)}
    assert min(each.min(initial=1) for each in tokens) > 0
    assert max(each.max(initial=0) for each in tokens) < pairs.vocabulary == 280
    assert pairs.decode([[0, *tokens[0]]]) == ["<|endoftext|>" + TEXTS[0]]
    assert [len(each) for each in tokens] < [len(text.encode()) for text in texts]


def test_its_first_merges_are_the_most_frequent_pairs(pairs):
    """Counted by hand on the parts that GPT-2's tokenizer splits texts into."""
    split = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = [list(word) for text in TEXTS for word, _ in split.pre_tokenize_str(text)]
    for merged in range(257, 260):
        counts = Counter(pair for word in words for pair in pairwise(word))
        best = {"".join(pair) for pair, count in counts.items() if count == max(counts.values())}
        (piece,) = pairs.decode([[merged]])
        piece = piece.replace(" ", "Ġ")
        assert piece in best
        for word in words:
            n = 0
            while n < len(word) - 1:
                word[n : n + 2] = [piece] if "".join(word[n : n + 2]) == piece else word[n : n + 2]
                n += 1


def test_two_trainings_give_the_same_bytes_and_leave_the_environment_alone(monkeypatch):
    for before in (None, "true"):
        monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
        if before:
            monkeypatch.setenv("TOKENIZERS_PARALLELISM", before)
        assert train_byte_pairs(TEXTS, 280) == train_byte_pairs(iter(TEXTS), 280)
        assert os.environ.get("TOKENIZERS_PARALLELISM") == before
    assert train_byte_pairs(TEXTS, 270) != train_byte_pairs(TEXTS[:2], 270)


def test_a_vocabulary_that_cannot_be_is_one_line():
    with pytest.raises(ValueError, match=r"^vocabulary: 256 is less than the minimum of 257$"):
        train_byte_pairs(TEXTS, 256)
    with pytest.raises(ValueError, match=r"^vocabulary: 259, but the texts give 258 tokens; allowed: 257 to 258$"):
        train_byte_pairs(["ab"], 259)
