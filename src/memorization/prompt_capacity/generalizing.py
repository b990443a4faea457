"""A prompt for a task: trained on some questions, asked others, by number of examples and of updates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from memorization.prompt_capacity import FAMILY
from memorization.prompt_capacity.chat import Format, Turn, ask
from memorization.prompt_capacity.frozen import FrozenModel
from memorization.prompt_capacity.layouts import layout_name
from memorization.prompt_capacity.prompting import PromptEmbeddings, first_prompts
from memorization.prompt_capacity.questions import Question, judged
from memorization.provenance import generator
from memorization.training.checkpoints import Unfinished, restore, training_state
from memorization.training.fit import Recorder, fit

AT_ONCE = 32  # questions that are answered together


@dataclass(frozen=True)
class Budget:
    """How long a prompt is trained on how many examples: so many ``updates``, or ``epochs`` over them."""

    training_samples: int
    kind: str
    updates: int


def budgets(settings: Mapping) -> list[Budget]:
    """Of each number of examples a training of ``epochs``, if there are any, and one of each of ``updates``."""
    found = []
    for size in settings["training_samples"]:
        if settings["epochs"] is not None:
            found.append(Budget(size, "epochs", settings["epochs"] * -(-size // settings["batch_size"])))
        found += [Budget(size, "updates", updates) for updates in settings["updates"]]
    return found


@dataclass(frozen=True)
class Split:
    """Questions apart: ``train``, of which smaller sets are the beginning, ``validation`` and ``test``."""

    train: list[Question]
    validation: list[Question]
    test: list[Question]


def split(
    questions: Sequence[Question], settings: Mapping, seed: int, name: str, test: Sequence[Question] | None = None
) -> Split:
    """Validation and test are the same in all seeds; the order of the others is the seed's.

    Parameters
    ----------
    questions : of the task
    settings : ``validation``, ``test``, ``training_samples``
    seed : of the run
    name : of the task
    test : questions apart, the first of which are the test; None: it is drawn from ``questions``

    Raises
    ------
    ValueError
        If there are too few.
    """
    n_validation, n_train = settings["validation"], max(settings["training_samples"])
    n_test = settings["test"] if test is None else 0
    if test is not None and len(test) < settings["test"]:
        raise ValueError(f"{name}: {len(test)} test questions, not {settings['test']}; allowed: a smaller test")
    if len(questions) < n_validation + n_test + n_train:
        raise ValueError(
            f"{name}: {len(questions)} questions, but {n_train} to train, {n_validation} to validate and {n_test} to "
            "test; allowed: fewer of training_samples, validation or test"
        )
    fixed = generator(FAMILY, name, "held out questions").permutation(len(questions))
    apart = n_validation + n_test
    order = generator(FAMILY, name, seed, "questions").permutation(fixed[apart:])[:n_train]
    held_out = [questions[n] for n in fixed[:apart]]
    asked = held_out[n_validation:] if test is None else list(test[: settings["test"]])
    return Split([questions[n] for n in order], held_out[:n_validation], asked)


def fitting(model: FrozenModel, form: Format, questions: Sequence[Question], settings: Mapping) -> list[Question]:
    """The questions that a model has room for, with P, the answer, and as many tokens as it may answer."""
    if model.max_length is None:
        return list(questions)
    room = model.max_length - settings["prompt_length"]
    lengths = [(len(each.user) + len(each.header), len(each.answer)) for each in form.turns(questions)]
    found = [
        question
        for question, (asked, answer) in zip(questions, lengths, strict=True)
        if asked + max(answer, settings["max_new_tokens"]) <= room
    ]
    print(f"{len(found)} of {len(questions)} questions fit into {model.max_length} tokens", flush=True)
    return found


class QuestionLearner:
    """Prompts for a task in one layout, each on its own number of examples: a ``fit.Learner``.

    At ``evaluations`` of its updates, evenly, the last among them, a prompt answers the validation questions; the best
    iterate has the most right answers, of as many the lower loss.

    Parameters
    ----------
    model : frozen
    form : how it reads questions
    split : the questions
    settings : of ``generalization``
    layout : where P stands
    seed : of the run
    """

    kept = ("best", "right", "cost", "best_step")

    def __init__(self, model: FrozenModel, form: Format, split: Split, settings: Mapping, layout: str | int, seed: int):
        self.model, self.form, self.settings, self.layout = model, form, settings, layout
        self.budgets = budgets(settings)
        self.steps = max(each.updates for each in self.budgets)
        self.train, self.validation = form.turns(split.train), form.turns(split.validation)
        self.answers = [each.answer for each in split.validation]
        length, n = settings["prompt_length"], len(self.budgets)

        def rng(_: int) -> np.random.Generator:
            """All begin alike, in all layouts."""
            return generator(FAMILY, seed, "prompt of a task")

        first = first_prompts(settings["init"], model.embedding, length, rng)
        self.embeddings = PromptEmbeddings(n, length, model.d_model, first).to(model.device)
        self.optimizer = torch.optim.AdamW(
            self.embeddings.parameters(),
            lr=settings["learning_rate"],
            betas=(0.9, settings["beta2"]),
            weight_decay=settings["weight_decay"],
            fused=True,
        )
        self.orders = [_order(seed, each, settings["batch_size"]) for each in self.budgets]
        with torch.no_grad():
            self.best = self.embeddings().clone()
        self.loss = torch.zeros(())
        self.right, self.cost, self.best_step = (
            -torch.ones(n, dtype=torch.float64),
            torch.zeros(n, dtype=torch.float64),
            torch.zeros(n),
        )

    def step(self, n: int) -> Tensor:
        """Update n of each prompt that has so many; the summed loss before it, nats a token."""
        active = [prompt for prompt, each in enumerate(self.budgets) if n <= each.updates]
        size = self.settings["batch_size"]
        batches = [self.orders[prompt][(n - 1) * size : n * size] for prompt in active]
        batches = [batch[batch >= 0] for batch in batches]  # the last of an epoch may be smaller
        self.optimizer.zero_grad(set_to_none=True)
        at_once = max(1, self.settings["batch_rows"] // size)  # prompts
        some = [slice(first, first + at_once) for first in range(0, len(active), at_once)]
        self.loss = sum(self._backward(active[part], batches[part]) for part in some)
        self.optimizer.step()
        for prompt in active:
            if n in _looks(self.budgets[prompt].updates, self.settings["evaluations"]):
                self._look(prompt, n)
        return self.loss

    def _backward(self, prompts: Sequence[int], batches: Sequence[np.ndarray]) -> Tensor:
        """The summed loss of some prompts, each on its examples, after its gradient is theirs."""
        turns = [self.train[example] for batch in batches for example in batch]
        owner = [place for place, batch in enumerate(batches) for _ in batch]
        inputs = ask(turns, owner, self.embeddings(prompts), self.layout).to(self.model.device)
        loss = _mean_losses(self.model, inputs, len(prompts)).sum()
        loss.backward()
        return loss.detach()

    @torch.no_grad()
    def _look(self, prompt: int, n: int) -> None:
        now = self.embeddings([prompt])
        right = float(np.mean([judged(*each)[1] for each in zip(self.said(now), self.answers, strict=True)]))
        cost = answer_cost(self.model, self.validation, now, self.layout)
        if (right, -cost) > (float(self.right[prompt]), -float(self.cost[prompt])):
            self.best[prompt], self.right[prompt], self.cost[prompt], self.best_step[prompt] = now[0], right, cost, n

    def said(self, prompt: Tensor) -> list[str]:
        """What a prompt (1, k, d_model) answers to the validation questions."""
        return answers(self.model, self.form, self.validation, prompt, self.layout, self.settings["max_new_tokens"])

    def state(self) -> dict[str, Tensor]:
        return training_state(self.embeddings, self.optimizer) | {name: getattr(self, name) for name in self.kept}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        restore(self.embeddings, self.optimizer, state)
        for name in self.kept:
            setattr(self, name, state[name].to(getattr(self, name).device))


def _order(seed: int, budget: Budget, batch_size: int) -> np.ndarray:
    """The examples of all updates: each epoch has all of them, in an order of its own."""
    size, needed = budget.training_samples, budget.updates * batch_size
    epochs = []
    for epoch in range(-(-needed // size) + 1):
        order = generator(FAMILY, seed, size, epoch, "order of examples").permutation(size)
        rest = -size % batch_size if budget.kind == "epochs" else 0
        epochs.append(np.concatenate([order, np.full(rest, -1)]))
    return np.concatenate(epochs)[:needed]


def _looks(updates: int, count: int) -> set[int]:
    return {*np.linspace(0, updates, count + 1).round().astype(int)[1:].tolist()}


def _mean_losses(model: FrozenModel, inputs, n_prompts: int) -> Tensor:
    """Of each prompt the mean loss of the tokens of its answers, nats."""
    logits, tokens = model.logits(inputs)
    of = inputs.owner.repeat_interleave(inputs.scored.sum(dim=1))
    losses = torch.zeros(n_prompts, device=logits.device).index_add(
        0, of, F.cross_entropy(logits, tokens, reduction="none")
    )
    return losses / torch.bincount(of, minlength=n_prompts)


@torch.no_grad()
def answer_cost(model: FrozenModel, turns: Sequence[Turn], prompt: Tensor | None, layout: str | int) -> float:
    """What a token of the answers costs in the mean, nats."""
    total, count = 0.0, 0
    for first in range(0, len(turns), AT_ONCE):
        some = turns[first : first + AT_ONCE]
        inputs = ask(some, [0] * len(some), prompt, layout).to(model.device)
        n = int(inputs.scored.sum())
        total += float(_mean_losses(model, inputs, 1)[0]) * n
        count += n
    return total / count


def answers(
    model: FrozenModel, form: Format, turns: Sequence[Turn], prompt: Tensor | None, layout: str | int, count: int
) -> list[str]:
    """What a model answers greedily, at most ``count`` tokens."""
    said: list[str] = []
    for first in range(0, len(turns), AT_ONCE):
        some = turns[first : first + AT_ONCE]
        inputs = ask(some, [0] * len(some), prompt, layout).to(model.device)
        said += form.tokenizer.decode_batch(model.greedy(inputs, count, form.stop), skip_special_tokens=False)
    return said


def generalize(learner: QuestionLearner, unfinished: Unfinished, report_seconds: float) -> np.ndarray:
    """Train all prompts of a layout; the summed losses of all updates, (steps,)."""
    recorder = Recorder(loss=((), np.float32))

    def record(step: int) -> None:
        if step:
            recorder.append(loss=float(learner.loss))

    fit(learner, record, recorder, learner.steps, unfinished, report_seconds)
    return recorder["loss"]


def generalization_table(learner: QuestionLearner, test: Sequence[Question], about: Mapping) -> pd.DataFrame:
    """A row a prompt, and one of layout ``none`` for the model without any: what is right of the test questions.

    Returns
    -------
    See docs/reference/tables.md; ``complies`` is the share of answers with a number behind ``####``, ``exact`` that of
    right ones.
    """
    model, form, settings = learner.model, learner.form, learner.settings
    turns = form.turns(test)
    rows = []
    none = Budget(0, "none", 0)
    for n, budget in enumerate([none, *learner.budgets]):
        prompt = None if budget is none else learner.best[[n - 1]]
        said = answers(model, form, turns, prompt, learner.layout, settings["max_new_tokens"])
        verdicts = np.array([judged(each, question.answer) for each, question in zip(said, test, strict=True)])
        right = np.nan if budget is none else float(learner.right[n - 1])
        rows.append(
            dict(about)
            | {
                "layout": "none" if budget is none else layout_name(learner.layout),
                "prompt_length": 0 if budget is none else settings["prompt_length"],
                "training_samples": budget.training_samples,
                "budget": budget.kind,
                "updates": budget.updates,
                "best_update": 0 if budget is none else int(learner.best_step[n - 1]),
                "validation_exact": right,
                "exact": verdicts[:, 1].mean(),
                "complies": verdicts[:, 0].mean(),
                "bits_per_token": answer_cost(model, turns, prompt, learner.layout) / np.log(2),
                "n_test": len(test),
            }
        )
    return pd.DataFrame(rows)
