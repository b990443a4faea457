import numpy as np
import pytest
from prompt_small import DRAWN, PLACE, pool

from memorization.prompt_capacity.texts import OTHERS, Pool, Trials, as_arrays, tokenized

LENGTHS = [12, 30, 5, 20, 8, 7, 9, 50, 11, 40, 25, 14, 13, 8, 33, 10, 16, 18, 22, 6, 15, 17, 19, 21, 23, 24, 26, 27]
POOL = pool(LENGTHS)
MANY = pool(2 * LENGTHS)
LONG = {n for n, length in enumerate(LENGTHS) if length >= 8}
AT = {"start_index": 2, "stride": 5}


def trials(length=8, seed=0, purpose="trials", of=POOL, **change):
    return of.trials(DRAWN | change, length, seed, purpose)


def documents(found: Trials) -> np.ndarray:
    """Of texts that are not random the document of each, (trials, group)."""
    rows = found.of("text").texts // 1000
    assert (rows == rows[..., :1]).all()
    return rows[..., 0]


def test_trials_are_groups_of_texts_and_of_random_tokens():
    found = trials()
    assert found.texts.shape == (5, 2, 8)
    assert found.ids.shape == (5, 2, 2)
    assert found.kinds.tolist() == 3 * ["text"] + 2 * ["random"]
    of_text = found.of("text")
    assert (np.diff(of_text.texts, axis=2) == 1).all()  # a piece of a document, in its order
    assert {*documents(found).ravel().tolist()} <= LONG
    random = found.of("random").texts
    assert random.min() >= 0
    assert random.max() < 280
    assert not (np.diff(random, axis=2) == 1).all()


def test_random_tokens_are_ids_of_the_tokenizer_and_all_of_them():
    random = trials(random_trials=300, length=8).of("random").texts
    assert {*random.ravel().tolist()} == {*range(280)}


def test_no_random_trials_are_none():
    assert trials(random_trials=0).kinds.tolist() == 3 * ["text"]


def test_texts_are_taken_from_places_all_over_their_documents():
    """A document of exactly the length has one place."""
    of = pool([8, 40, 40])
    starts = {n: set() for n in range(3)}
    for seed in range(200):
        found = trials(seed=seed, of=of, trials=3, batch_size=1, n_trials=3, group_size=1).of("text").texts[:, 0, 0]
        for first in found.tolist():
            starts[first // 1000].add(first % 1000)
    assert starts[0] == {0}
    assert max(starts[1] | starts[2]) == 32
    assert min(starts[1] | starts[2]) == 0


@pytest.mark.parametrize("place", [PLACE, AT | {"stride": 3}])
def test_shorter_texts_are_the_beginnings_of_longer_ones(place):
    whole = trials(place=place)
    for length in (1, 3, 8):
        np.testing.assert_array_equal(whole.cut(length).texts, whole.texts[:, :, :length])
        np.testing.assert_array_equal(whole.cut(length).ids, whole.ids)


@pytest.mark.parametrize("seed", range(5))
def test_no_document_is_in_two_groups_or_for_two_purposes(seed):
    used = [documents(trials(seed=seed, purpose=purpose, of=MANY)).ravel() for purpose in ("trials", *OTHERS)]
    rows = np.concatenate(used)
    assert len(set(rows.tolist())) == len(rows) == 24


def test_other_purposes_keep_off_the_trials_of_their_seed_whatever_their_length():
    for purpose in OTHERS:
        found = documents(trials(length=5, purpose=purpose, trials=4, batch_size=1)).ravel()
        assert not {*found.tolist()} & {*documents(trials()).ravel().tolist()}


def test_group_g_reads_rows_from_its_own_on_and_skips_those_too_short():
    """Rows 2, 7, 12 begin groups; of those that follow 2 (5 tokens), 5 (7) are too short."""
    found = trials(place=AT)
    assert documents(found).tolist() == [[3, 4], [7, 8], [12, 13]]
    assert (found.of("text").texts % 1000 == np.arange(8)).all()  # from the beginning


def test_groups_are_counted_over_seeds():
    """Seed 1 begins with group 3, at row 5."""
    assert documents(trials(place={"start_index": 2, "stride": 1}, seed=1))[0, 0] == 6


def test_a_row_is_of_the_first_group_that_takes_it():
    """Row 2 is too short, so that group 0 has rows 3 and 4, where group 1 begins."""
    assert documents(trials(place={"start_index": 2, "stride": 2})).tolist() == [[3, 4], [6, 7], [8, 9]]


def test_a_group_behind_the_last_row_is_one_line():
    with pytest.raises(
        ValueError, match=r"^0 documents of 2 have 8 tokens, from row 102 on, where group 1 begins; "
    ) as e:
        trials(place=AT | {"stride": 100})
    assert "\n" not in str(e.value)
    assert "allowed: fewer or shorter texts, more documents, an earlier start_index, a smaller stride" in str(e.value)


def test_too_few_documents_are_one_line():
    with pytest.raises(
        ValueError, match=r"^2 documents of 6 have 8 tokens, for 3 groups of 2; allowed: fewer"
    ) as error:
        trials(of=pool([8, 7, 9]))
    assert "\n" not in str(error.value)


def test_too_few_documents_besides_the_trials_are_one_line():
    with pytest.raises(ValueError, match=r"^0 documents of 6 have 8 tokens, for control besides the trials; allowed: "):
        trials(of=pool(6 * [8]), purpose="control")


def same(one, other):
    return np.array_equal(one, other)


def test_a_seed_has_texts_ids_and_random_tokens_of_its_own():
    one, again, other = trials(), trials(), trials(seed=1)
    for name in ("texts", "ids"):
        assert same(getattr(one, name), getattr(again, name))
        assert not same(getattr(one, name), getattr(other, name))
    assert not same(one.of("random").texts, other.of("random").texts)


def test_ids_are_of_the_trial_and_texts_are_none_of_them():
    """Longer IDs, and IDs by another method, leave the texts as they are; more trials leave the first ones' IDs."""
    one = trials()
    for change in ({"id_length": 4}, {"id_method": "random_words"}):
        other = trials(**change)
        assert same(one.texts, other.texts)
        assert one.ids.shape != other.ids.shape or not same(one.ids, other.ids)
    fewer = trials(trials=2, n_trials=2, random_trials=0)
    assert same(fewer.ids, one.ids[:2])
    assert same(fewer.texts, one.texts[:2])


def test_a_pool_holds_what_was_put_into_its_file():
    arrays = as_arrays([np.array([3, 1], np.int32), np.array([2], np.int32)], POOL.tokenizer.to_str(), 7)
    found = Pool(arrays)
    assert [each.tolist() for each in found.documents] == [[3, 1], [2]]
    assert found.vocabulary == 7
    assert found.tokenizer.to_str() == POOL.tokenizer.to_str()


def test_texts_become_tokens_without_special_ones_and_at_most_so_many():
    asked = []

    def texts():
        for text in ("amber", "birch coral", "delta"):
            asked.append(text)
            yield text

    found = tokenized(texts(), POOL.tokenizer, 2)
    assert [POOL.tokenizer.decode(each.tolist()) for each in found] == ["amber", "birch coral"]
    assert found[0].dtype == np.int32


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_no_text_is_one_line(texts):
    with pytest.raises(ValueError, match=r"^there is no text; allowed: at least one with a token$"):
        tokenized(iter(texts), POOL.tokenizer, 5)
