from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from extraction_models import known_windows, tiny

from memorization.extraction.near_verbatim import lower_bound, mass
from memorization.extraction.sampling import sampling_distribution
from memorization.provenance import generator

SAMPLINGS = pytest.mark.parametrize(("temperature", "top_k"), [(1.5, None), (2.0, 3)])
BOTH = pytest.mark.parametrize("architecture", ["neox", "mamba"])


def asked(model, k, n=4):
    """A prefix, and a suffix that the model draws readily."""
    tokens = known_windows(model, 2, n, n + k)[0]
    return tokens[:n], tokens[n:]


def next_probabilities(model, prefix, temperature, top_k):
    """Of all tokens after each of the prefixes (rows, n), one place: (rows, vocabulary)."""
    return sampling_distribution(model.logits(prefix)[:, -1], temperature, top_k).exp()


@SAMPLINGS
@BOTH
@pytest.mark.parametrize("k", [1, 3])
def test_the_mass_is_that_of_all_sequences_that_are_near(architecture, temperature, top_k, k):
    model = tiny(architecture, vocabulary=5)
    prefix, suffix = asked(model, k)
    expected, verbatim, total = 0.0, 0.0, 0.0

    @cache
    def following(*so_far):
        return next_probabilities(model, torch.tensor([[*prefix.tolist(), *so_far]]), temperature, top_k)[0].tolist()

    for other in product(range(5), repeat=k):
        probability = 1.0
        for n, token in enumerate(other):
            probability *= following(*other[:n])[token]
        wrong = sum(map(int.__ne__, other, suffix.tolist()))
        total += probability
        expected += probability * (wrong <= 1)
        verbatim += probability * (wrong == 0)
    assert total == pytest.approx(1, rel=1e-5)
    p_z, near = mass(model, prefix, suffix, temperature, top_k, batch_tokens=20)
    assert p_z == pytest.approx(verbatim, rel=1e-5)
    assert near == pytest.approx(expected, rel=1e-5)
    assert 0 < p_z < near <= 1 + 1e-9


@SAMPLINGS
@BOTH
def test_a_bound_grows_with_the_substitutes_up_to_the_mass(architecture, temperature, top_k):
    model = tiny(architecture, vocabulary=11)
    prefix, suffix = asked(model, 6)
    suffix[2] = (suffix[2] + 1) % 11  # so that the likeliest other token is one that counts for much
    sampling = temperature, top_k, 64
    p_z, near = mass(model, prefix, suffix, *sampling)
    bounds = [lower_bound(model, prefix, suffix, *sampling, substitutes)[1] for substitutes in range(11)]
    assert p_z <= bounds[0] < bounds[1]
    rounded = 1e-6 * near
    assert (np.diff(bounds) >= -rounded).all()
    assert max(bounds) <= near + rounded
    assert bounds[10] == near
    assert lower_bound(model, prefix, suffix, *sampling, 1000) == (p_z, near)


def test_a_suffix_that_is_never_drawn_has_near_ones_that_are():
    """One of its tokens is none of the likeliest two: all mass is of suffixes with another one there."""
    model = tiny("neox", vocabulary=11)
    prefix, suffix = asked(model, 5)
    before = torch.from_numpy(np.concatenate([prefix, suffix[:2]]).astype(np.int64))[None]
    suffix[2] = model.logits(before)[0, -1].argmin()
    p_z, near = mass(model, prefix, suffix, 1.0, 2, 64)
    assert p_z == 0 < near
    suffix[0] = model.logits(before[:, :4])[0, -1].argmin()
    assert mass(model, prefix, suffix, 1.0, 2, 64) == (0, 0)  # now two are never drawn


@BOTH
def test_drawing_gives_near_suffixes_as_often_as_the_mass_says(architecture):
    model, draws = tiny(architecture, vocabulary=11), 4000
    prefix, suffix = asked(model, 4)
    rng, so_far = generator("test", 0, "draws"), torch.from_numpy(np.tile(prefix, (draws, 1)).astype(np.int64))
    for _ in suffix:
        cumulative = next_probabilities(model, so_far, 1.5, 4).cumsum(dim=1)
        drawn = (torch.from_numpy(rng.random((draws, 1))) > cumulative).sum(dim=1, keepdim=True).clamp(max=10)
        so_far = torch.cat([so_far, drawn], dim=1)
    wrong = (so_far[:, 4:].numpy() != suffix).sum(axis=1)
    for probability, limit in zip(mass(model, prefix, suffix, 1.5, 4, 640), (0, 1), strict=True):
        assert 0.01 < probability < 0.99
        error = np.sqrt(probability * (1 - probability) / draws)
        assert abs((wrong <= limit).mean() - probability) < 4 * error


def test_a_bound_refuses_fewer_substitutes_than_none():
    model = tiny("neox", vocabulary=5)
    with pytest.raises(ValueError, match=r"^substitutes: -1, but it is at least 0$"):
        lower_bound(model, *asked(model, 3), 1.0, None, 64, -1)
