from itertools import combinations

import numpy as np
import pytest
from prompt_capacity_small import DRAWN, PLACE, pool

from memorization.prompt_capacity.texts import OTHERS, TRIALS, Pool, Trials, as_arrays, tokenized

LENGTHS = [12, 30, 5, 20, 8, 7, 9, 50, 11, 40, 25, 14, 13, 8, 33, 10, 16, 18, 22, 6, 15, 17, 19, 21, 23, 24, 26, 27]
POOL = pool(LENGTHS)
MANY = pool(2 * LENGTHS)
LONG = {n for n, length in enumerate(LENGTHS) if length >= 8}
AT = {"start_index": 2, "stride": 5}
PURPOSES = (TRIALS, *OTHERS)


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


@pytest.mark.parametrize("purpose", PURPOSES)
def test_random_tokens_and_ids_are_of_the_tokenizer_and_all_but_those_that_were_added_to_it(purpose):
    """Token 0 ends texts."""
    assert [*POOL.tokenizer.get_added_tokens_decoder()] == [0]
    found = trials(random_trials=300, length=8, id_length=8, purpose=purpose, of=MANY)
    for drawn in (found.of("random").texts, found.ids):
        assert {*drawn.ravel().tolist()} == {*range(1, 280)}


def test_no_random_trials_are_none():
    assert trials(random_trials=0).kinds.tolist() == 3 * ["text"]


def test_texts_are_taken_from_places_all_over_their_documents():
    """A document of exactly the length has one place. Of twelve documents six are for trials."""
    lengths = [8, 40, 40] * 4
    of, starts = pool(lengths), {}
    for seed in range(600):
        found = trials(seed=seed, of=of, trials=3, batch_size=1, n_trials=3, group_size=1).of("text").texts[:, 0, 0]
        for first in found.tolist():
            starts.setdefault(first // 1000, set()).add(first % 1000)
    assert len(starts) == 6
    assert {lengths[row] for row in starts} == {8, 40}
    for row, of_row in starts.items():
        assert (min(of_row), max(of_row)) == (0, lengths[row] - 8)


@pytest.mark.parametrize("place", [PLACE, AT])
def test_shorter_texts_are_the_beginnings_of_longer_ones(place):
    whole = trials(place=place)
    for length in (1, 3, 8):
        np.testing.assert_array_equal(whole.cut(length).texts, whole.texts[:, :, :length])
        np.testing.assert_array_equal(whole.cut(length).ids, whole.ids)


@pytest.mark.parametrize("seed", range(5))
def test_no_document_is_in_two_groups_or_for_two_purposes(seed):
    used = [documents(trials(seed=seed, purpose=purpose, of=MANY)).ravel() for purpose in PURPOSES]
    rows = np.concatenate(used)
    assert len(set(rows.tolist())) == len(rows) == 24


@pytest.mark.parametrize("place", [PLACE, AT | {"start_index": 12}, {"start_index": 3, "stride": 6}])
def test_no_document_is_for_two_purposes_whatever_their_seeds(place):
    """What one seed trains prompts on is no control, nor tuned on, of another."""
    used, long = {purpose: set() for purpose in PURPOSES}, pool(4 * LENGTHS)
    for seed in range(3):
        for purpose in PURPOSES:
            found = trials(seed=seed, purpose=purpose, of=long, place=place)
            used[purpose] |= {*documents(found).ravel().tolist()}
    for one, other in combinations(PURPOSES, 2):
        assert not used[one] & used[other]
    assert len(used["trials"]) == 18
    assert all(len(rows) > 6 for rows in used.values())


def test_half_of_the_documents_are_for_trials_and_a_third_of_the_others_for_each_other_purpose():
    """Of documents that are all long enough; which ones they are is of no seed."""
    of = pool(60 * [9])
    used = {purpose: set() for purpose in PURPOSES}
    for seed in range(40):
        for purpose in PURPOSES:
            used[purpose] |= {*documents(trials(seed=seed, purpose=purpose, of=of)).ravel().tolist()}
    assert {purpose: len(rows) for purpose, rows in used.items()} == {"trials": 30} | dict.fromkeys(OTHERS, 10)
    assert set().union(*used.values()) == {*range(60)}


def test_seeds_that_follow_each_other_have_different_documents_as_long_as_these_last():
    """Of 60 documents 30 are for trials, of which a seed has 6: the sixth seed begins anew."""
    of = pool(60 * [9])
    found = [documents(trials(seed=seed, of=of)).ravel().tolist() for seed in range(10)]
    assert len({row for rows in found[:5] for row in rows}) == 30
    assert found[5:] == found[:5]


def test_documents_are_counted_from_the_first_seed_on():
    for place in (PLACE, AT):
        for n in (0, 2):
            one, other = (trials(seed=n + k, first_seed=k, of=pool(4 * LENGTHS), place=place) for k in (0, 47))
            np.testing.assert_array_equal(documents(one), documents(other))
            assert not same(one.ids, other.ids)  # all else is of the seed itself


def test_trials_are_of_documents_that_are_long_enough_for_all_lengths():
    """Those of the longest texts are those of shorter ones."""
    assert {*documents(trials(length=5)).ravel().tolist()} <= LONG
    np.testing.assert_array_equal(documents(trials(length=5)), documents(trials()))


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
    """Seed 1 begins with group 3, at row 17."""
    assert documents(trials(place=AT, seed=1, of=MANY)).tolist() == [[17, 18], [22, 23], [27, 28]]


@pytest.mark.parametrize("purpose", OTHERS)
def test_with_a_start_index_other_purposes_have_beginnings_of_rows_that_no_group_reads(purpose):
    """Groups read rows 2 to 4, 7 to 9, …, of whatever length; those between, and before the first, are for the rest."""
    for seed in range(5):
        found = trials(place=AT, purpose=purpose, seed=seed, of=MANY)
        rows = documents(found).ravel()
        assert len(rows) > 1
        assert ((rows < 2) | ((rows - 2) % 5 > 2)).all()
        assert (found.of("text").texts % 1000 == np.arange(8)).all()


@pytest.mark.parametrize("stride", [3, 4])
def test_a_group_reads_the_first_half_of_its_stride_alone(stride):
    """Row 2 is too short and row 3 is not; row 4, long too, is for other purposes."""
    place = {"start_index": 2, "stride": stride}
    one = trials(place=place, trials=1, n_trials=1, batch_size=1, group_size=1)
    assert documents(one).tolist() == [[3]]
    with pytest.raises(
        ValueError, match=r"^1 documents of 2 have 8 tokens, from row 2 to 4, where group 0 begins; allowed: "
    ):
        trials(place=place, trials=1, n_trials=1)
    rest = {
        row
        for purpose in OTHERS
        for row in documents(trials(place=place, purpose=purpose, trials=9, batch_size=1, of=MANY)).ravel().tolist()
    }
    assert 4 in rest
    assert 3 not in rest


def test_a_group_behind_the_last_row_is_one_line():
    with pytest.raises(
        ValueError, match=r"^0 documents of 2 have 8 tokens, from row 102 to 152, where group 1 begins; "
    ) as e:
        trials(place=AT | {"stride": 100})
    assert "\n" not in str(e.value)
    assert "allowed: fewer or shorter texts, more documents, and with a start_index an earlier one or" in str(e.value)


def test_too_few_documents_are_one_line():
    """Half of twelve documents are for trials, whatever there are besides."""
    with pytest.raises(
        ValueError, match=r"^6 documents of 8 have 8 tokens, for 4 groups of 2; allowed: fewer"
    ) as error:
        trials(of=pool(12 * [8]), n_trials=4)
    assert "\n" not in str(error.value)
    assert len(documents(trials(of=pool(12 * [8])))) == 3


@pytest.mark.parametrize("purpose", OTHERS)
def test_too_few_documents_besides_the_trials_are_one_line(purpose):
    """Of six documents one is for each other purpose, not enough for a group of two."""
    with pytest.raises(
        ValueError, match=rf"^1 documents of 2 have 8 tokens, for {purpose} besides the trials; allowed: "
    ) as error:
        trials(of=pool(6 * [8]), purpose=purpose)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("purpose", OTHERS)
def test_where_another_purpose_has_too_few_documents_there_are_fewer_groups(purpose, capsys):
    """Of 30 documents 5 are for each: two groups of two, and the groups of random tokens as ever."""
    found = trials(of=pool(30 * [8]), purpose=purpose)
    assert f"{purpose}: 4 documents, not 6: no more have 8 tokens\n" in capsys.readouterr().out
    assert found.kinds.tolist() == ["text"] * 2 + ["random"] * 2
    assert found.texts.shape == (4, 2, 8)
    assert found.ids.shape == (4, 2, 2)
    assert len({*documents(found).ravel().tolist()}) == 4
    assert documents(trials(of=pool(36 * [8]), purpose=purpose)).shape == (3, 2)
    assert "documents of" not in capsys.readouterr().out


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
