"""Whether two tokenizers give all texts the same token ids."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def same_ids(first: "Tokenizer", second: "Tokenizer") -> bool:
    """Whether two tokenizers give all texts the same ids: the same vocabulary, merges, added tokens and splitting."""
    return _decides(first) == _decides(second)


def _decides(tokenizer: "Tokenizer") -> dict:
    """Of a tokenizer as JSON what decides over ids; as the library writes it, whatever version wrote the file."""
    whole = json.loads(tokenizer.to_str())
    flags = ("id", "content", "single_word", "lstrip", "rstrip")
    added = sorted([token[flag] for flag in flags] for token in whole["added_tokens"])
    model = {name: value for name, value in whole["model"].items() if value is not None and value is not False}
    model = {name: value for name, value in model.items() if value != ""}
    splitting = {name: _without_offsets(whole[name]) for name in ("normalizer", "pre_tokenizer")}
    return splitting | {"model": model, "added": added}


def _without_offsets(value):
    """Without ``trim_offsets``, which says where tokens stand, not which."""
    if isinstance(value, list):
        return [_without_offsets(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    return {key: _without_offsets(each) for key, each in value.items() if key != "trim_offsets"}
