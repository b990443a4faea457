from itertools import product

import numpy as np
import pytest

from memorization.capacity import data
from memorization.capacity.data import batch_mb, bits_to_hold, sample_sequences, sequence_bits
from memorization.provenance import generator


def sample(count, length, alphabet, seed=0):
    return sample_sequences(count, length, alphabet, generator("test", seed, "sequences"))


@pytest.mark.parametrize(("length", "alphabet"), [(4, 3), (5, 16), (16, 16), (3, 2000)])
def test_a_smaller_set_of_a_seed_is_the_first_of_a_larger_one(monkeypatch, length, alphabet):
    monkeypatch.setattr(data, "BLOCK", 7)
    largest = sample(60, length, alphabet)
    assert largest.dtype == np.uint16
    assert largest.shape == (60, length)
    assert largest.max() < alphabet
    for count in (1, 6, 7, 8, 30):
        np.testing.assert_array_equal(sample(count, length, alphabet), largest[:count])
    assert not np.array_equal(sample(60, length, alphabet, seed=1), largest)


@pytest.mark.parametrize("codes", [2**22, 0])
def test_sequences_are_distinct_to_the_last_one_that_there_is(monkeypatch, codes):
    monkeypatch.setattr(data, "CODES", codes)  # by their numbers, and by drawing until all are there
    monkeypatch.setattr(data, "BLOCK", 50)
    assert {tuple(row) for row in sample(81, 4, 3).tolist()} == set(product(range(3), repeat=4))
    with pytest.raises(ValueError, match=r"^count: 82, but there are 81 sequences of 4 symbols of 3$"):
        sample(82, 4, 3)


def test_symbols_are_uniform():
    counts = np.bincount(sample(4000, 16, 5).ravel(), minlength=5)
    assert np.abs(counts - counts.mean()).max() < 5 * np.sqrt(counts.mean())


def test_all_that_there_is_to_hold_is_what_knowing_the_set_saves():
    """Of a predictor that knows the set alone, written out: it predicts by all sequences that begin so."""
    sequences, alphabet = sample(20, 3, 4), 4
    cost = 0.0
    for sequence in sequences:
        for n in range(3):
            begin_so = [other for other in sequences if (other[:n] == sequence[:n]).all()]
            cost -= np.log2(np.mean([other[n] == sequence[n] for other in begin_so]))
    assert bits_to_hold(20, 3, alphabet) == pytest.approx(20 * sequence_bits(3, alphabet) - cost)


def test_a_batch_takes_more_with_more_sequences_and_with_a_larger_model():
    size = {"count": 100, "length": 16, "alphabet": 16, "n_layers": 2, "d_model": 8, "d_ff": 16}
    assert 400 <= batch_mb(**size) < 420
    assert batch_mb(**size | {"count": 10**8}) > 16 * 16e8 / 1e6
    larger = [batch_mb(**size | {"count": 10_000, key: 400}) for key in ("n_layers", "d_model", "d_ff", "alphabet")]
    assert min(larger) > batch_mb(**size | {"count": 10_000})
