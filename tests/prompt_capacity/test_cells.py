"""A cell as a job makes it: trained, measured, and the same bytes again."""

import numpy as np
import pandas as pd
import pytest
import torch
from prompt_capacity_models import DRAWN, SETTINGS, VOCABULARY, pool, tiny

from memorization.prompt_capacity.cells import trained_cell
from memorization.prompt_capacity.measuring import control_gain, quantized, token_scores
from memorization.prompt_capacity.memorizing import Cell, PromptLearner
from memorization.training.checkpoints import Unfinished

LAYOUTS, K, LENGTH, STEPS = ("prefix", "infix", "solo", 1), 2, 3, 30
SETTING = SETTINGS | DRAWN | {
    "batch_size": 2, "group_size": 2, "layouts": list(LAYOUTS), "learning_rates": [0.1], "steps": STEPS,
    "n_records": 5, "control_texts": 3, "quantization": [32, 4],
}  # fmt: skip


def made(tmp_path, length=LENGTH, seed=0, every=3600.0, rates=(), **change):
    unfinished = Unfinished(tmp_path / "x.a.unfinished", every)
    run = "mine", seed, list(rates)
    return trained_cell(tiny(), pool(), SETTING | change, (K, length), run, unfinished, 3600)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return made(tmp_path_factory.mktemp("cell"))


def test_a_cell_has_all_layouts_and_both_kinds_of_text(found):
    table = found.tables["memorization"]
    sizes = table.groupby(["layout", "kind"], sort=False).size()
    assert sizes.to_dict() == {
        (layout, kind): n * 2 for layout in ("prefix", "infix", "solo", "offset1") for kind, n in
        (("text", 2), ("random", 1))
    }  # fmt: skip
    n_prompts = 3 * 3 + 6
    assert found.prompts.shape == (n_prompts, K, 16)
    assert len(found.tables["survival"]) == 2 * n_prompts
    assert len(found.tables["vectors"]) == K * n_prompts
    assert found.trajectory["losses"].shape == (STEPS, n_prompts)
    for name in ("survival", "vectors"):
        assert {*found.tables[name]["layout"]} == {*table["layout"]}
    for table in found.tables.values():
        assert table["condition"].eq("mine").all()
        assert table["seed"].eq(0).all()
        assert table["length"].eq(LENGTH).all()
        assert table["prompt_length"].eq(K).all()


def test_what_is_measured_is_what_is_saved(found):
    """The prompts of the file cost what the tables say, whole and with four bits."""
    trials = pool().trials(SETTING, 5, 0).cut(LENGTH)
    cell = Cell(trials, LAYOUTS, K)
    of_control = SETTING | {"trials": 3, "random_trials": 3, "batch_size": 1}
    control = pool().trials(of_control, 5, 0, "control").cut(LENGTH)
    for bits in (32, 4):
        prompts = quantized(found.prompts, bits)
        before, after = (token_scores(tiny(), each).nll for each in (cell.without(0), cell.inputs(prompts)))
        gain = np.bincount(cell.inputs(prompts).owner, (before - after).sum(axis=1)) / np.log(2)
        rows = found.tables["survival"].query(f"bits == {bits}")
        np.testing.assert_allclose(rows["gain_bits"], gain, rtol=1e-4)
        texts = np.bincount(cell.inputs(prompts).owner)
        by_itself = texts * control_gain(tiny(), cell, prompts, control)
        np.testing.assert_allclose(rows["net_gain_bits"], gain - by_itself, atol=1e-3)
    nll = token_scores(tiny(), cell.inputs(found.prompts)).nll.sum(axis=1) / np.log(2)
    np.testing.assert_allclose(found.tables["memorization"]["nll_bits"], nll, rtol=1e-5)


def test_shorter_texts_are_the_beginnings_of_longer_ones_and_prompts_begin_alike(found, tmp_path):
    """Each cell draws its texts at the longest length; a cell of other texts would not be compared in pairs."""
    longer, shorter = (pool().trials(SETTING, 5, 0).cut(length).texts for length in (5, LENGTH))
    np.testing.assert_array_equal(longer[..., :LENGTH], shorter)
    other = made(tmp_path, 5)
    np.testing.assert_array_equal(other.trajectory["norm"][0], found.trajectory["norm"][0])
    columns = ["condition", "seed", "layout", "kind", "trial", "text"]
    assert other.tables["memorization"][columns].equals(found.tables["memorization"][columns])


def test_layouts_are_trained_at_the_rates_that_were_chosen(tmp_path):
    names, rates = ["prefix", "infix", "solo", "offset1"], [0.1, 0.2, 0.3, 0.4]
    table = pd.DataFrame({"layout": names, "learning_rate": rates, "nll": 1.0, "chosen": True})
    made_of = made(tmp_path, rates=[table], learning_rates=[0.1, 0.2, 0.3, 0.4])
    found = made_of.tables["memorization"].groupby("layout")["learning_rate"].unique()
    assert {name: each.tolist() for name, each in found.items()} == {
        name: [rate] for name, rate in zip(names, rates, strict=True)
    }


def test_two_makings_are_the_same_bytes_and_of_another_seed_are_not(found, tmp_path):
    again, other = made(tmp_path), made(tmp_path, seed=1)
    assert torch.equal(found.prompts, again.prompts)
    assert not torch.equal(found.prompts, other.prompts)
    for name, table in found.tables.items():
        pd.testing.assert_frame_equal(table, again.tables[name], check_exact=True)
    for name, array in found.trajectory.items():
        np.testing.assert_array_equal(array, again.trajectory[name])


def test_an_interrupted_cell_ends_like_an_unbroken_one(found, tmp_path, monkeypatch, capsys):
    step = PromptLearner.step

    def killed(self, n):
        if n == 17:
            raise KeyboardInterrupt
        return step(self, n)

    monkeypatch.setattr(PromptLearner, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, every=0)
    monkeypatch.setattr(PromptLearner, "step", step)
    again = made(tmp_path, every=0)
    assert "going on after step 16" in capsys.readouterr().out
    assert torch.equal(found.prompts, again.prompts)
    for name, table in found.tables.items():
        pd.testing.assert_frame_equal(table, again.tables[name], check_exact=True)
    for name, array in found.trajectory.items():
        np.testing.assert_array_equal(array, again.trajectory[name])


def test_the_file_of_a_cell_says_what_its_prompts_are(found):
    arrays, table = found.trajectory, found.tables["memorization"]
    assert arrays["layout"].tolist() == ["prefix"] * 3 + ["infix"] * 3 + ["solo"] * 6 + ["offset1"] * 3
    assert arrays["group"].tolist() == [2] * 6 + [1] * 6 + [2] * 3
    assert int(arrays["vocabulary"]) == VOCABULARY
    owner = np.repeat(np.arange(15), arrays["group"])
    for name in ("layout", "kind", "trial"):
        assert table[name].tolist() == arrays[name][owner].tolist()
    best = arrays["losses"].min(axis=0)
    nats = table.groupby(owner)["nll_bits"].mean() * np.log(2) / LENGTH
    np.testing.assert_allclose(nats, best, atol=1e-4)
