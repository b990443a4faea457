"""A data set as arrays of tokens, with what training asks of its rows."""

from collections.abc import Mapping
from types import ModuleType

import numpy as np

from memorization.memory_layer.data.tokens import CONTEXTS, consistency, tokenize, tokenizer

STRINGS = 1000  # at most so many are tried in every context
HOPS = {"first_hop": 1, "second_hop": 2, "composed": 3}  # groups of two_hop
ALONE = {"alone": "{}", "before_space": "{} "}


def token_arrays(table, dataset: Mapping, kind: ModuleType) -> dict[str, np.ndarray]:
    """``tokens.tokenize`` of a data set, and of its rows ``split``, ``copies`` and ``group``.

    The group is what recall is counted by: the exposures in a pass (``bucket``); of two_hop 1 for the first hop, 2 for
    the second, 3 for the composed question; of hash_hop the hops, 0 for links without context.

    Parameters
    ----------
    table, dataset : the examples, and the settings that they were made by
    kind : the module of its kind, one of ``kinds.KINDS``
    """
    found = tokenizer(dataset["tokenizer"], kind.characters(dataset))
    arrays = tokenize(table, found, **kind.masking(dataset))
    columns = {"split": table["split"].to_numpy(str), "copies": table["copies"].to_numpy(), "group": groups(table)}
    return arrays | columns


def groups(table) -> np.ndarray:
    """(n,) int64, see ``token_arrays``."""
    if "hops" in table:
        return np.where(table["kind"] == "link", 0, table["hops"]).astype(np.int64)
    if "kind" in table:
        return table["kind"].map(HOPS).to_numpy(np.int64)
    return table["bucket"].to_numpy(np.int64)


def consistency_of(table, dataset: Mapping, kind: ModuleType):
    """``tokens.consistency`` of a data set's hashes, or of the words of its answers where they are no chains.

    A warning is printed where some are other tokens elsewhere.

    Parameters
    ----------
    table, dataset, kind : as for ``token_arrays``
    """
    found = tokenizer(dataset["tokenizer"], kind.characters(dataset))
    if hasattr(kind, "strings"):
        return _with_warning(consistency(kind.strings(table, dataset)[:STRINGS], found, CONTEXTS), dataset)
    spans = zip(table["text"], table["answer_start"], table["answer_end"], strict=True)
    strings = dict.fromkeys(word for text, start, end in spans for word in text[start:end].split())
    return _with_warning(consistency(list(strings)[:STRINGS], found, ALONE), dataset)


def _with_warning(table, dataset: Mapping):
    strings = table.groupby("string", sort=False)["consistent"].all()
    if not strings.all():
        first = strings.index[~strings][0]
        print(
            f"warning: tokenizer {dataset['tokenizer']}: {(~strings).sum()} of {len(strings)} strings, such as "
            f"{first!r}, are other tokens in other places",
            flush=True,
        )
    return table
