import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

from memorization.training.masking import IGNORED, answer_labels, packed_batch, padded_batch


def characters(text):
    """Each character a token."""
    return [(n, n + 1) for n in range(len(text))]


def answers(*texts, rule, **options):
    """What of each text the rule takes for its answers, with "_" for all else."""
    found = answer_labels(texts, [characters(text) for text in texts], rule, **options)
    assert all(labels.dtype == bool for labels in found)
    both = zip(texts, found, strict=True)
    return ["".join(a if own else "_" for a, own in zip(*each, strict=True)) for each in both]


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("synthetic_qa", "12:34 ", "___34_"),
        ("synthetic_qa", "Which of 12: what?34 ", "__________________34_"),
        ("synthetic_qa", "What? Is it 1?23\n", "______________23_"),
        ("synthetic_qa", "Which one?a b  ", "__________a b__"),
        ("digit_lookup", "12:34 ", "___34_"),
        ("digit_lookup", "12:34", "___34"),
        ("digit_lookup", "12:34 56:7 ", "___34____7_"),
        ("two_hop", "AB:CD ", "___CD_"),
        ("two_hop", "AB>CD EF ", "___CD EF_"),
        ("two_hop", "AB>CD", "___CD"),
    ],
)
def test_a_rule_finds_the_answers_in_a_text(rule, text, expected):
    assert answers(text, rule=rule) == [expected]


PROMPT = "ab = cd\ncd = 'ef'\ngh = ij\nij = 'kl'\n"
DIRECT = "COMPLETION:\nHops=2\n\nCoT=False\n\nab = 'ef'\ngh = 'kl'\n"
THOUGHT = "COMPLETION:\nHops=2\n\nCoT=True\n\nab = cd = 'ef'\ngh = ij = 'kl'\n"


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        (PROMPT + DIRECT, "final", "efkl"),
        (PROMPT + DIRECT, "chain", "efkl"),
        (PROMPT + DIRECT, "quoted", "efkl"),
        (PROMPT + THOUGHT, "final", "efkl"),
        (PROMPT + THOUGHT, "chain", "cdefijkl"),
        (PROMPT + THOUGHT, "quoted", "efkl"),
        (PROMPT + THOUGHT.removesuffix("\n"), "final", "efkl"),
        ("ab = 'cd'\n", "final", "cd"),
        ("ab = 'cd'\n", "chain", "cd"),
        ("ab = 'cd'\n", "quoted", "cd"),
        ("ab = cd\n", "final", "cd"),
        ("ab = cd = 'e1'\n", "final", "e1"),
        ("ab = cd = 'e1'\n", "chain", "cde1"),
    ],
)
def test_hash_hop_has_hashes_alone_and_behind_the_prompt_alone(text, labels, expected):
    (found,) = answers(text, rule="hash_hop", labels=labels)
    assert found.replace("_", "") == expected
    behind = text.find("COMPLETION:") + 1
    assert not set(found[:behind]) - {"_"}
    for own, a in zip(found, text, strict=True):
        assert own in ("_", a)
        assert own.isalnum() or own == "_"


def test_the_last_hash_is_the_default():
    assert answers(PROMPT + THOUGHT, rule="hash_hop") == answers(PROMPT + THOUGHT, rule="hash_hop", labels="final")


def test_spans_are_one_or_several_a_text():
    assert answers("abcdef", "gh", "ij", rule="span", spans=[[(0, 2), (4, 5)], (1, 2), []]) == ["ab__e_", "_h", "__"]


def test_a_batch_is_like_its_texts_one_by_one_however_the_offsets_are_given():
    texts = ["1:2 ", "", "345:6 78:9 ", "no answer"]
    offsets = [[(0, 0), *characters(text)] for text in texts]  # a token of no text before each
    arrays = [np.array(each) for each in offsets]
    lists, of_arrays = (answer_labels(texts, each, "digit_lookup") for each in (offsets, arrays))
    assert [labels.tolist() for labels in lists] == [labels.tolist() for labels in of_arrays]
    assert [len(labels) for labels in lists] == [5, 1, 12, 10]
    for n in (0, 2):
        np.testing.assert_array_equal(answer_labels(texts[n : n + 1], offsets[n : n + 1], "digit_lookup")[0], lists[n])
    assert not lists[1].any()
    assert not lists[3].any()


def test_tokens_of_several_characters_are_answers_if_all_of_theirs_are():
    (labels,) = answer_labels(["12:3456 "], [[(0, 2), (2, 3), (3, 5), (5, 7), (7, 8)]], "digit_lookup")
    assert labels.tolist() == [False, False, True, True, False]


@pytest.mark.parametrize(("token", "shown"), [((2, 4), "':3'"), ((5, 7), "'5 '"), ((0, 7), "'12:345 '")])
def test_a_token_across_an_answer_s_edge_is_an_error_with_text_and_token(token, shown):
    others = [(n, n + 1) for n in range(7) if not token[0] <= n < token[1]]
    offsets = [characters("1:2 "), sorted([*others, token])]
    with pytest.raises(ValueError, match=rf"^answer_labels: digit_lookup: token {shown} .*'12:345 '"):
        answer_labels(["1:2 ", "12:345 "], offsets, "digit_lookup")


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (
            (["1:2 "], [[(0, 4)]], "digits"),
            {},
            "rule: 'digits' is not one of synthetic_qa, digit_lookup, two_hop, hash_",
        ),
        (
            (["a", "b\n"], [[(0, 1)], [(0, 1)]], "two_hop"),
            {},
            "no token of the 2 texts is in an answer; the first is 'a'",
        ),
        (([], [], "two_hop"), {}, "no token of the 0 texts is in an answer"),
        ((["1:2 "], [], "two_hop"), {}, "1 texts and 0 lists of offsets"),
        (("1:2 ", [[]] * 4, "two_hop"), {}, "one text and 4 lists"),
        ((["1:2 "], [[(0, 5)]], "two_hop"), {}, "a token of characters 0 to 5 in '1:2 ', which has 4"),
        ((["1:2 "], [[(0, 1)]], "span"), {"spans": [(2, 6)]}, "a span of characters 2 to 6 in '1:2 ', which has 4"),
        ((["1:2 "], [[(0, 1)]], "span"), {"spans": []}, "0 spans for 1 texts"),
        ((["1:2 "], [[(0, 1)]], "span"), {}, "no spans for 1 texts"),
        ((["1:2 "], [[(0, 1)]], "two_hop"), {"labels": "final"}, "two_hop: has no option 'labels'; allowed: none"),
        ((["a = b"], [[(0, 1)]], "hash_hop"), {"labels": "all"}, "labels: 'all' is not one of final, chain, quoted"),
    ],
)
def test_bad_input_is_refused_in_one_line(arguments, options, message):
    with pytest.raises(ValueError, match=f"^answer_labels: .*{message}") as error:
        answer_labels(*arguments, **options)
    assert "\n" not in str(error.value)


def test_the_offsets_of_a_tokenizer_of_hugging_face_are_taken_as_they_are():
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split

    words = Tokenizer(WordLevel({"12": 0, ":": 1, "34": 2, " ": 3, "?": 4}, unk_token="?"))
    words.pre_tokenizer = Split(":", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="?")
    encoded = tokenizer(["12:34", "12:9"], return_offsets_mapping=True)
    labels = answer_labels(["12:34", "12:9"], encoded["offset_mapping"], "digit_lookup")
    assert [each.tolist() for each in labels] == [[False, False, True]] * 2


@pytest.mark.parametrize("kind", ["arrays", "pairs"])
def test_many_short_texts_take_seconds(kind):
    numbers = np.random.default_rng(0).integers(100_000, 1_000_000, (200_000, 2))
    texts = [f"{key}:{value} " for key, value in numbers.tolist()]
    offsets = [np.array(characters(texts[0])) if kind == "arrays" else characters(texts[0])] * len(texts)
    begin = time.process_time()
    labels = answer_labels(texts, offsets, "digit_lookup")
    assert time.process_time() - begin < 8  # 1 s on an idle machine
    assert all(each.tolist() == labels[0].tolist() for each in labels[::1000])
    assert labels[0].tolist() == [False] * 7 + [True] * 6 + [False]


def test_labels_need_no_torch():
    code = "import sys, memorization.training.masking; print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"


TEXTS = ["12:34 ", "7:8 90:1 ", "5:66 "]


def rows(texts=TEXTS):
    tokens = [np.array(list(text.encode()), np.int32) for text in texts]
    return tokens, answer_labels(texts, [characters(text) for text in texts], "digit_lookup")


def test_a_padded_batch_has_labels_at_answers_alone():
    batch = padded_batch(*rows(), pad=3)
    assert batch.keys() == {"input_ids", "labels", "attention_mask"}
    assert all(each.dtype == torch.int64 and each.shape == (3, 9) for each in batch.values())
    for n, text in enumerate(TEXTS):
        length = len(text)
        assert bytes(batch["input_ids"][n, :length].tolist()).decode() == text
        assert batch["input_ids"][n, length:].tolist() == [3] * (9 - length)
        assert batch["attention_mask"][n].tolist() == [1] * length + [0] * (9 - length)
        assert batch["labels"][n, length:].tolist() == [IGNORED] * (9 - length)
    assert [bytes(row[row != IGNORED].tolist()).decode() for row in batch["labels"]] == ["34", "81", "66"]
    there = batch["labels"] != IGNORED
    assert torch.equal(batch["labels"][there], batch["input_ids"][there])


def test_a_packed_batch_is_as_flash_attention_takes_it():
    batch = packed_batch(*rows())
    assert bytes(batch["input_ids"].tolist()).decode() == "".join(TEXTS)
    assert batch["cu_seqlens"].tolist() == [0, 6, 15, 20]
    assert batch["cu_seqlens"].dtype == torch.int32
    assert batch["position_ids"].tolist() == [*range(6), *range(9), *range(5)]
    assert batch["max_seqlen"] == 9
    assert isinstance(batch["max_seqlen"], int)
    assert all(batch[name].dtype == torch.int64 for name in ("input_ids", "labels", "position_ids"))


def test_padded_and_packed_labels_of_a_text_are_equal_and_so_is_their_loss():
    tokens, labels = rows()
    labels[1] = np.ones_like(labels[1])  # its first token has none before it in either
    padded, packed = padded_batch(tokens, labels, pad=0), packed_batch(tokens, labels)
    bounds = packed["cu_seqlens"].tolist()
    for n, (first, last) in enumerate(pairwise(bounds)):
        assert torch.equal(packed["labels"][first:last], padded["labels"][n, : last - first])
    assert packed["labels"][6] == IGNORED
    assert (packed["labels"] != IGNORED).sum() == 2 + 8 + 2
    logits = torch.randn(128, 128, generator=torch.Generator().manual_seed(0))  # of the next token, by the token

    def loss(batch):
        of, following = logits[batch["input_ids"]][..., :-1, :], batch["labels"][..., 1:]
        return F.cross_entropy(of.reshape(-1, 128), following.reshape(-1), ignore_index=IGNORED, reduction="sum")

    assert loss(padded).item() == pytest.approx(loss(packed).item(), rel=1e-6)


@pytest.mark.parametrize("batch", [lambda *rows: padded_batch(*rows, pad=0), packed_batch])
def test_a_batch_without_labels_or_of_rows_that_do_not_fit_is_an_error(batch):
    tokens = [np.arange(3), np.arange(2)]
    with pytest.raises(ValueError, match=r"^batch: none of its 2 rows has a label behind its first token$"):
        batch(tokens, [np.array([True, False, False]), np.zeros(2, bool)])
    with pytest.raises(ValueError, match=r"^batch: none of its 0 rows"):
        batch([], [])
    for answers in ([np.ones(3, bool), np.ones(3, bool)], [np.ones(3, bool)]):
        with pytest.raises(ValueError, match=r"^batch: rows of \[3, 2\] tokens"):
            batch(tokens, answers)
