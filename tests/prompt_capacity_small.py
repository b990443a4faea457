"""Tokenizers of whole words, pools of documents and untrained models, for several test files of prompt_capacity."""

from functools import cache

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from memorization.data.byte_pairs import train_byte_pairs
from memorization.models.language_model import LanguageModel, build
from memorization.prompt_capacity.frozen import FrozenModel
from memorization.prompt_capacity.texts import Pool, as_arrays

SHAPE = {
    "n_layers": 1, "d_model": 16, "n_heads": 2, "rotary_share": 1.0, "state_size": 4, "max_length": 64,
    "init_std": 0.4, "scan": "own",
}  # fmt: skip
PLACE = {"start_index": None, "stride": 100}
DRAWN = {"trials": 3, "random_trials": 2, "batch_size": 2, "id_length": 2, "id_method": "tokens"}
DRAWN |= {"n_trials": 3, "group_size": 2, "longest": 8, "first_seed": 0, "place": PLACE}


def words(*names: str) -> Tokenizer:
    """A token a word, in this order; words apart by spaces."""
    tokenizer = Tokenizer(models.WordLevel({name: n for n, name in enumerate(names)}, unk_token=names[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


@cache
def byte_pairs(vocabulary: int = 280) -> str:
    """A byte-level tokenizer, JSON."""
    return train_byte_pairs(["amber birch coral delta ember flint grove 0 1 2 3 4 5 6 7 8 9 " * 4], vocabulary)


def pool(lengths: list[int], vocabulary: int = 280) -> Pool:
    """Document n has the tokens 1000 n, 1000 n + 1, …, which no tokenizer knows; its vocabulary is that of bytes."""
    documents = [np.arange(length, dtype=np.int32) + 1000 * n for n, length in enumerate(lengths)]
    return Pool(as_arrays(documents, byte_pairs(vocabulary), vocabulary))


def frozen(vocabulary: int, architecture: str = "llama", **shape) -> FrozenModel:
    model = build(SHAPE | {"architecture": architecture} | shape, vocabulary)
    return FrozenModel(LanguageModel(model, vocabulary))
