import numpy as np
import pytest
import torch
from extraction_models import SHAPE
from language_models import plain_losses

from memorization.extraction import training
from memorization.extraction.training import evaluate, initial_weights, train
from memorization.provenance import generator
from memorization.text_learner import TextLearner
from memorization.training.checkpoints import Unfinished
from memorization.training.fit import TrainingError

VOCABULARY, ROWS, LENGTH = 30, 15, 24
PREFIX, SUFFIX = 6, 5  # a window of 12 tokens has one more
CONDITION = SHAPE | {
    "init_std": 0.1, "learning_rate": 0.02, "warmup": 0.25, "weight_decay": 0.1, "batch_size": 2,
    "precision": "float32",
}  # fmt: skip
DATA = generator("test", 0, "rows").integers(VOCABULARY, size=(ROWS, LENGTH)).astype(np.int32)
WINDOWS = DATA[:9, 3:15]
FOLLOWED = np.array([1, 2, 5, 8])
BOTH = pytest.mark.parametrize("architecture", ["neox", "mamba"])


def learner(architecture="neox", seed=0, rows=DATA, **change):
    condition = CONDITION | {"architecture": architecture} | change
    return TextLearner(condition, rows, VOCABULARY, initial_weights(seed), "cpu")


def run(tmp_path, ours, every=3600.0):
    unfinished = Unfinished(tmp_path / "x.a.unfinished", every)
    return train(ours, WINDOWS, FOLLOWED, PREFIX, SUFFIX, 3, unfinished, 3600)


@BOTH
@pytest.mark.parametrize("at_once", [4096, 25])
def test_windows_are_scored_as_by_a_plain_loop(monkeypatch, architecture, at_once):
    monkeypatch.setattr(training, "AT_ONCE", at_once)
    ours = learner(architecture, init_std=0.4)
    nll, right = evaluate(ours, WINDOWS, 6)
    assert nll.dtype == np.float32
    np.testing.assert_allclose(nll, plain_losses(ours.model, WINDOWS)[:, 5:].sum(dim=1).detach(), rtol=1e-5)
    for k, text in enumerate(torch.from_numpy(WINDOWS.astype(np.int64))):
        likeliest = ours.model(input_ids=text[None], use_cache=False).logits[0, 5:-1].argmax(dim=-1)
        assert right[k] == (likeliest == text[6:]).sum()


def test_scoring_leaves_the_training_as_it_is():
    ours, other = learner("mamba"), learner("mamba")
    for n in range(1, 4):
        assert torch.equal(ours.step(n), other.step(n))
        assert ours.model.training
        evaluate(ours, WINDOWS, 6)
        assert not ours.model.training
    assert all(map(torch.equal, ours.model.parameters(), other.model.parameters()))


@BOTH
def test_what_is_trained_is_recorded(tmp_path, architecture):
    """Rows that repeat are learned; recorded are the suffixes behind the prefix, tokens 6 to 10."""
    rows = np.tile(DATA[:2], (60, 1))
    ours = learner(architecture, rows=rows)
    start = [values.copy() for values in evaluate(ours, WINDOWS[FOLLOWED, :11], 6)]
    state, arrays = run(tmp_path, ours)
    assert arrays["step"].tolist() == [0, 1, 8, 60]
    assert arrays["rows"].tolist() == FOLLOWED.tolist()
    assert arrays["n_scored"] == 5
    assert arrays["vocabulary"] == VOCABULARY
    assert arrays["nll"].shape == arrays["right"].shape == (4, 4)
    np.testing.assert_array_equal(arrays["nll"][0], start[0])
    np.testing.assert_array_equal(arrays["right"][0], start[1])
    end = evaluate(ours, WINDOWS[FOLLOWED, :11], 6)
    np.testing.assert_array_equal(arrays["nll"][-1], end[0])
    assert arrays["nll"][-1, 0] < 0.2 * start[0][0]  # window 1 is in the rows
    assert arrays["right"][-1, 0] == 5
    assert (arrays["nll"][-1, 1:] > 0.9 * start[0][1:]).all()  # the others are not
    assert arrays["loss"].shape == (60,)
    assert arrays["loss"][0] == pytest.approx(
        plain_losses(learner(architecture).model, rows[:2]).mean().item(), rel=1e-5
    )
    assert arrays["loss"][-1] < 0.2 * arrays["loss"][0]
    assert arrays["parameters"] == arrays["trainable"] == sum(each.numel() for each in ours.model.parameters())
    assert state.keys() == ours.model.state_dict().keys()
    assert all(torch.equal(state[name], values) for name, values in ours.model.state_dict().items())


@BOTH
def test_an_interrupted_training_ends_like_an_unbroken_one(tmp_path, monkeypatch, capsys, architecture):
    expected, arrays = run(tmp_path, learner(architecture))
    step = TextLearner.step

    def killed(self, n):
        if n == 6:
            raise KeyboardInterrupt
        return step(self, n)

    monkeypatch.setattr(TextLearner, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, learner(architecture), every=0)
    monkeypatch.setattr(TextLearner, "step", step)
    state, again = run(tmp_path, learner(architecture, seed=1), every=0)
    assert "going on after step 5" in capsys.readouterr().out
    assert again.keys() == arrays.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(again[name], values)
        assert again[name].dtype == values.dtype
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], values) for name, values in expected.items())


@BOTH
def test_two_trainings_of_one_seed_are_the_same_bytes_and_of_another_seed_are_not(tmp_path, architecture):
    one, two, other = (run(tmp_path, learner(architecture, seed))[0] for seed in (0, 0, 1))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_the_seed_of_the_initial_weights_stays_as_it_is():
    assert [initial_weights(seed) for seed in (0, 1)] == [6922348879651138767, 2092580993407410324]


def test_a_training_that_diverges_is_an_error(tmp_path):
    ours = learner()
    with torch.no_grad():
        next(ours.model.parameters()).fill_(torch.nan)
    with pytest.raises(TrainingError, match=r"^step 8: the loss is nan$"):
        run(tmp_path, ours)
