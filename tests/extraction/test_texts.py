import json

import datasets
import numpy as np
import pandas as pd
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from memorization.extraction.pile import PILE
from memorization.extraction.texts import windows_of
from memorization.provenance import generator

COMMIT = "0123456789" * 4
WORDS = [f"w{n}" for n in range(50)]
PLAIN = {
    "path": None,
    "repository": None,
    "config": None,
    "split": None,
    "text": "text",
    "tokens": None,
    "data_type": None,
}
PLAIN |= {"data_types": None, "copies": None, "window": 4, "per_type": 3, "limit": 100}


def words():
    """One token a word, and one more that is added; it would stand before each text."""
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<end>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<end> $A", special_tokens=[("<end>", 50)])
    return tokenizer


def documents(n=20, types=("code", "prose"), length=9):
    """Texts of different words, by turns of each type."""
    texts = [" ".join(WORDS[(n + place) % 50] for place in range(length)) for n in range(n)]
    return [
        {"text": text, "meta": {"set": types[n % len(types)]}, "kind": types[n % len(types)], "copies": n}
        for n, text in enumerate(texts)
    ]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def windows(seed=0, **settings):
    return windows_of(PLAIN | settings, words(), generator("test", seed, "windows"))


@pytest.mark.parametrize("column", ["kind", "meta.set"])
@pytest.mark.parametrize("form", ["jsonl", "parquet", "csv"])
def test_windows_are_whole_stretches_of_documents_one_of_each(tmp_path, form, column):
    rows, path = documents(), tmp_path / f"some.{form}"
    if form == "jsonl":
        jsonl(path, rows)
    elif form == "parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        pd.json_normalize(rows).to_csv(path, index=False)  # with a column that is called meta.set
    table, tokens = windows(path=str(path), data_type=column)
    assert tokens.dtype == np.int32
    assert table["window"].tolist() == [f"{kind}_00{n}" for kind in ("code", "prose") for n in range(3)]
    assert table["document"].tolist() == [f"some.{form}:{n}" for n in (0, 2, 4, 1, 3, 5)]
    assert table["data_type"].tolist() == ["code"] * 3 + ["prose"] * 3
    assert set(table["role"]) == {"text"}
    assert set(table["group"]) == {-1}
    for row, ids in zip(table.itertuples(), tokens, strict=True):
        document = rows[int(row.document.split(":")[1])]
        whole = [WORDS.index(word) for word in document["text"].split()]
        assert ids.tolist() == whole[row.start : row.start + 4]
        assert row.text == words().decode(ids.tolist())
        assert row.copies == -1


def test_places_are_drawn_over_the_whole_document(tmp_path):
    table, _ = windows(path=jsonl(tmp_path / "some.jsonl", documents(300)), per_type=300, limit=300)
    assert np.bincount(table["start"], minlength=6).min() > 25  # 300 windows at 6 places
    assert table["start"].max() == 5
    again, _ = windows(path=str(tmp_path / "some.jsonl"), per_type=300, limit=300)
    pd.testing.assert_frame_equal(table, again)
    other, _ = windows(path=str(tmp_path / "some.jsonl"), per_type=300, limit=300, seed=1)
    assert (table["start"] != other["start"]).any()


def test_where_copies_are_known_documents_are_drawn_from_all_since_such_sets_are_sorted_by_copies(tmp_path):
    rows = documents(20, ("code",))
    rows[7]["text"] = "w1"
    path, counts = jsonl(tmp_path / "some.jsonl", rows), np.zeros(20, int)
    for seed in range(200):
        table, tokens = windows(path=path, copies="copies", limit=18, seed=seed)
        assert table["copies"].is_monotonic_increasing
        assert table["document"].tolist() == [f"some.jsonl:{n}" for n in table["copies"]]
        assert (tokens[:, 0] == (table["copies"] + table["start"]) % 50).all()  # each row is still its own document's
        counts[table["copies"]] += 1
    assert counts[[7, 18, 19]].tolist() == [0, 0, 0]
    assert counts.sum() == 600
    often = np.delete(counts, [7, 18, 19])  # 17 documents, 200 · 3/17 = 35.3 times each, with a deviation of 5.4
    assert (np.abs(often - 35.3) < 22).all()


def test_documents_that_are_too_short_or_have_no_text_are_passed_by(tmp_path):
    rows = documents(8)
    for n, text in ((0, "w1 w2 w3"), (1, ""), (2, None), (3, "w1 w2 w3 w4")):
        rows[n]["text"] = text
    table, tokens = windows(path=jsonl(tmp_path / "some.jsonl", rows))
    assert table["document"].tolist() == ["some.jsonl:3", "some.jsonl:4", "some.jsonl:5"]
    assert tokens[0].tolist() == [1, 2, 3, 4]
    assert table["copies"].tolist() == [-1] * 3
    assert set(table["data_type"]) == {"text"}


def test_token_ids_instead_of_text_are_taken_as_they_are(tmp_path):
    rows = [{"tokens": [n, 49, 50, 0]} for n in range(3)]
    table, tokens = windows(path=jsonl(tmp_path / "some.jsonl", rows), text=None, tokens="tokens")
    assert tokens.tolist() == [row["tokens"] for row in rows]
    assert table["text"][0] == "w0 w49 <end> w0"
    rows[1]["tokens"][2] = 51
    with pytest.raises(ValueError, match=r"^some\.jsonl:1: has token ids that are not the tokenizer's; .* 0 to 50$"):
        windows(path=jsonl(tmp_path / "some.jsonl", rows), text=None, tokens="tokens")


def test_no_more_is_read_than_the_windows_take(monkeypatch):
    def stream():
        for n, row in enumerate(documents(20)):
            read.append(n)
            yield row

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: stream())
    of = {"repository": f"someone/some@{COMMIT}", "split": "train"}
    for settings, last in (
        ({"per_type": 2}, 1),
        ({"per_type": 2, "data_type": "kind", "data_types": ["prose"]}, 3),
        ({"per_type": 2, "data_type": "kind", "limit": 7}, 6),  # whatever types there are: all of the limit
    ):
        read = []
        table, _ = windows(**of, **settings)
        assert read == list(range(last + 1)), settings
        assert table["document"].str.fullmatch(r"someone/some:\d").all()


def test_a_data_type_that_is_not_there_is_told_with_those_that_are(tmp_path):
    path = jsonl(tmp_path / "some.jsonl", documents())
    with pytest.raises(ValueError, match=r"^some\.jsonl: there is no data type 'poems'; known: code, prose$"):
        windows(path=path, data_type="kind", data_types=["code", "poems"])


def test_of_the_pile_an_unknown_subset_is_told_at_its_first_document_with_all_22(monkeypatch):
    def stream():
        yield {"text": "", "meta": {"pile_set_name": "Pile-CC"}}
        raise AssertionError("read on")

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: stream())
    of = {"repository": f"someone/some@{COMMIT}", "split": "train", "data_type": "meta.pile_set_name"}
    with pytest.raises(ValueError, match=r"there is no data type 'Arxiv'; known: ArXiv, .*YoutubeSubtitles$") as error:
        windows(**of, data_types=["Arxiv"])
    assert all(name in str(error.value) for name in PILE)
    assert len(PILE) == 22
    with pytest.raises(
        ValueError, match=r"^someone/some: 0 of 3 windows of Books3: of 1 documents read \(limit 1\) 0 are"
    ):
        windows(**of, data_types=["Books3"], limit=1)


def test_too_few_documents_are_counted(tmp_path):
    rows = documents(9)
    rows[2]["text"] = "w1"
    path = jsonl(tmp_path / "some.jsonl", rows)
    with pytest.raises(ValueError, match=r"^some\.jsonl: 4 of 5 windows of code: of 9 documents read") as error:
        windows(path=path, data_type="kind", per_type=5)
    assert "(limit 100) 5 are code" in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="1 of 3 windows of text: of 2 documents read"):
        windows(path=jsonl(tmp_path / "other.jsonl", rows[1:3]))
    with pytest.raises(ValueError, match="0 of 3 windows of text: of 0 documents read"):
        windows(path=jsonl(tmp_path / "empty.jsonl", []))


def test_a_row_that_cannot_be_used_is_named(tmp_path):
    rows = documents(4)
    del rows[1]["meta"]["set"]
    path = jsonl(tmp_path / "some.jsonl", rows)
    with pytest.raises(ValueError, match=r"^some\.jsonl:1: has no meta\.set; allowed: text, meta, kind, copies"):
        windows(path=path, data_type="meta.set")
    rows[1] |= {"text": 3, "copies": "many"}
    with pytest.raises(ValueError, match=r"^some\.jsonl:1: its text is 3; allowed: text$"):
        windows(path=jsonl(tmp_path / "some.jsonl", rows))
    with pytest.raises(ValueError, match=r"^some\.jsonl:1: its copies is 'many'; allowed: a whole number"):
        windows(path=jsonl(tmp_path / "some.jsonl", [*rows[:1], rows[1] | {"text": rows[0]["text"]}]), copies="copies")
