import math
import zlib

import numpy as np
import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper

from memorization.extraction.metrics import (
    biderman_score,
    draws_needed,
    min_k,
    min_k_plus_plus,
    suffix_probability,
    teacher_forced_match,
    token_nll,
    window_min_perplexity,
    zlib_bytes,
)
from memorization.extraction.sampling import log_suffix_probability, sampling_distribution, sampling_log_probs
from memorization.provenance import generator

# Of a suffix of 3 tokens of 4, by probabilities; the true tokens are 0, 1, 2.
PROBABILITIES = [[0.5, 0.3, 0.15, 0.05], [0.4, 0.3, 0.2, 0.1], [0.1, 0.12, 0.7, 0.08]]
LOGITS, TARGETS = torch.tensor(PROBABILITIES).log()[None], torch.tensor([[0, 1, 2]])


def drawn(*shape):
    """Logits without a tie."""
    return torch.from_numpy(generator("test", 0, "logits").normal(0, 2, shape)).float()


def test_a_token_matches_where_it_is_the_likeliest():
    assert teacher_forced_match(LOGITS, TARGETS).tolist() == [[True, False, True]]
    with pytest.raises(ValueError, match=r"^logits: of \(1, 3\) tokens, but the targets are \(1, 2\)$"):
        teacher_forced_match(LOGITS, TARGETS[:, :2])


def test_the_loss_of_a_token_is_that_of_its_own_logits():
    expected = [-math.log(p) for p in (0.5, 0.3, 0.7)]
    np.testing.assert_allclose(token_nll(LOGITS + 3, TARGETS)[0], expected, rtol=1e-6)


def test_zlib_counts_bytes_of_utf_8():
    assert zlib_bytes("naïve €") == len(zlib.compress(b"na\xc3\xafve \xe2\x82\xac"))
    assert zlib_bytes("ab" * 500) < zlib_bytes("".join(map(chr, range(40, 120))))


def test_min_k_is_the_mean_of_the_lowest_share_and_at_least_of_one_token():
    log_probs = torch.tensor([[-1.0, -5, -2, -4, -3], [-5.0, -1, -1, -1, -1]])
    assert min_k(log_probs, 0.4).tolist() == [-4.5, -3]
    assert min_k(log_probs, 0.59).tolist() == [-4.5, -3]
    assert min_k(log_probs, 0.01).tolist() == [-5, -5]
    np.testing.assert_allclose(min_k(log_probs, 1), [-3, -1.8])
    assert min_k(-torch.arange(100.0), 0.29) == -85  # the mean of 71 … 99; .29 · 100 is under 29 in floats


@pytest.mark.parametrize("k", [0, -0.1, 1.01, 20, math.nan])
def test_a_share_of_tokens_is_over_none_and_at_most_all(k):
    with pytest.raises(ValueError, match=f"^k: {k}, but a share of the tokens is over 0 and at most 1$"):
        min_k(torch.zeros(3), k)
    with pytest.raises(ValueError, match=f"^k: {k}, "):
        min_k_plus_plus(LOGITS, TARGETS, k)


def test_no_tokens_are_refused():
    for measure in (lambda: min_k(torch.zeros(2, 0), 0.5), lambda: window_min_perplexity(torch.zeros(0), 50)):
        with pytest.raises(ValueError, match=r"^there are no tokens$"):
            measure()


def test_min_k_plus_plus_equals_a_plain_loop_and_leaves_out_tokens_that_cannot_be():
    logits, targets = drawn(2, 6, 7), torch.randint(7, (2, 6), generator=torch.Generator().manual_seed(0))
    padded = torch.cat([logits, torch.full((2, 6, 3), -torch.inf)], dim=-1)
    for row in range(2):
        standardized = []
        for place in range(6):
            weights = [math.exp(logit) for logit in logits[row, place].tolist()]
            probs = [weight / sum(weights) for weight in weights]
            mean = sum(p * math.log(p) for p in probs)
            deviation = math.sqrt(sum(p * (math.log(p) - mean) ** 2 for p in probs))
            standardized.append((math.log(probs[targets[row, place]]) - mean) / deviation)
        expected = np.mean(sorted(standardized)[:3])
        for given in (logits, padded):
            assert min_k_plus_plus(given, targets, 0.5)[row] == pytest.approx(expected, rel=1e-4)


def test_min_k_plus_plus_is_a_number_where_the_model_is_sure_or_knows_nothing():
    sure, nothing = torch.tensor([[[1000.0, 0, 0]]]), torch.zeros(1, 1, 3)
    for logits in (sure, nothing):
        assert min_k_plus_plus(logits, torch.tensor([[0]]), 1).isfinite().all()


def test_the_least_perplexity_is_that_of_the_best_window_or_of_all_tokens_if_there_are_fewer():
    nll = torch.tensor([[3.0, 1, 2, 0, 5]])
    assert window_min_perplexity(nll, 2)[0] == pytest.approx(math.exp(1))
    assert window_min_perplexity(nll, 3)[0] == pytest.approx(math.exp(1))
    assert window_min_perplexity(nll, 50)[0] == pytest.approx(math.exp(11 / 5))
    with pytest.raises(ValueError, match=r"^window: 0, but it has at least 1 token$"):
        window_min_perplexity(nll, 0)


def test_the_score_is_the_share_of_tokens_in_their_place():
    target = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 4]])
    generated = torch.tensor([[1, 2, 9, 4], [2, 3, 4, 1]])  # shifted by one, all are out of place
    assert biderman_score(generated, target).tolist() == [0.75, 0]
    assert biderman_score(target.numpy(), target.numpy()).tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"^generated: 3 tokens, but the target has 4$"):
        biderman_score(generated[:, :3], target)


def test_tokens_are_compared_where_text_would_differ():
    """The source compared characters with tokens, and none of 216 perfect reproductions counted."""
    tokens = torch.tensor([[100, 2000, 30000]])
    assert biderman_score(tokens, tokens).tolist() == [1]
    logits = torch.nn.functional.one_hot(tokens, 40000).float()
    assert teacher_forced_match(logits, tokens).all()


@pytest.mark.parametrize(
    ("temperature", "top_k", "expected"),
    [
        (1, None, 0.5 * 0.3 * 0.7),
        (1, 100, 0.5 * 0.3 * 0.7),
        (1, 2, 0.5 / 0.8 * 0.3 / 0.7 * 0.7 / 0.82),
        (1, 1, 0),  # the second token is not the likeliest
        (0.5, 2, 0.25 / 0.34 * 0.09 / 0.25 * 0.49 / 0.5044),
    ],
)
def test_the_probability_of_a_suffix_has_the_temperature_first_and_then_the_likeliest_tokens(
    temperature, top_k, expected
):
    p_z = suffix_probability(LOGITS, TARGETS, temperature, top_k)
    assert p_z.dtype == torch.float64
    assert p_z.tolist() == pytest.approx([expected], rel=1e-6)


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (0.7, 3), (1.5, 1), (1.0, 40)])
def test_sampling_draws_as_transformers_does(temperature, top_k):
    logits, targets = drawn(2, 5, 9), torch.randint(9, (2, 5), generator=torch.Generator().manual_seed(0))
    logits[0, 0] = torch.tensor([2.0, 1, 1, 1, 1, 0, 0, 0, 0])  # a tie at the third
    wrapped = TemperatureLogitsWarper(temperature)(None, logits.double().view(10, 9))
    if top_k is not None:
        wrapped = TopKLogitsWarper(top_k)(None, wrapped)
    expected = wrapped.log_softmax(dim=-1).view(2, 5, 9)
    ours = sampling_distribution(logits, temperature, top_k)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    true = expected.gather(-1, targets[..., None])[..., 0]
    np.testing.assert_allclose(sampling_log_probs(logits, targets, temperature, top_k), true, rtol=1e-12)


def test_a_suffix_too_unlikely_for_a_number_has_a_logarithm():
    logits = torch.tensor([[[0.0, 100]]]).repeat(1, 50, 1)
    targets = torch.zeros(1, 50, dtype=torch.long)
    assert suffix_probability(logits, targets, 1, None).item() == 0
    assert log_suffix_probability(logits, targets, 1, None).item() == pytest.approx(-5000)
    assert log_suffix_probability(logits, targets, 1, 1).item() == -math.inf


def test_sampling_refuses_what_is_no_temperature_and_no_number_of_tokens():
    with pytest.raises(ValueError, match=r"^temperature: 0, but it is over 0$"):
        suffix_probability(LOGITS, TARGETS, 0, None)
    with pytest.raises(ValueError, match=r"^top_k: 0, but it is at least 1, or null for all tokens$"):
        suffix_probability(LOGITS, TARGETS, 1, 0)


def test_draws_are_the_fewest_that_reach_the_probability():
    for p_z in (1e-9, 0.003, 0.2, 0.9):
        n = draws_needed(p_z, 0.9)
        reached, before = -math.expm1(n * math.log1p(-p_z)), -math.expm1((n - 1) * math.log1p(-p_z))
        assert n == int(n)
        assert before < 0.9 <= reached
    assert draws_needed(0.5, 0.75) == 2
    assert draws_needed(0.2, 1 - 0.8**3) == 3
    assert draws_needed(0.9, 0.1) == 1
    assert draws_needed(1e-20, 0.5) == pytest.approx(math.log(2) * 1e20)  # 1 - 1e-20 is 1 in floats
    assert draws_needed(np.array([1.0, 0.0, 0.5]), 0.5).tolist() == [1, math.inf, 1]
    assert isinstance(draws_needed(1.0, 0.5), float)


def test_draws_agree_with_drawing():
    """The share of 4,000 rows of n draws that hold the suffix is p at the least, and one draw fewer is less."""
    rng, p_z, p = generator("test", 0, "draws"), 0.07, 0.8
    n = int(draws_needed(p_z, p))
    first = rng.geometric(p_z, 4000)
    error = 4 * math.sqrt(p * (1 - p) / 4000)
    assert p - error < (first <= n).mean() < p + error + p_z * (1 - p)


@pytest.mark.parametrize(("p_z", "p", "key"), [(-0.1, 0.5, "p_z"), (1.1, 0.5, "p_z"), (math.nan, 0.5, "p_z"),
                                               (0.5, 0, "p"), (0.5, 1, "p")])  # fmt: skip
def test_draws_refuse_what_is_no_probability(p_z, p, key):
    with pytest.raises(ValueError, match=f"^{key}: "):
        draws_needed(p_z, p)
