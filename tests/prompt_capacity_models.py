"""Tiny frozen models, untrained, for several test files of the family prompt_capacity; texts and settings for them."""

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

from memorization.models.language_model import LanguageModel, build
from memorization.prompt_capacity.frozen import FrozenModel
from memorization.prompt_capacity.memorizing import Cell, PromptLearner
from memorization.prompt_capacity.texts import Pool, Trials, as_arrays
from memorization.provenance import generator

SHAPE = {
    "n_layers": 2, "d_model": 16, "n_heads": 2, "rotary_share": 0.5, "state_size": 4, "max_length": 64,
    "init_std": 0.4, "scan": "own",
}  # fmt: skip
VOCABULARY = 40
ALL = ("prefix", "infix", "infix_masked", "solo", 1)  # layouts; an ID has two tokens here
SETTINGS = {
    "init": "embedding_std", "beta2": 0.9, "weight_decay": 0.0, "score_first_token": True, "stop_perplexity": 1.05,
    "evaluate_every": 10, "batch_rows": 100,
}  # fmt: skip
DRAWN = {
    "trials": 2, "random_trials": 1, "batch_size": 1, "id_length": 1, "id_method": "tokens",
    "n_trials": 2, "group_size": 1, "longest": 5, "first_seed": 0, "place": {"start_index": None, "stride": 1},
}  # fmt: skip


def tiny(architecture: str = "llama", **change) -> FrozenModel:
    """A frozen model; ``init_std`` as it stands makes its logits sharp."""
    shape = SHAPE | {"architecture": architecture} | change
    return FrozenModel(LanguageModel(build(shape, VOCABULARY), VOCABULARY))


def layouts_of(architecture: str) -> tuple[str | int, ...]:
    """All layouts that an architecture has: a Mamba has no attention to be masked."""
    return tuple(layout for layout in ALL if architecture != "mamba" or layout != "infix_masked")


def random_trials(n: int = 3, group: int = 2, length: int = 5, id_length: int = 2, seed: int = 0) -> Trials:
    """Random texts and IDs, the first half of kind text, the others random."""
    rng = generator("test", seed, "trials")
    texts = rng.integers(VOCABULARY, size=(n, group, length))
    ids = rng.integers(VOCABULARY, size=(n, group, id_length))
    return Trials(texts, ids, np.array(["text"] * (n - n // 2) + ["random"] * (n // 2)))


def learner(
    model: FrozenModel,
    trials: Trials | None = None,
    layouts: tuple[str | int, ...] = ("prefix", "infix"),
    k: int = 2,
    rate: float = 0.1,
    kind: type[PromptLearner] = PromptLearner,
    **change,
) -> PromptLearner:
    cell = Cell(random_trials() if trials is None else trials, layouts, k)
    return kind(model, cell, SETTINGS | change, dict.fromkeys(layouts, rate), 0)


def words() -> str:
    """A tokenizer of words w0, w1, …, as JSON."""
    tokenizer = Tokenizer(models.WordLevel({f"w{n}": n for n in range(VOCABULARY)}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer.to_str()


def pool(n: int = 40, length: int = 12) -> Pool:
    """Documents of random words."""
    rng = generator("test", 0, "documents")
    return Pool(as_arrays(list(rng.integers(VOCABULARY, size=(n, length))), words(), VOCABULARY))
