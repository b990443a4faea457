"""prompt_capacity: trials in one pass, against one by one, and against PEFT's PromptTuning one by one."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from memorization.models.language_model import LanguageModel, build
from memorization.prompt_capacity.frozen import FrozenModel
from memorization.prompt_capacity.memorizing import Cell, PromptLearner
from memorization.prompt_capacity.texts import Trials
from memorization.training.devices import set_up

SHAPE = {"architecture": "llama", "n_layers": 2, "d_model": 128, "n_heads": 4, "max_length": 256, "init_std": 0.1}
VOCABULARY, TRIALS, PROMPT, LENGTH, STEPS, RATE = 512, 64, 2, 8, 8, 0.1
SETTINGS = {
    "init": "embedding_std", "beta2": 0.9, "weight_decay": 0, "score_first_token": True, "stop_perplexity": 1.0,
    "evaluate_every": 10, "batch_rows": 512,
}  # fmt: skip


def texts() -> Trials:
    rng = np.random.default_rng(0)
    tokens, ids = (rng.integers(VOCABULARY, size=(TRIALS, 1, length)) for length in (LENGTH, 1))
    return Trials(tokens, ids, np.repeat("text", TRIALS))


def trained(model: FrozenModel, trials: Trials) -> None:
    learner = PromptLearner(model, Cell(trials, ("prefix",), PROMPT), SETTINGS, {"prefix": RATE}, 0)
    for n in range(1, STEPS + 1):
        learner.step(n)


def one_by_one(model: FrozenModel, every: Trials) -> None:
    for n in range(TRIALS):
        trained(model, Trials(*(part[n : n + 1] for part in (every.texts, every.ids, every.kinds))))


def batched() -> tuple[Callable[[], None], Callable[[], None]]:
    set_up("cpu", threads=1)
    model, every = FrozenModel(LanguageModel(build(SHAPE, VOCABULARY), VOCABULARY)), texts()
    return lambda: trained(model, every), lambda: one_by_one(model, every)


def against_peft() -> tuple[Callable[[], None], Callable[[], None]]:
    """The same steps; PEFT's side is one trained module, as making one anew for each trial is no training."""
    from peft import PromptTuningConfig, TaskType, get_peft_model

    set_up("cpu", threads=1)
    every = texts()
    model = FrozenModel(LanguageModel(build(SHAPE, VOCABULARY), VOCABULARY))
    wanted = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=PROMPT)
    theirs = get_peft_model(build(SHAPE, VOCABULARY).eval(), wanted)
    tokens = torch.from_numpy(np.concatenate([every.ids, every.texts], axis=2)[:, 0])

    def peft() -> None:
        for row in tokens.split(1):
            optimizer = torch.optim.AdamW([each for each in theirs.parameters() if each.requires_grad], lr=RATE)
            for _ in range(STEPS):
                logits = theirs(input_ids=row).logits[:, -LENGTH - 1 : -1]
                optimizer.zero_grad()
                F.cross_entropy(logits.flatten(0, 1), row[0, -LENGTH:]).backward()
                optimizer.step()

    return lambda: trained(model, every), peft


WHAT = f"prompt_capacity, {STEPS} steps of {TRIALS} trials at once, {PROMPT} vectors, {LENGTH} tokens"
ROWS = [
    (WHAT, "one by one", 2.0, batched),
    (WHAT, "PEFT's PromptTuning one by one", 3.0, against_peft),
]
