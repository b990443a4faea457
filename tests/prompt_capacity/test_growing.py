"""Texts that grow: the horizon against a slow reference, what ends a trial, what is censored, and resuming."""

import numpy as np
import pytest
import torch
from prompt_capacity_models import DRAWN, SETTINGS, VOCABULARY, layouts_of, learner, pool, random_trials, tiny
from torch.nn import functional as F

from memorization.prompt_capacity.growing import GrowingLearner, grow, grown_texts, horizon_table
from memorization.prompt_capacity.layouts import layout_name
from memorization.prompt_capacity.memorizing import Cell, PromptLearner
from memorization.prompt_capacity.prompting import assemble
from memorization.training.checkpoints import Unfinished

THREE = pytest.mark.parametrize("architecture", ["llama", "neox", "mamba"])
WHOLE, K, RATE = 6, 4, 0.1


def new(architecture="llama", trials=None, layouts=None, patience=30, **change):
    trials = random_trials(2, 2, WHOLE, seed=5) if trials is None else trials
    change, model = {"patience": patience, "rank": None} | change, tiny(architecture)
    return learner(model, trials, layouts or layouts_of(architecture), K, RATE, GrowingLearner, **change)


def grown(ours, tmp_path, steps, every=3600.0):
    return grow(ours, steps, Unfinished(tmp_path / "x.a.unfinished", every), 3600)["horizon"]


def slowly(model, first, ids, texts, layout, patience, steps):
    """One prompt by itself, a text at a time, the plain way.

    Returns
    -------
    The horizon after each step, the prompt of the longest right text, what that costs in nats, the last growth, and
    the iterate at which the trial had ended.
    """
    prompt = torch.nn.Parameter(first.clone())
    optimizer = torch.optim.AdamW([prompt], lr=RATE, betas=(0.9, 0.9), weight_decay=0)
    tokens, horizon, best, cost, since, course = 1, 0, first.clone(), 0.0, 0, []
    for n in range(1, steps + 1):
        losses, exact = [], True
        for one, text in zip(ids, texts, strict=True):
            row = assemble(prompt[None], one[None, None], text[None, None], layout)
            logits = model.logits(row)[0][:tokens]
            losses.append(F.cross_entropy(logits, text[:tokens], reduction="none"))
            exact &= bool((logits.argmax(dim=1) == text[:tokens]).all())
        losses = torch.stack(losses)
        if exact:
            horizon, best, cost, since = tokens, prompt.detach().clone(), losses.sum().item(), n
        course.append(horizon)
        if horizon == len(texts[0]) or n - since >= patience:
            return course, best, cost, since, n - 1
        optimizer.zero_grad()
        losses.mean().backward()
        optimizer.step()
        tokens = tokens + 1 if exact else tokens
    return course, best, cost, since, -1


@THREE
def test_horizons_are_those_of_a_slow_reference(tmp_path, architecture):
    """All trials together, of several layouts, against each alone."""
    trials, steps = random_trials(2, 2, WHOLE, seed=6), 40
    ours = new(architecture, trials, ("prefix", "infix", "solo"), patience=15)
    course = grown(ours, tmp_path, steps)
    for prompt, layout in enumerate(ours.cell.layout_of):
        trials = dict(ours.cell.parts)[layout]
        place = ours.cell.layout_of[:prompt].count(layout)
        ids, texts = (torch.from_numpy(each[place]) for each in (trials.ids, trials.texts))
        horizons, best, cost, since, left = slowly(ours.model, ours.first[prompt], ids, texts, layout, 15, steps)
        assert course[: len(horizons), prompt].tolist() == horizons
        assert (course[len(horizons) :, prompt] == horizons[-1]).all()
        assert ours.horizon[prompt] == horizons[-1]
        assert ours.since[prompt] == since
        assert ours.left[prompt] == left
        assert ours.cost[prompt].item() == pytest.approx(cost, abs=5e-3)
        torch.testing.assert_close(ours.best[prompt], best, rtol=0, atol=5e-3)
    assert (ours.left >= 0).any()
    assert len({*ours.horizon.tolist()}) > 2


def test_the_best_iterate_is_that_of_the_longest_text_and_gives_it_back(tmp_path):
    ours = new()
    grown(ours, tmp_path, 80)
    said = ours.model.greedy(ours.cell.inputs(ours.best), WHOLE)
    inputs = ours.cell.inputs(ours.best)
    texts, owner = inputs.tokens[inputs.scored].reshape(-1, WHOLE).tolist(), inputs.owner.tolist()
    assert ours.horizon.min() < ours.horizon.max()
    for row, prompt in enumerate(owner):
        n = int(ours.horizon[prompt])
        assert said[row][:n] == texts[row][:n]


def table(ours, steps):
    return horizon_table(ours, steps, {"condition": "mine", "seed": 3})


def frozen_in_place(monkeypatch, ours, right):
    """Prompts are right on the tokens of their texts that ``right`` says, up to a place; nothing is learned."""
    logits = ours.model.logits

    def said(inputs):
        of_all, tokens = logits(inputs)
        counts = inputs.scored.sum(dim=1).tolist()
        places = [place for count in counts for place in range(count)]
        owners = [owner for count, owner in zip(counts, inputs.owner.tolist(), strict=True) for _ in range(count)]
        active = ours.active
        wrong = torch.tensor([place >= right[active[owner]] for place, owner in zip(places, owners, strict=True)])
        target = torch.where(wrong, (tokens + 1) % VOCABULARY, tokens)
        return of_all * 0 + 5 * F.one_hot(target, VOCABULARY), tokens

    monkeypatch.setattr(ours.model, "logits", said)


def test_what_ends_a_trial_and_what_is_censored_by_hand(tmp_path, monkeypatch):
    """Four prompts: never right; right on 2 tokens; on all; and on 5, but the budget ends in between.

    One grows by a token a step: at step n it is asked n tokens. The one that is right on 5 is last right at step 5.
    """
    trials = random_trials(4, 1, 8)
    ours = new(trials=trials, layouts=("prefix",), patience=4)
    frozen_in_place(monkeypatch, ours, [0, 2, 8, 5])
    course = grown(ours, tmp_path, 8)
    assert course.T.tolist() == [[0] * 8, [1, 2, 2, 2, 2, 2, 2, 2], [*range(1, 9)], [1, 2, 3, 4, 5, 5, 5, 5]]
    assert ours.left.tolist() == [3, 5, 7, -1]  # iterates are counted from 0
    assert ours.since.tolist() == [0, 2, 8, 5]
    monkeypatch.undo()
    found = table(ours, 8)
    assert found["horizon"].tolist() == [0, 2, 8, 5]
    assert found["censored"].tolist() == [False, False, True, True]
    assert found["steps"].tolist() == [3, 5, 7, 8]
    assert found["gain_bits"][0] == 0  # nothing was right, nothing gained
    assert torch.equal(ours.best[0], ours.first[0])


def test_a_trial_that_stopped_growing_just_as_the_budget_ended_is_not_censored(tmp_path, monkeypatch):
    ours = new(trials=random_trials(1, 1, 8), layouts=("prefix",), patience=4)
    frozen_in_place(monkeypatch, ours, [5])
    grown(ours, tmp_path, 9)
    assert ours.left.tolist() == [8]
    monkeypatch.undo()
    assert table(ours, 9)["censored"].tolist() == [False]


@pytest.mark.parametrize("scores_first", [True, False])
def test_what_the_right_text_gains_is_counted_over_its_tokens_alone(tmp_path, scores_first):
    """The tokens that were trained, with and without the first one."""
    ours = new(layouts=("prefix", "solo"), score_first_token=scores_first)
    grown(ours, tmp_path, 80)
    found, skipped = table(ours, 80), 0 if scores_first else 1
    assert ours.whole == WHOLE - skipped
    costs = {}
    for name, inputs in (("with", ours.cell.inputs(ours.best)), ("without", ours.cell.without(0))):
        logits, tokens = ours.model.logits(inputs)
        costs[name] = F.cross_entropy(logits, tokens, reduction="none").reshape(-1, WHOLE).numpy()
    owner = ours.inputs.owner.numpy()
    for prompt, horizon in enumerate(found["horizon"]):
        gains = (costs["without"] - costs["with"])[owner == prompt, skipped : skipped + horizon]
        assert found["gain_bits"][prompt] == pytest.approx(gains.sum() / np.log(2), abs=1e-3)
    assert found["horizon"].max() > 2


def test_rows_are_named(tmp_path):
    ours = new(trials=random_trials(2, 2, 3), layouts=("prefix", "solo", 1), rank=2)
    grown(ours, tmp_path, 5)
    found = table(ours, 5)
    assert found["layout"].tolist() == ["prefix"] * 2 + ["solo"] * 4 + ["offset1"] * 2
    assert found["kind"].tolist() == [*["text", "random"], *["text"] * 2, *["random"] * 2, *["text", "random"]]
    assert found["trial"].tolist() == [0, 1, 0, 0, 1, 1, 0, 1]
    sizes = {"condition": "mine", "seed": 3, "d_model": 16, "prompt_length": K, "rank": 2}
    assert all(found[name].eq(value).all() for name, value in sizes.items())
    whole = new(layouts=("prefix",))
    whole.step(1)
    assert table(whole, 1)["rank"].eq(16).all()


def test_a_rank_keeps_prompts_in_their_subspace_and_holds_less(tmp_path):
    whole, small = new(layouts=("prefix",)), new(layouts=("prefix",), rank=1)
    for ours in (whole, small):
        grown(ours, tmp_path, 150)
    for prompt, moved in enumerate((small.embeddings() - small.first).detach()):
        basis = small.embeddings.bases[prompt]
        torch.testing.assert_close(moved @ basis.T @ basis, moved, rtol=0, atol=1e-4)
    assert small.horizon.sum() < whole.horizon.sum()


def test_a_subspace_has_nothing_to_do_with_where_its_prompt_begins():
    """Their streams are apart: of one stream, a subspace of one dimension would be that of the first vector."""
    ours = learner(tiny(), random_trials(6, 1), ("prefix",), 1, rank=1)
    cosines = F.cosine_similarity(ours.first[:, 0], ours.embeddings.bases[:, 0], dim=1)
    assert cosines.abs().max() < 0.9


@pytest.mark.parametrize("dies", [1, 33])
def test_an_interrupted_training_ends_like_an_unbroken_one(tmp_path, monkeypatch, capsys, dies):
    one, step = new(patience=20), GrowingLearner.step
    expected = grown(one, tmp_path, 60)
    assert (one.left[one.left >= 0] < 59).any()

    def killed(self, n):
        if n == dies:
            raise KeyboardInterrupt
        return step(self, n)

    monkeypatch.setattr(GrowingLearner, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        grown(new(patience=20), tmp_path, 60, every=0)
    monkeypatch.setattr(GrowingLearner, "step", step)
    two = new(patience=20)
    np.testing.assert_array_equal(grown(two, tmp_path, 60, every=0), expected)
    assert (f"going on after step {dies - 1}" in capsys.readouterr().out) == (dies > 1)
    assert all(torch.equal(values, two.state()[name]) for name, values in one.state().items())
    assert table(one, 60).equals(table(two, 60))


def test_growing_ends_when_all_trials_have_ended(tmp_path, monkeypatch):
    ours = new(trials=random_trials(2, 1, 4), layouts=("prefix",), patience=4)
    frozen_in_place(monkeypatch, ours, [1, 4])
    assert len(grown(ours, tmp_path, 500)) == 50


def test_prompts_of_texts_that_grow_begin_as_those_of_this_purpose():
    ours = new(layouts=("prefix", "solo"))
    rates = dict.fromkeys(ours.cell.layouts, RATE)
    of_purpose, of_trials = (
        PromptLearner(tiny(), ours.cell, SETTINGS, rates, 0, each) for each in ("growing", "trials")
    )
    assert torch.equal(ours.first, of_purpose.first)
    assert not (ours.first == of_trials.first).any()


def test_texts_of_a_run_are_grown(tmp_path):
    settings = SETTINGS | DRAWN | {
        "prompt_length": 3, "layouts": ["prefix", "infix"], "max_length": 4, "steps": 12, "patience": 50,
        "rank": None, "learning_rates": [0.1],
    }  # fmt: skip
    found = grown_texts(tiny(), pool(), settings, ("mine", 0, []), Unfinished(tmp_path / "y.a.unfinished", 3600), 3600)
    cell = Cell(pool().trials(settings, 4, 0, "growing"), ("prefix", "infix"), 3)
    ours = GrowingLearner(tiny(), cell, settings, {"prefix": 0.1, "infix": 0.1}, 0)
    grown(ours, tmp_path, 12)
    assert found.equals(horizon_table(ours, 12, {"condition": "mine", "seed": 0}))
    assert {*found["layout"]} == {layout_name(layout) for layout in cell.layouts}
    assert {*found["prompt_length"]} == {3}
