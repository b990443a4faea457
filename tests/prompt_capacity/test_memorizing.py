"""Training prompts: many trials in one pass, each as if alone; the best iterate; trials that leave; resuming."""

import numpy as np
import pytest
import torch
from prompt_capacity_models import SETTINGS, layouts_of, learner, random_trials, tiny

from memorization.prompt_capacity import memorizing
from memorization.prompt_capacity.memorizing import Cell, PromptLearner, alone, memorize
from memorization.prompt_capacity.texts import Trials
from memorization.training.checkpoints import Unfinished
from memorization.training.fit import TrainingError

THREE = pytest.mark.parametrize("architecture", ["llama", "neox", "mamba"])
STEPS = 20
ORIGINAL = memorizing.generator


def trained(ours, steps=STEPS):
    """A learner after some steps, and its losses, (steps, n_prompts)."""
    losses = []
    for n in range(1, steps + 1):
        ours.step(n)
        losses.append(ours.loss.clone())
    return ours, torch.stack(losses)


def by_itself(monkeypatch, ours, prompt, **change):
    """A learner of one prompt of another learner, which begins as it does there."""
    layout, place = ours.cell.layout_of[prompt], ours.cell.layout_of[:prompt].count(ours.cell.layout_of[prompt])
    trials = dict(ours.cell.parts)[layout]
    mine = Trials(*(each[[place]] for each in (trials.texts, trials.ids, trials.kinds)))
    monkeypatch.setattr(memorizing, "generator", lambda *key: ORIGINAL(*key[:2], place, *key[3:]))
    found = learner(ours.model, mine, (layout,), ours.cell.length, **change)
    monkeypatch.setattr(memorizing, "generator", ORIGINAL)
    assert torch.equal(found.first[0], ours.first[prompt])
    return found


@THREE
def test_trials_trained_together_are_trained_as_if_alone(monkeypatch, architecture):
    """Of all layouts, whose rows have several lengths."""
    ours = learner(tiny(architecture, init_std=0.2), layouts=layouts_of(architecture), weight_decay=0.01)
    ours, losses = trained(ours)
    assert (losses[-1] < losses[0] - 0.1).all()
    for prompt in range(ours.n_prompts):
        solo, its_losses = trained(by_itself(monkeypatch, ours, prompt, weight_decay=0.01))
        torch.testing.assert_close(its_losses[:, 0], losses[:, prompt], rtol=0, atol=1e-5)
        torch.testing.assert_close(solo.embeddings()[0], ours.embeddings()[prompt], rtol=0, atol=1e-5)
        torch.testing.assert_close(solo.best[0], ours.best[prompt], rtol=0, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_step_in_several_passes_is_the_same_step(rows):
    """Groups of two texts: a pass has whole groups, one at least."""
    whole, parts = (learner(tiny(), random_trials(3, 2, 5), batch_rows=most) for most in (100, rows))
    assert [len(each) for each in parts._batches(parts.active)] != [len(whole.active)]
    (whole, losses), (parts, theirs) = trained(whole), trained(parts)
    torch.testing.assert_close(theirs, losses, rtol=0, atol=1e-5)
    torch.testing.assert_close(parts.embeddings(), whole.embeddings(), rtol=0, atol=1e-5)


@THREE
def test_a_trial_that_has_converged_leaves_and_changes_no_other(monkeypatch, architecture):
    """One has converged at the first question; it is left as it stands while the others go on as if alone."""
    layouts = layouts_of(architecture)
    model = tiny(architecture, init_std=0.2)
    early = 1
    monkeypatch.setattr(
        PromptLearner,
        "_ended",
        lambda self, n, wanted: (wanted == early) & (n == 5) & (self.n_prompts > 1),
    )
    ours, losses = trained(learner(model, layouts=layouts))
    assert ours.left.tolist() == [4 if prompt == early else -1 for prompt in range(ours.n_prompts)]
    four_steps, _ = trained(by_itself(monkeypatch, ours, early), 4)
    torch.testing.assert_close(ours.embeddings()[early], four_steps.embeddings()[0], rtol=0, atol=1e-5)
    assert torch.equal(ours.now[early], ours.embeddings()[early])  # the iterate that has converged, not one step on
    assert (losses[4:, early] == losses[4, early]).all()
    for prompt in {*range(ours.n_prompts)} - {early}:
        solo, its_losses = trained(by_itself(monkeypatch, ours, prompt))
        torch.testing.assert_close(its_losses[:, 0], losses[:, prompt], rtol=0, atol=1e-5)
        torch.testing.assert_close(solo.embeddings()[0], ours.embeddings()[prompt], rtol=0, atol=1e-5)


def easy():
    """Trials of one token, which are soon right."""
    return learner(tiny(), random_trials(4, 1, 1), k=4, evaluate_every=3, stop_perplexity=2.0)


def test_converged_is_below_the_perplexity_with_every_token_right_as_seen_every_few_steps():
    ours, losses = trained(easy(), 90)
    left = ours.left.long()
    assert (left >= 0).all()
    assert ours.active == []
    for prompt, last in enumerate(left.tolist()):
        assert (last + 1) % 3 == 0
        below = losses[2 : last + 1 : 3, prompt] < np.log(2.0)
        assert below.tolist() == [False] * (len(below) - 1) + [True]
        assert ours.right[prompt] == 1
    before = ours.embeddings().clone()
    assert torch.equal(ours.step(91), ours.loss.sum())  # nothing is left to train
    assert torch.equal(ours.embeddings(), before)
    assert torch.equal(ours.now, before)


def test_a_low_loss_with_a_wrong_token_is_not_converged():
    ours, _ = trained(learner(tiny(), random_trials(4, 1, 8), stop_perplexity=1000.0, evaluate_every=1), 3)
    assert ours.loss.max() < np.log(1000)
    assert (ours.right < 1).all()
    assert (ours.left == -1).all()


@THREE
def test_the_best_iterate_is_the_one_of_the_lowest_loss_before_its_step(architecture):
    """Losses rise again, by a learning rate that does: what is kept costs what is noted, by a pass of its own."""
    ours = learner(tiny(architecture), layouts=layouts_of(architecture))
    iterates, losses = [], []
    for n in range(1, STEPS + 1):
        for group in ours.optimizer.param_groups:
            group["lr"] = 0.1 if n < 12 else 10.0
        iterates.append(ours.embeddings().detach().clone())
        ours.step(n)
        losses.append(ours.loss.clone())
    losses = torch.stack(losses)
    assert (losses[-1] > ours.best_loss).float().mean() > 0.5
    assert torch.equal(ours.best_loss, losses.min(dim=0).values)
    assert torch.equal(ours.best_step.long(), losses.argmin(dim=0))
    for prompt, step in enumerate(ours.best_step.long()):
        assert torch.equal(ours.best[prompt], iterates[step][prompt])
    logits, tokens = ours.model.logits(ours.cell.inputs(ours.best))
    nll = torch.nn.functional.cross_entropy(logits, tokens, reduction="none").reshape(len(ours.inputs.tokens), -1)
    mean = torch.zeros(ours.n_prompts).index_add(0, ours.inputs.owner, nll.mean(dim=1))
    torch.testing.assert_close(mean / torch.bincount(ours.inputs.owner), ours.best_loss, rtol=0, atol=1e-5)


def test_the_first_loss_is_that_of_the_prompts_as_they_begin():
    ours, losses = trained(learner(tiny(), rate=0.01), 1)
    logits, tokens = ours.model.logits(ours.cell.inputs(ours.first))
    mean = torch.nn.functional.cross_entropy(logits, tokens, reduction="none").reshape(ours.n_prompts, -1).mean(dim=1)
    torch.testing.assert_close(losses[0], mean, rtol=0, atol=1e-5)
    assert torch.equal(ours.best, ours.first)


def test_layouts_begin_alike_and_trials_do_not():
    layouts = ("prefix", "infix", "infix_masked", 1)
    first = learner(tiny(), random_trials(3, 1), layouts).first.unflatten(0, (4, 3))
    assert all(torch.equal(first[0], each) for each in first[1:])
    assert not torch.equal(first[0, 0], first[0, 1])
    solo = learner(tiny(), random_trials(2, 2), ("prefix", "solo")).first[2:]
    assert len({tuple(each.flatten().tolist()) for each in solo}) == 4
    other = PromptLearner(tiny(), Cell(random_trials(3, 1), layouts, 2), SETTINGS, dict.fromkeys(layouts, 0.1), 1)
    assert not torch.equal(other.first[:3], first[0])


def test_prompts_of_each_purpose_begin_at_their_own_and_so_do_their_subspaces():
    """A text that is tuned on has no trial's first P, nor has one that grows."""
    cell = Cell(random_trials(), ("prefix", "solo"), 2)
    made = [
        PromptLearner(tiny(), cell, SETTINGS | {"rank": 2}, {"prefix": 0.1, "solo": 0.1}, 0, *purpose)
        for purpose in ([], ["trials"], ["tuning"], ["growing"])
    ]
    for name in ("first", "bases"):
        default, *others = [ours.first if name == "first" else ours.embeddings.bases for ours in made]
        assert torch.equal(default, others[0])
        rows = torch.stack(others).flatten(0, 1).flatten(1)
        assert len({tuple(row) for row in rows.tolist()}) == 3 * 9


def test_each_layout_has_its_learning_rate():
    """Adam's first step is as long as the rate in each entry."""
    cell = Cell(random_trials(), ("prefix", "infix"), 2)
    ours = PromptLearner(tiny(), cell, SETTINGS, {"prefix": 0.1, "infix": 0.4}, 0)
    ours.step(1)
    moved = (ours.embeddings() - ours.first).detach().abs().flatten(1).median(dim=1).values
    torch.testing.assert_close(moved, torch.tensor([0.1] * 3 + [0.4] * 3), rtol=1e-3, atol=0)


def test_without_the_first_token_the_others_are_trained_and_it_is_not():
    """What the first token is has no part in the loss but as what stands before the others."""
    ours = learner(tiny(), random_trials(3, 1, 4), ("prefix", "infix"), score_first_token=False)
    assert ours.inputs.scored.sum(dim=1).tolist() == [3] * 6
    ours.step(1)
    logits, tokens = ours.model.logits(ours.cell.inputs(ours.first))
    nll = torch.nn.functional.cross_entropy(logits, tokens, reduction="none").reshape(6, 4)
    torch.testing.assert_close(ours.loss, nll[:, 1:].mean(dim=1), rtol=0, atol=1e-5)


def test_a_group_s_loss_is_the_mean_over_its_tokens_and_each_text_of_solo_has_its_own():
    ours = learner(tiny(), random_trials(2, 3, 4), ("prefix", "solo"))
    ours.step(1)
    logits, tokens = ours.model.logits(ours.cell.inputs(ours.first))
    nll = torch.nn.functional.cross_entropy(logits, tokens, reduction="none").reshape(12, 4)
    expected = [*nll[:6].reshape(2, 12).mean(dim=1), *nll[6:].mean(dim=1)]
    torch.testing.assert_close(ours.loss, torch.stack(expected), rtol=0, atol=1e-5)


def test_each_text_of_a_group_alone():
    trials = random_trials(2, 3, 4)
    found = alone(trials)
    assert found.texts.shape == (6, 1, 4)
    assert found.texts[:, 0].tolist() == trials.texts.reshape(6, 4).tolist()
    assert found.ids[:, 0].tolist() == trials.ids.reshape(6, 2).tolist()
    assert found.kinds.tolist() == ["text"] * 3 + ["random"] * 3


def test_a_rank_keeps_what_is_trained_in_its_subspace():
    ours, losses = trained(learner(tiny(), rank=3, k=4))
    moved = (ours.embeddings() - ours.first).detach()
    assert (losses[-1] < losses[0]).all()
    for prompt, each in enumerate(moved):
        basis = ours.embeddings.bases[prompt]
        torch.testing.assert_close(each @ basis.T @ basis, each, rtol=0, atol=1e-5)
        assert torch.linalg.matrix_rank(each, atol=1e-4) == 3
    assert torch.linalg.matrix_rank((ours.best - ours.first)[0], atol=1e-4) == 3


def memorized(tmp_path, ours, steps=40, every=3600.0, n_records=6):
    return memorize(ours, steps, n_records, Unfinished(tmp_path / "x.a.unfinished", every), 3600)


def test_what_is_recorded(tmp_path):
    ours = learner(tiny())
    found = memorized(tmp_path, ours)
    other, losses = trained(learner(tiny()), 40)
    np.testing.assert_array_equal(found["losses"], losses)
    assert found["losses"].dtype == np.float32
    assert found["step"].tolist() == [0, 1, 2, 4, 9, 19, 39]
    assert found["norm"].shape == found["cosine"].shape == (7, 6, 2)
    assert found["right"].shape == (7, 6)
    np.testing.assert_allclose(found["norm"][0], ours.first.norm(dim=2), rtol=1e-6)
    np.testing.assert_allclose(found["cosine"][0], 1, rtol=1e-5)
    np.testing.assert_allclose(found["norm"][-1], ours.now.norm(dim=2), rtol=1e-6)
    cosine = torch.nn.functional.cosine_similarity(ours.now, ours.first, dim=2)
    np.testing.assert_allclose(found["cosine"][-1], cosine, rtol=1e-5)
    assert found["left"].tolist() == [-1] * 6
    assert found["best_step"].tolist() == other.best_step.tolist() == losses.argmin(dim=0).tolist()


def test_training_ends_soon_after_all_trials_have_left(tmp_path):
    found = memorized(tmp_path, easy(), 500)
    assert len(found["losses"]) == 50 * (found["left"].max() // 50 + 1) < 500
    assert (found["left"] >= 0).all()
    for prompt, last in enumerate(found["left"]):
        assert (found["losses"][last:, prompt] == found["losses"][last, prompt]).all()


@pytest.mark.parametrize(("dies", "rank"), [(1, None), (7, 12), (25, None)])
def test_an_interrupted_training_ends_like_an_unbroken_one(tmp_path, monkeypatch, capsys, dies, rank):
    """Of trials of which some have left already."""

    def new():
        both = random_trials(3, 1, 2)
        return learner(tiny(), both, layouts_of("llama"), rate=0.3, evaluate_every=3, rank=rank, stop_perplexity=6.0)

    one = new()
    expected, step = memorized(tmp_path, one), PromptLearner.step
    assert set(expected["left"] >= 0) == {True, False}

    def killed(self, n):
        if n == dies:
            raise KeyboardInterrupt
        return step(self, n)

    monkeypatch.setattr(PromptLearner, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        memorized(tmp_path, new(), every=0)
    monkeypatch.setattr(PromptLearner, "step", step)
    two = new()
    again = memorized(tmp_path, two, every=0)
    assert (f"going on after step {dies - 1}" in capsys.readouterr().out) == (dies > 1)
    assert again.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(again[name], values)
        assert again[name].dtype == values.dtype
    assert torch.equal(one.best, two.best)
    assert all(torch.equal(values, two.state()[name]) for name, values in one.state().items())


def test_a_loss_that_is_not_finite_is_an_error(tmp_path):
    model = tiny()
    with torch.no_grad():
        model.model.model.norm.weight[0] = torch.nan
    with pytest.raises(TrainingError, match=r"^step 40: the loss is nan$"):
        memorized(tmp_path, learner(model))
