import numpy as np
import pytest
import torch
from prompt_capacity_small import frozen, words
from torch.nn import functional as F

from memorization.prompt_capacity import generalizing
from memorization.prompt_capacity.chat import Format, ask
from memorization.prompt_capacity.generalizing import (
    Budget,
    QuestionLearner,
    Split,
    answer_cost,
    answers,
    budgets,
    fitting,
    generalization_table,
    generalize,
    split,
)
from memorization.prompt_capacity.questions import Question
from memorization.training.checkpoints import Unfinished

WORDS = ("?", "question:", "answer:", "####", "END", *map(str, range(10)))
SETTINGS = {
    "prompt_length": 2, "training_samples": [3, 10], "epochs": 2, "updates": [5], "batch_size": 4, "batch_rows": 100,
    "learning_rate": 0.1, "beta2": 0.9, "weight_decay": 0.0, "init": "embedding_std", "evaluations": 2,
    "validation": 6, "test": 7, "max_new_tokens": 4,
}  # fmt: skip
QUESTIONS = [Question(f"{n // 10 % 10} {n % 10}", f"#### {n % 3}") for n in range(40)]
SEVEN = [Question(each.question, "#### 7") for each in QUESTIONS]


class Spaced:
    """A tokenizer of words that puts spaces between those that it decodes."""

    def __init__(self):
        self.encode = words(*WORDS).encode

    def decode_batch(self, rows, skip_special_tokens):
        return [" ".join(WORDS[token] for token in row) for row in rows]


FORM = Format(Spaced(), None, WORDS.index("END"), {})


def learner(layout="prefix", seed=0, questions=QUESTIONS, **change):
    settings = SETTINGS | change
    parts = split(questions, settings, 0, "task")
    return QuestionLearner(frozen(len(WORDS), d_model=32), FORM, parts, settings, layout, seed)


def run(folder, ours, every=3600.0):
    return generalize(ours, Unfinished(folder / "x.a.unfinished", every), 3600)


def test_each_number_of_examples_is_trained_for_epochs_and_for_updates():
    """5 examples in batches of 4 are two updates an epoch."""
    settings = {"training_samples": [5, 8], "epochs": 3, "updates": [10, 20], "batch_size": 4}
    expected = [
        Budget(5, "epochs", 6), Budget(5, "updates", 10), Budget(5, "updates", 20),
        Budget(8, "epochs", 6), Budget(8, "updates", 10), Budget(8, "updates", 20),
    ]  # fmt: skip
    assert budgets(settings) == expected
    assert budgets(settings | {"epochs": None}) == [each for each in expected if each.kind == "updates"]
    assert budgets(settings | {"updates": []}) == [each for each in expected if each.kind == "epochs"]


def test_validation_and_test_are_the_same_in_all_seeds_and_none_of_them_is_trained_on():
    splits = [split(QUESTIONS, SETTINGS, seed, "task") for seed in range(4)]
    for each in splits:
        assert each.validation == splits[0].validation
        assert each.test == splits[0].test
        assert (len(each.train), len(each.validation), len(each.test)) == (10, 6, 7)
        assert len({*each.train, *each.validation, *each.test}) == 23
    assert splits[0].train != splits[1].train
    assert {*splits[0].train} != {*splits[1].train}
    assert split(QUESTIONS, SETTINGS, 0, "task") == splits[0]
    assert split(QUESTIONS, SETTINGS, 0, "other").test != splits[0].test


def test_smaller_training_sets_are_the_beginning_of_larger_ones():
    small = split(QUESTIONS, SETTINGS | {"training_samples": [4]}, 0, "task")
    large = split(QUESTIONS, SETTINGS | {"training_samples": [20, 4]}, 0, "task")
    assert large.train[:4] == small.train
    assert large.test == small.test


def test_test_questions_may_stand_apart():
    apart = [Question(f"test {n}", "#### 1") for n in range(9)]
    found = split(QUESTIONS, SETTINGS, 0, "task", apart)
    assert found.test == apart[:7]
    assert len(found.validation) == 6
    assert not {*found.train} & {*found.validation}
    every = split(QUESTIONS, SETTINGS | {"training_samples": [34]}, 0, "task", apart)  # none is kept for a test
    assert len({*every.train, *every.validation}) == 40


@pytest.mark.parametrize(
    ("questions", "test", "message"),
    [
        (QUESTIONS[:22], None, "task: 22 questions, but 10 to train, 6 to validate and 7 to test; allowed: fewer of"),
        (QUESTIONS[:15], QUESTIONS, "task: 15 questions, but 10 to train, 6 to validate and 0 to test; allowed: fewer"),
        (QUESTIONS, QUESTIONS[:6], "task: 6 test questions, not 7; allowed: a smaller test"),
    ],
)
def test_too_few_questions_are_one_line(questions, test, message):
    with pytest.raises(ValueError, match=r"^task: ") as error:
        split(questions, SETTINGS, 0, "task", test)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_questions_that_a_model_has_no_room_for_are_left_out(capsys):
    """4 tokens around the numbers, 2 of P, and 3 of an answer with its end or 4 that may be said."""
    questions = [Question(" ".join(n * ["1"]), "#### 7") for n in (1, 2, 3, 4)]
    takes = frozen(len(WORDS), max_length=2 + 2 + 3 + 4)
    assert fitting(takes, FORM, questions, SETTINGS) == questions[:3]
    assert "3 of 4 questions fit into 11 tokens" in capsys.readouterr().out
    long = [Question("1 2", "#### 7 7 7 7"), Question("1", "#### 7 7 7 7")]
    assert fitting(takes, FORM, long, SETTINGS) == long[1:]
    assert fitting(frozen(len(WORDS), "mamba"), FORM, questions, SETTINGS) == questions


@pytest.mark.parametrize(("size", "epochs"), [(3, 2), (4, 3), (10, 2)])
def test_the_batches_of_an_epoch_hold_each_example_once(size, epochs):
    (budget,) = budgets({"training_samples": [size], "epochs": epochs, "updates": [], "batch_size": 4})
    batches = generalizing._order(0, budget, 4).reshape(-1, 4)
    assert len(batches) == budget.updates
    of_epochs = batches.reshape(epochs, -1)
    for epoch in of_epochs:
        assert sorted(epoch[epoch >= 0].tolist()) == [*range(size)]
        assert (epoch[:size] >= 0).all()  # none but the last batch is smaller
    assert (of_epochs[0] != of_epochs[1]).any() or size == 3


def test_so_many_updates_are_of_full_batches_that_come_round():
    found = generalizing._order(0, Budget(10, "updates", 6), 4)
    assert len(found) == 24
    for first in (0, 10):
        assert sorted(found[first : first + 10].tolist()) == [*range(10)]
    assert found.min() >= 0
    assert (generalizing._order(1, Budget(10, "updates", 6), 4) != found).any()


def test_a_prompt_of_more_examples_than_a_batch_takes_has_full_batches_of_few():
    """Two examples, and batches of four: one update an epoch, of two; of updates, each example twice."""
    assert budgets(SETTINGS | {"training_samples": [2]})[0] == Budget(2, "epochs", 2)
    assert (generalizing._order(0, Budget(2, "epochs", 2), 4) < 0).sum() == 4
    assert np.bincount(generalizing._order(0, Budget(2, "updates", 3), 4)).tolist() == [6, 6]


def test_all_prompts_begin_alike_in_all_layouts_and_another_seed_has_another():
    first = learner().embeddings().detach()
    assert first.shape == (4, 2, 32)
    assert (first == first[0]).all()
    assert torch.equal(learner("suffix").embeddings(), first)
    assert not torch.equal(learner(seed=1).embeddings(), first)
    assert torch.equal(learner().best, first)


@pytest.mark.parametrize("layout", ["prefix", "infix", "infix_masked", "suffix", 2])
def test_a_step_is_that_of_each_prompt_alone(layout):
    """The mean loss of its batch's answer tokens, and one of AdamW; whoever has had its updates stays."""
    ours = learner(layout)
    assert [each.updates for each in ours.budgets] == [2, 5, 6, 5]
    expected = ours.embeddings().detach().clone()
    optimizers, prompts = [], []
    for each in expected:
        prompts.append(each.clone().requires_grad_())
        optimizers.append(torch.optim.AdamW([prompts[-1]], lr=0.1, betas=(0.9, 0.9), weight_decay=0.0))
    for n in range(1, 7):
        total = 0.0
        for prompt, optimizer, budget, order in zip(prompts, optimizers, ours.budgets, ours.orders, strict=True):
            if n > budget.updates:
                continue
            batch = [example for example in order[4 * (n - 1) : 4 * n] if example >= 0]
            losses = []
            for example in batch:
                inputs = ask([ours.train[example]], [0], prompt[None], layout)
                logits, tokens = ours.model.logits(inputs)
                losses.append(F.cross_entropy(logits, tokens, reduction="none"))
            loss = torch.cat(losses).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        assert float(ours.step(n)) == pytest.approx(total, rel=1e-4)
    for place, prompt in enumerate(prompts):
        torch.testing.assert_close(ours.embeddings([place])[0], prompt, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rows", [1, 4, 8, 15])
def test_a_step_in_several_passes_is_the_same_step(monkeypatch, rows):
    """Prompts of a pass are as many as have ``batch_rows`` examples together, at least one."""
    sizes = []
    losses = generalizing._mean_losses
    monkeypatch.setattr(generalizing, "_mean_losses", lambda *of: (sizes.append(of[-1]), losses(*of))[1])
    whole, parts = learner(), learner(batch_rows=rows)
    for n in range(1, whole.steps + 1):
        expected, before = whole.step(n), len(sizes)
        active = sum(n <= each.updates for each in whole.budgets)
        assert float(parts.step(n)) == pytest.approx(float(expected), rel=1e-5)
        passes = sizes[before : before + -(-active // max(1, rows // 4))]
        assert sum(passes) == active
        assert max(passes) == min(active, max(1, rows // 4))
    torch.testing.assert_close(parts.embeddings(), whole.embeddings(), rtol=1e-4, atol=1e-5)
    assert parts.right.tolist() == whole.right.tolist()


def test_two_iterates_with_the_same_share_of_right_answers_are_told_apart_by_cost_alone(monkeypatch, tmp_path):
    """1 of 6 right is no number of float32: a second one as good in answers and dearer is not the better one."""
    costs = iter([1.0, 1.0 + 1e-12])
    ours = learner(training_samples=[4], epochs=2, updates=[], evaluations=2)
    monkeypatch.setattr(generalizing, "answer_cost", lambda *_: next(costs))
    monkeypatch.setattr(QuestionLearner, "said", lambda self, _: self.answers[:1] + 5 * [""])
    run(tmp_path, ours)
    assert (ours.right.dtype, ours.cost.dtype) == (torch.float64, torch.float64)
    assert ours.best_step.tolist() == [1]
    assert ours.right.tolist() == [1 / 6]
    assert ours.cost.tolist() == [1.0]


def test_the_best_iterate_has_the_most_right_answers_and_of_as_many_the_lower_cost(monkeypatch, tmp_path):
    """One prompt with four looks: 1 right of 6, then 3, 3 at a lower cost, 2."""
    said = iter([1, 3, 3, 2])
    costs = iter([1.0, 2.0, 1.5, 0.1])
    ours = learner(training_samples=[4], epochs=4, updates=[], evaluations=4)
    monkeypatch.setattr(generalizing, "answer_cost", lambda *_: next(costs))
    monkeypatch.setattr(
        QuestionLearner, "said", lambda self, _: (right := next(said), self.answers[:right] + 6 * [""])[1][:6]
    )
    states = []
    step = QuestionLearner.step

    def noted(self, n):
        loss = step(self, n)
        states.append(self.embeddings().detach().clone())
        return loss

    monkeypatch.setattr(QuestionLearner, "step", noted)
    run(tmp_path, ours)
    assert ours.best_step.tolist() == [3]
    assert ours.right.tolist() == [3 / 6]
    assert ours.cost.tolist() == [1.5]
    assert torch.equal(ours.best, states[2])
    assert not torch.equal(ours.best, ours.embeddings())


@pytest.mark.parametrize(("updates", "count", "looks"), [(6, 3, {2, 4, 6}), (6, 1, {6}), (2, 3, {1, 2}), (1, 4, {1})])
def test_a_prompt_is_looked_at_evenly_and_at_last(updates, count, looks):
    assert generalizing._looks(updates, count) - {0} == looks


@pytest.mark.parametrize("layout", ["prefix", "suffix"])
def test_a_constant_answer_is_learned_wholly_and_the_model_alone_does_not_know_it(tmp_path, layout):
    change = {"training_samples": [12], "epochs": None, "updates": [150], "evaluations": 3, "prompt_length": 4}
    ours = learner(layout, questions=SEVEN, **change)
    losses = run(tmp_path, ours)
    assert losses.shape == (150,)
    assert losses[-1] < 0.5 * losses[0]
    test = split(SEVEN, SETTINGS | change, 0, "task").test
    found = generalization_table(ours, test, {"condition": "a", "seed": 3, "task": "seven"})
    assert found["layout"].tolist() == ["none", layout]
    alone, trained = found.to_dict("records")
    assert (trained["exact"], trained["complies"], trained["validation_exact"]) == (1, 1, 1)
    assert trained["best_update"] in (50, 100, 150)
    assert (trained["training_samples"], trained["budget"], trained["updates"]) == (12, "updates", 150)
    assert trained["bits_per_token"] < 0.5 * alone["bits_per_token"]
    assert (alone["exact"], alone["training_samples"], alone["budget"], alone["updates"]) == (0, 0, "none", 0)
    assert (alone["prompt_length"], alone["best_update"], trained["prompt_length"]) == (0, 0, 4)
    assert np.isnan(alone["validation_exact"])
    assert found[["condition", "seed", "task", "n_test"]].drop_duplicates().to_numpy().tolist() == [
        ["a", 3, "seven", 7]
    ]


def test_the_table_is_of_the_best_iterates_and_not_of_the_last(tmp_path):
    ours = learner(questions=SEVEN, training_samples=[12], epochs=None, updates=[60], evaluations=3)
    run(tmp_path, ours)
    test = split(SEVEN, SETTINGS, 0, "task").test
    before = generalization_table(ours, test, {})
    with torch.no_grad():
        for each in ours.embeddings.parameters():
            each.zero_()
    assert generalization_table(ours, test, {}).equals(before)


def test_an_answer_that_is_right_complies_and_one_that_complies_may_be_wrong(monkeypatch):
    ours = learner(training_samples=[4], epochs=1, updates=[])
    test = [Question("1", "#### 7")] * 4
    monkeypatch.setattr(generalizing, "answers", lambda *_: ["#### 7", "#### 7.0", "#### 8", "7"])
    found = generalization_table(ours, test, {})
    assert found["exact"].tolist() == [0.5, 0.5]
    assert found["complies"].tolist() == [0.75, 0.75]


@pytest.mark.parametrize("layout", ["prefix", "infix_masked"])
def test_the_cost_of_answers_is_that_of_a_plain_loop(monkeypatch, layout):
    monkeypatch.setattr(generalizing, "AT_ONCE", 4)
    ours = learner(layout)
    for prompt in (None, torch.randn(1, 2, 32)):
        costs = []
        for turn in ours.validation:
            logits, tokens = ours.model.logits(ask([turn], [0], prompt, layout))
            costs.append(F.cross_entropy(logits, tokens, reduction="none"))
        expected = torch.cat(costs).mean().item()
        assert answer_cost(ours.model, ours.validation, prompt, layout) == pytest.approx(expected, rel=1e-5)


def test_answers_end_before_the_token_that_ends_them_and_are_those_of_each_alone(monkeypatch):
    ours = learner("infix")
    prompt = torch.randn(1, 2, 32, generator=torch.Generator().manual_seed(0))
    every = answers(ours.model, FORM, ours.validation, prompt, "infix", 6)
    monkeypatch.setattr(generalizing, "AT_ONCE", 1)
    assert answers(ours.model, FORM, ours.validation, prompt, "infix", 6) == every
    assert not any("END" in each for each in every)
    assert all(len(each.split()) <= 6 for each in every)


def test_an_interrupted_training_ends_in_the_same_bytes(tmp_path, monkeypatch, capsys):
    change = {"questions": SEVEN, "updates": [9], "evaluations": 3}
    expected = learner(**change)
    losses, step = run(tmp_path, expected), QuestionLearner.step

    def killed(self, n):
        if n == 5:
            raise KeyboardInterrupt
        return step(self, n)

    monkeypatch.setattr(QuestionLearner, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, learner(**change), every=0)
    monkeypatch.setattr(QuestionLearner, "step", step)
    again = learner(**change)
    np.testing.assert_array_equal(run(tmp_path, again, every=0), losses)
    assert "going on after step 4" in capsys.readouterr().out
    for name, values in expected.state().items():
        assert torch.equal(again.state()[name], values), name


def test_the_split_s_order_and_the_prompt_are_streams_of_their_own():
    """Another seed of the run, with the same questions, trains another prompt on another order of them."""
    parts = Split(QUESTIONS[:10], QUESTIONS[10:16], QUESTIONS[16:23])
    one, other = (QuestionLearner(frozen(len(WORDS)), FORM, parts, SETTINGS, "prefix", seed) for seed in (0, 1))
    assert any((a != b).any() for a, b in zip(one.orders, other.orders, strict=True))
    assert not torch.equal(one.best, other.best)
