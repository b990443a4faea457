from collections import Counter
from math import comb

import numpy as np
import pytest
from scipy.stats import chi2

from memorization.data.sequences import (
    Batches,
    bayes_loss,
    draw,
    first_sets,
    following_set,
    largest_exponent,
    sample_sequences,
    unique_prefix_length,
    zipf_probabilities,
)
from memorization.provenance import generator


def rng(seed=0):
    return np.random.default_rng(seed)


def literal_bayes_loss(sequences, probabilities):
    """The definition, prefix by prefix."""
    loss = np.empty(sequences.shape)
    for k, sequence in enumerate(sequences):
        for n in range(len(sequence)):
            alike = [(sequences[:, :m] == sequence[:m]).all(axis=1) for m in (n, n + 1)]
            loss[k, n] = -np.log(probabilities[alike[1]].sum() / probabilities[alike[0]].sum())
    return loss


def literal_unique_prefix_length(sequences):
    texts = ["".join(map(str, sequence)) for sequence in sequences]
    return [
        next((n for n in range(len(text) + 1) if sum(t[:n] == text[:n] for t in texts) == 1), len(text) + 1)
        for text in texts
    ]


def test_zipf_probabilities_fall_as_a_power_of_the_rank():
    p = zipf_probabilities(100, 1.5)
    assert p.dtype == np.float64
    assert p.sum() == pytest.approx(1, abs=1e-15)
    np.testing.assert_allclose(p[0] / p, np.arange(1, 101) ** 1.5, rtol=1e-12)
    np.testing.assert_array_equal(zipf_probabilities(4, 0), np.full(4, 0.25))


@pytest.mark.parametrize("count", [1, 2, 256, 10**5])
def test_the_largest_exponent_leaves_every_probability_its_precision(count):
    exponent = min(largest_exponent(count), 1e5)
    p = zipf_probabilities(count, exponent)
    assert p.min() >= np.finfo(float).tiny
    assert np.isfinite(-(p * np.log(p)).sum())
    if count > 1:
        assert (float(count) ** -(exponent * 1.02)) < np.finfo(float).tiny  # hardly more would be too much


@pytest.mark.parametrize(
    ("count", "exponent", "named"),
    [
        (0, 1.0, "count"),
        (-3, 1.0, "count"),
        (5, -0.1, "exponent"),
        (256, 400, "126.2, the maximum"),
        (5, np.nan, "exponent"),
    ],
)
def test_impossible_probabilities_are_refused_by_name(count, exponent, named):
    with pytest.raises(ValueError, match=named):
        zipf_probabilities(count, exponent)


@pytest.mark.parametrize(("count", "length"), [(256, 24), (1000, 32), (300, 100), (200, 8), (16, 4), (1, 0)])
def test_sampled_sequences_are_distinct_bits(count, length):
    sequences = sample_sequences(count, length, rng())
    assert sequences.shape == (count, length)
    assert sequences.dtype == np.uint8
    assert len({tuple(sequence) for sequence in sequences.tolist()}) == count
    assert set(np.unique(sequences)) <= {0, 1}


@pytest.mark.parametrize("count", [3, 6])  # by drawing again, and from all codes
def test_every_set_of_sequences_is_as_likely_as_any_other(count):
    sets = comb(8, count)
    seen = Counter(frozenset(map(tuple, sample_sequences(count, 3, rng(seed)).tolist())) for seed in range(4000))
    assert len(seen) == sets
    expected = 4000 / sets
    chi_square = sum((n - expected) ** 2 / expected for n in seen.values())
    assert chi_square < chi2.ppf(0.999, sets - 1)


def test_too_few_bits_for_so_many_sequences():
    with pytest.raises(ValueError, match="length: 4 bits give 16 sequences, fewer than the 17 wanted"):
        sample_sequences(17, 4, rng())


def test_draws_have_the_given_frequencies():
    p = zipf_probabilities(50, 1.0)
    counts = np.bincount(draw(p, (400, 500), rng()).ravel(), minlength=50)
    assert np.all(np.abs(counts - 200_000 * p) < 5 * np.sqrt(200_000 * p * (1 - p)))


def test_bayes_loss_equals_its_definition():
    sequences = sample_sequences(40, 7, rng(1))
    p = rng(2).dirichlet(np.ones(40))
    np.testing.assert_allclose(bayes_loss(sequences, p), literal_bayes_loss(sequences, p), atol=1e-12)
    twice = np.concatenate([sequences[:20], sequences[:20]])
    np.testing.assert_allclose(bayes_loss(twice, p), literal_bayes_loss(twice, p), atol=1e-12)


def test_weighted_bayes_loss_is_the_entropy_of_the_draws():
    p = zipf_probabilities(256, 1.0)
    loss = bayes_loss(sample_sequences(256, 24, rng()), p)
    entropy = -(p * np.log(p)).sum() / 24
    assert p @ loss.mean(axis=1) == pytest.approx(entropy, abs=1e-10)
    assert entropy == pytest.approx(0.17969, abs=5e-6)
    np.testing.assert_allclose(loss.sum(axis=1), -np.log(p), atol=1e-10)


def test_unique_prefix_length_equals_its_definition():
    sequences = sample_sequences(60, 8, rng(3))
    assert unique_prefix_length(sequences).tolist() == literal_unique_prefix_length(sequences)
    twice = np.concatenate([sequences[:5], sequences[:1]])
    assert unique_prefix_length(twice).tolist() == literal_unique_prefix_length(twice)
    assert unique_prefix_length(sequences[:1]).tolist() == [0]


def test_prefixes_of_a_thousand_sequences_are_unique_after_11_bits():
    lengths = [unique_prefix_length(sample_sequences(1000, 32, rng(seed))) for seed in range(20)]
    assert np.mean(lengths) == pytest.approx(11.3, abs=0.1)


def test_batches_are_the_same_from_wherever_one_begins():
    p = zipf_probabilities(30, 1.0)
    one, other = (Batches(p, 16, "some", 0) for _ in range(2))
    steps = range(1, 2 * Batches.BLOCK + 3)
    ranks = [one.ranks(n) for n in steps]
    for n in reversed(steps):
        np.testing.assert_array_equal(other.ranks(n), ranks[n - 1])
    assert not np.array_equal(ranks[0], ranks[Batches.BLOCK])
    assert not np.array_equal(ranks[0], Batches(p, 16, "some", 1).ranks(1))
    assert not np.array_equal(ranks[0], Batches(p, 16, "another", 0).ranks(1))


@pytest.mark.parametrize("kind", ["resample", "forget"])
def test_a_following_set_is_new_but_for_those_that_it_keeps(kind):
    earlier = sample_sequences(300, 10, generator("test", 1, "sequences")).reshape(3, 100, 10)
    new = following_set(earlier, kind, generator("test", 1, kind))
    kept = (new == earlier[-1]).all(axis=1)
    assert np.flatnonzero(kept).tolist() == ([0, 50] if kind == "forget" else [])
    rows = [tuple(row) for row in new.tolist()]
    assert len(set(rows)) == 100
    assert not {row for row, each in zip(rows, kept, strict=True) if not each} & {
        tuple(r) for r in earlier.reshape(-1, 10).tolist()
    }
    first = first_sets(np.stack([*earlier, new]))
    assert first[3, 0] == (2 if kind == "forget" else 3)
    assert (first[:3] == np.arange(3)[:, None]).all()


def test_sequences_that_are_kept_again_and_again_stay_of_their_first_set():
    sets = sample_sequences(100, 12, generator("test", 2, "sequences"))[None]
    for i in range(3):
        sets = np.concatenate([sets, following_set(sets, "forget", generator("test", 2, i))[None]])
    first = first_sets(sets)
    assert first[:, 50].tolist() == [0, 0, 0, 0]
    assert first[:, 51].tolist() == [0, 1, 2, 3]


def test_following_sets_are_refused_where_there_is_no_room_or_no_such_kind():
    earlier = sample_sequences(200, 8, generator("test", 1, "sequences")).reshape(1, 200, 8)
    with pytest.raises(ValueError, match="length: 8 bits give 256 sequences, fewer than the 400 wanted"):
        following_set(earlier, "resample", np.random.default_rng(0))
    with pytest.raises(ValueError, match="kind: 'swap' is not one of resample, forget"):
        following_set(earlier, "swap", np.random.default_rng(0))
