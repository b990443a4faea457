"""A byte-level byte-pair tokenizer trained here: any text has tokens, and they give it back."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END = "<|endoftext|>"  # between documents: the token 0
LEAST = 257  # tokens: the bytes and END


def train_byte_pairs(texts: Iterable[str], vocabulary: int) -> str:
    """Train byte-pair merges (Sennrich et al., 1508.07909) on UTF-8 bytes, as GPT-2's tokenizer.

    Returns
    -------
    The tokenizer in Hugging Face's format, JSON, the same for the same texts. ``<|endoftext|>`` is its token 0.

    Raises
    ------
    ValueError
        If the vocabulary has no room for all bytes, or the texts give fewer tokens.
    """
    if vocabulary < LEAST:
        raise ValueError(f"vocabulary: {vocabulary} is less than the minimum of {LEAST}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    with _one_thread():
        tokenizer.train_from_iterator(texts, trainer)
    found = tokenizer.get_vocab_size()
    if found < vocabulary:
        raise ValueError(f"vocabulary: {vocabulary}, but the texts give {found} tokens; allowed: {LEAST} to {found}")
    return tokenizer.to_str()


class BytePairs:
    """A tokenizer of ``train_byte_pairs``, on one thread.

    Parameters
    ----------
    text : JSON

    Attributes
    ----------
    vocabulary : how many tokens there are
    """

    def __init__(self, text: str):
        self._tokenizer = Tokenizer.from_str(text)
        self._tokenizer.encode_special_tokens = True  # a text that spells END out is a text
        self.vocabulary = self._tokenizer.get_vocab_size()

    def encode(self, texts: Iterable[str]) -> list[np.ndarray]:
        """Tokens of texts, each (length,) int32; never token 0."""
        return [np.array(self._tokenizer.encode(text).ids, np.int32) for text in texts]

    def decode(self, tokens: Iterable[Sequence[int]]) -> list[str]:
        """Texts of tokens, token 0 included; bytes that are no UTF-8 become U+FFFD."""
        return [self._tokenizer.decode(list(row), skip_special_tokens=False) for row in tokens]


@contextmanager
def _one_thread() -> Iterator[None]:
    """The library counts on all cores where its variable does not forbid it."""
    name, before = "TOKENIZERS_PARALLELISM", os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ[name] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
