import numpy as np
import pytest

from memorization.data import texts
from memorization.data.byte_pairs import BytePairs
from memorization.data.texts import Document
from memorization.extraction.corpus import PIECE, corpus, corpus_of, joined, stands_alone
from memorization.provenance import generator

WORDS = ["amber", "birch", "coral", "delta", "ember", "flint", "grove", "日本語", "ivory", "grüße"]
SETTINGS = {
    "vocabulary": 280, "window": 16, "per_type": 6, "controls": 9, "background": 3000, "held_out": 0.5,
    "leak_ngram": 8,
}  # fmt: skip


def documents(count=8, characters=1500):
    """Words and numbers at random, of two data types, and one document that is too short for a window."""
    found = []
    for name in ("code", "prose"):
        for n in range(count):
            rng = generator("test", name, n)
            text = " ".join(f"{WORDS[rng.integers(10)]} {rng.integers(10**6)}" for _ in range(characters // 12))
            found.append(Document(f"{name}/{n}", name, text, f"digest of {name} {n}"))
    return [*found, Document("prose/short", "prose", "amber", "")]


@pytest.fixture(scope="module")
def made():
    return corpus_of(documents(), SETTINGS)


def ngrams(tokens, n):
    return [tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1)]


def test_each_data_type_has_three_groups_of_planted_windows_and_controls_besides(made):
    windows = made.windows
    columns = ["window", "data_type", "role", "group", "copies", "document", "start", "text"]
    assert list(windows) == columns
    assert windows["window"].is_unique
    assert windows["window"].iloc[[0, -1]].tolist() == ["code_000", "prose_009"]
    planted = windows[windows["role"] == "planted"]
    assert planted.groupby(["data_type", "group"]).size().to_dict() == {
        (name, group): 2 for name in ("code", "prose") for group in range(3)
    }
    assert set(planted["copies"]) == {-1}
    controls = windows[windows["role"] == "control"]
    assert controls["data_type"].value_counts().to_dict() == {"code": 5, "prose": 4}
    assert set(controls["group"]) == {-1}
    assert set(controls["copies"]) == {0}


def test_a_window_lies_where_the_table_says_and_its_text_has_its_tokens_again(made):
    pairs, by_name = BytePairs(made.tokenizer), {each.name: each.text for each in documents()}
    assert made.tokens.shape == (len(made.windows), 16)
    assert made.tokens.dtype == np.int32
    for row, tokens in zip(made.windows.itertuples(), made.tokens, strict=True):
        (document,) = pairs.encode([by_name[row.document]])
        assert row.document.startswith(row.data_type)
        np.testing.assert_array_equal(tokens, document[row.start : row.start + 16])
        np.testing.assert_array_equal(pairs.encode([row.text])[0], tokens)
        assert row.text in by_name[row.document]
    starts = made.windows["start"] % 16
    assert starts.nunique() > 3
    by_document = made.windows.sort_values("start").groupby("document")["start"]
    assert (by_document.diff().dropna() >= 16).all()


def test_no_ngram_of_a_window_stands_elsewhere(made):
    """Searched for one by one in the background, in the other windows and in all held-out documents."""
    pairs = BytePairs(made.tokenizer)
    held = set(made.documents.loc[made.documents["part"] == "held_out", "document"])
    counts = {}
    for tokens in (
        made.background.tolist(),
        *(pairs.encode([d.text])[0].tolist() for d in documents() if d.name in held),
    ):
        for ngram in ngrams(tokens, 8):
            counts[ngram] = counts.get(ngram, 0) + 1
    assert {counts[ngram] for tokens in made.tokens.tolist() for ngram in ngrams(tokens, 8)} == {1}


def test_windows_are_of_held_out_documents_and_the_background_of_others(made):
    table = made.documents.set_index("document")
    assert list(table) == ["data_type", "characters", "n_tokens", "sha256", "part"]
    assert len(table) == 17
    held = set(table.index[table["part"] == "held_out"])
    assert len(held) == 8
    assert set(made.windows["document"]) <= held
    pairs, by_name = BytePairs(made.tokenizer), {each.name: each for each in documents()}
    for name, row in table.iterrows():
        assert row["characters"] == len(by_name[name].text)
        assert row["n_tokens"] == len(pairs.encode([by_name[name].text])[0])
        assert row["sha256"] == by_name[name].sha256
    background = pairs.decode([made.background])[0].split("<|endoftext|>")
    owners = [{name for name in by_name if piece in by_name[name].text} for piece in background if len(piece) > 20]
    assert {len(each) for each in owners} == {1}
    assert set.union(*owners) == set(table.index[table["part"] == "background"]) - {"prose/short"}


def test_the_background_has_as_many_tokens_of_each_data_type_as_far_as_there_are(made):
    assert made.background.dtype == np.int32
    assert len(made.background) == 3000
    assert np.diff(np.flatnonzero(made.background == 0), prepend=-1).max() <= PIECE + 1
    pieces = BytePairs(made.tokenizer).decode(np.split(made.background, np.flatnonzero(made.background == 0) + 1))
    code = "".join(each.text for each in documents() if each.data_type == "code")
    is_code = [piece.removesuffix("<|endoftext|>") in code for piece in pieces]
    shares = sum(len(piece) for piece, yes in zip(pieces, is_code, strict=True) if yes) / sum(map(len, pieces))
    assert 0.3 < shares < 0.7
    assert np.diff(is_code).sum() > 1  # types are mixed


def test_what_a_data_type_lacks_for_the_background_others_give():
    few = [each for each in documents() if each.data_type == "code" or each.name in ("prose/0", "prose/1")]
    made = corpus_of(few, SETTINGS | {"controls": 0, "per_type": 3})
    table = made.documents
    (prose,) = table.loc[(table["data_type"] == "prose") & (table["part"] == "background"), "n_tokens"]
    assert prose < 1500
    assert len(made.background) == 3000


def test_two_calls_give_the_same(made):
    again = corpus_of(documents(), SETTINGS)
    assert again.windows.equals(made.windows)
    assert again.documents.equals(made.documents)
    assert again.tokenizer == made.tokenizer
    for name in ("tokens", "background"):
        np.testing.assert_array_equal(getattr(again, name), getattr(made, name))


@pytest.mark.parametrize(
    ("leak", "expected"),
    [
        ([], [True, True]),
        ([13, 14, 15], [False, True]),  # in the background
        ([13, 14, 99], [True, True]),  # shorter than the n-gram
        ([20, 21, 22], [True, False]),
        ([15, 20, 21], [True, True]),  # over the border of two windows: of none
    ],
)
def test_a_leak_is_seen_wherever_it_is(leak, expected):
    stream, begins = joined([np.array([1, 2, 3, *leak, 4, 5]), np.array([12, 13, 14, 15, 20, 21, 22, 23])])
    places = begins[1] + np.array([0, 4])
    assert stands_alone(stream, places, 4, 3).tolist() == expected


def test_windows_that_repeat_themselves_or_each_other_are_leaks():
    stream, begins = joined([np.array([1, 2, 1, 2, 1, 2]), np.array([3, 4, 5, 6]), np.array([9, 3, 4, 5])])
    assert stands_alone(stream, begins, 4, 3).tolist() == [False, False, False]
    assert stands_alone(stream, begins, 4, 4).tolist() == [False, True, True]


def test_leaks_are_those_that_a_plain_count_finds():
    rng = generator("test", "leaks")
    stream = rng.integers(0, 6, 400).astype(np.int32)
    places = np.arange(0, 390, 10)
    all_ngrams = ngrams(stream.tolist(), 4)
    expected = [
        all(all_ngrams.count(ngram) == 1 for ngram in ngrams(stream[place : place + 10].tolist(), 4))
        for place in places
    ]
    assert 0 < sum(expected) < len(expected)
    assert stands_alone(stream, places, 10, 4).tolist() == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"per_type": 7}, r"^per_type: 7 is not allowed; allowed: a multiple of 3$"),
        ({"leak_ngram": 17}, r"^leak_ngram: 17 is not allowed; allowed: 1 to 16, the window$"),
        ({"background": 10**6}, r"^background: 1000000 tokens, but the documents have \d+; allowed: at most that$"),
        (
            {"controls": 2000},
            r"^window: code gives \d+ windows of 16 tokens of 0.5 of its documents, but per_type and controls ask for "
            r"1006; of \d+ there \d+ have no n-gram of 8 tokens twice; allowed: fewer windows, shorter ones, or",
        ),
        ({"window": 10**5}, r"^window: code gives 0 windows of 100000 tokens of 0.5 of its documents"),
    ],
)
def test_too_little_text_is_one_line(change, message):
    with pytest.raises(ValueError, match=message) as error:
        corpus_of(documents(), SETTINGS | change)
    assert "\n" not in str(error.value)


def test_the_text_of_this_machine_has_room_for_windows(monkeypatch):
    monkeypatch.setattr(texts, "STRUCTURED", 80)
    settings = SETTINGS | {"data_types": ["structured"], "window": 64, "leak_ngram": 12, "vocabulary": 512}
    made = corpus(settings)
    assert set(made.windows["data_type"]) == {"structured"}
    assert made.tokens.shape == (15, 64)
    assert made.vocabulary == 512
