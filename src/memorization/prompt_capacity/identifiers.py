"""IDs of texts: so many tokens each, exactly, and no two alike in a group."""

from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from memorization.data.structured_texts import LISTS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

METHODS = ("tokens", "random_words", "content_hash")
WORDS = tuple(sorted({word for words in LISTS.values() for word in words}))
TRIES = 1000  # of one ID


def identifiers(
    method: str, texts: Sequence[np.ndarray], length: int, tokenizer: "Tokenizer", rng: np.random.Generator
) -> np.ndarray:
    """An ID for each text of a group.

    Parameters
    ----------
    method : ``tokens``, random token ids; ``random_words``, the first tokens of random words; ``content_hash``, the
        first tokens of the sha256 of the text's tokens, hexadecimal
    texts : of the group, tokens each
    length : of an ID in tokens
    tokenizer : of the model
    rng : of random IDs

    Returns
    -------
    (n_texts, length) int64.

    Raises
    ------
    ValueError
        If the method is unknown, or so short an ID cannot tell the texts apart.
    """
    if method not in METHODS:
        raise ValueError(f"id_method: {method!r} is not one of {', '.join(METHODS)}")
    ids = plain_ids(tokenizer)
    found: list[tuple[int, ...]] = []
    for text in texts:
        for attempt in range(TRIES):
            if method == "tokens":
                each = tuple(rng.choice(ids, size=length).tolist())
            elif method == "random_words":
                words = [WORDS[n] for n in rng.integers(len(WORDS), size=length)]
                each = _first_tokens(" ".join(words), length, tokenizer)
            else:
                content = np.asarray(text, np.int64).tobytes()
                digests = [sha256(content + bytes([attempt % 256, n % 256])) for n in range(length)]
                each = _first_tokens("".join(digest.hexdigest() for digest in digests), length, tokenizer)
            if len(each) == length and each not in found:
                found.append(each)
                break
        else:
            raise ValueError(
                f"id_length: {length} tokens by {method} cannot tell {len(texts)} texts apart; allowed: another "
                "id_method or id_length, or smaller groups"
            )
    return np.array(found, np.int64)


def plain_ids(tokenizer: "Tokenizer") -> np.ndarray:
    """The ids of a tokenizer, sorted, without those of tokens that were added to it, such as ends of texts."""
    return np.array(sorted({*tokenizer.get_vocab().values()} - {*tokenizer.get_added_tokens_decoder()}), np.int64)


def _first_tokens(text: str, length: int, tokenizer: "Tokenizer") -> tuple[int, ...]:
    """The first tokens of a text: each word or digest has at least one."""
    return tuple(tokenizer.encode(text, add_special_tokens=False).ids[:length])
