"""Rules that the families on random sequences share, of each of them."""

import numpy as np
import pytest
from sections import complete

from memorization.data.sequences import KEPT_EVERY, sample_sequences, zipf_probabilities
from memorization.families import FAMILIES
from memorization.files import read_arrays, read_made_by
from memorization.provenance import ROOT, generator
from memorization.random_sequences.conditions import SequenceFamily

DATASETS = {
    family.name: complete("smoke")[family.name]["datasets"][0]
    for family in FAMILIES
    if issubclass(family, SequenceFamily)
}
CASES = pytest.mark.parametrize(("family", "data"), DATASETS.items(), ids=DATASETS)


@CASES
def test_sequences_are_sampled_from_their_own_stream(run_rule, family, data):
    made = read_arrays(run_rule("random_sequences", f"results/{family}/sequences/{data['name']}/seed3.npz"))
    expected = sample_sequences(data["count"], data["length"], generator(data["name"], 3, "sequences"))
    np.testing.assert_array_equal(made["sequences"], expected)
    np.testing.assert_array_equal(made["probabilities"], zipf_probabilities(data["count"], data["exponent"]))


@CASES
@pytest.mark.parametrize("kind", ["resample", "forget"])
def test_a_set_that_follows_is_of_new_sequences_but_for_those_that_are_kept(run_rule, given, family, data, kind):
    rng, folder = np.random.default_rng(0), f"results/{family}/sequences/{data['name']}"
    count, length, inputs = data["count"], data["length"], {}
    sets = sample_sequences(2 * count, length, rng).reshape(2, count, length)
    for ending, sequences in zip(("", f"_{kind}1"), sets, strict=True):
        arrays = {"sequences": sequences, "probabilities": zipf_probabilities(count, data["exponent"])}
        inputs |= given(f"{folder}/seed0{ending}.npz", arrays)
    path = run_rule("following_sequences", f"{folder}/seed0_{kind}2.npz", inputs)
    made = read_arrays(path)["sequences"]
    kept = (made == sets[1]).all(axis=1)
    assert np.flatnonzero(kept).tolist() == (list(range(0, count, KEPT_EVERY)) if kind == "forget" else [])
    before = {row.tobytes() for row in sets.reshape(-1, length)}
    assert not [row for row in made[~kept] if row.tobytes() in before]
    assert len({row.tobytes() for row in made}) == count
    assert read_made_by(path)["made_from"].keys() == inputs.keys()


@pytest.mark.parametrize("link", ["0link", "zlink"])
def test_a_run_through_a_symbolic_link_finds_the_code_as_it_was_planned(run_rule, tmp_path, link):
    """In a process of its own, which imports the package through the link."""
    (tmp_path / link).symlink_to(ROOT.parent.parent)
    family, data = next(iter(DATASETS.items()))
    target = f"results/{family}/sequences/{data['name']}/seed0.npz"
    options = {"as_in_a_run": True, "checkout": tmp_path / link / ROOT.parent.name}
    made_by = read_made_by(run_rule("random_sequences", target, **options))
    assert made_by["code"] == read_made_by(run_rule("random_sequences", target))["code"]
    assert "torch" not in made_by["versions"]
    assert made_by["device"] == "cpu"
