import numpy as np
import pytest

from memorization.data.sequences import KEPT_EVERY, sample_sequences, zipf_probabilities
from memorization.files import read_arrays, read_made_by, write_arrays
from memorization.provenance import generator

COUNT, LENGTH = 80, 12  # of config/smoke.yaml


@pytest.mark.parametrize("family", ["zipf", "associative_memory"])
def test_sequences_are_sampled_from_their_own_stream(run_rule, family):
    made = read_arrays(run_rule("random_sequences", f"results/{family}/sequences/smoke/seed3.npz"))
    expected = sample_sequences(COUNT, LENGTH, generator("smoke", 3, "sequences"))
    np.testing.assert_array_equal(made["sequences"], expected)
    np.testing.assert_array_equal(made["probabilities"], zipf_probabilities(COUNT, 1.0))


@pytest.mark.parametrize("kind", ["resample", "forget"])
def test_a_set_that_follows_is_of_new_sequences_but_for_those_that_are_kept(run_rule, tmp_path, kind):
    rng, folder = np.random.default_rng(0), "results/zipf/sequences/smoke"
    given, sets = {}, sample_sequences(2 * COUNT, LENGTH, rng).reshape(2, COUNT, LENGTH)
    for ending, sequences in zip(("", f"_{kind}1"), sets, strict=True):
        given[f"{folder}/seed0{ending}.npz"] = tmp_path / f"given{ending}.npz"
        arrays = {"sequences": sequences, "probabilities": zipf_probabilities(COUNT, 1.0)}
        write_arrays(tmp_path / f"given{ending}.npz", arrays, {})
    path = run_rule("following_sequences", f"{folder}/seed0_{kind}2.npz", given)
    made = read_arrays(path)["sequences"]
    kept = (made == sets[1]).all(axis=1)
    assert np.flatnonzero(kept).tolist() == (list(range(0, COUNT, KEPT_EVERY)) if kind == "forget" else [])
    before = {row.tobytes() for row in sets.reshape(-1, LENGTH)}
    assert not [row for row in made[~kept] if row.tobytes() in before]
    assert len({row.tobytes() for row in made}) == COUNT
    assert read_made_by(path)["made_from"].keys() == given.keys()
