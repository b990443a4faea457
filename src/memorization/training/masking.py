"""Which tokens of a text are its answer, and batches whose labels are those alone.

Imported where data is made, too: nothing here imports torch before a batch is asked for.
"""

import re
from collections.abc import Callable, Sequence
from itertools import chain, pairwise

import numpy as np

IGNORED = -100  # the label of what is not predicted: ``ignore_index`` of torch's cross entropy
SHOWN = 200  # most characters of a text in a message
Spans = list[tuple[int, int]]  # half open, in characters
HASHES = {  # what stands behind "=" in lines such as "A = B = 'C'"
    "final": re.compile(r" = '?([A-Za-z0-9]+)'?[ \r]*$", re.MULTILINE),
    "chain": re.compile(r" = '?([A-Za-z0-9]+)"),
    "quoted": re.compile(r"= *'([^'\n]+)'"),
}


def answer_labels(texts: Sequence[str], offsets: Sequence, rule: str, **options) -> list[np.ndarray]:
    """Which tokens belong to an answer, for a batch of texts at once.

    Rules (an answer never includes the space, quote or line's end that closes it):

    ``synthetic_qa``
        What stands behind the last "?", up to trailing whitespace; in a text without one, as ``digit_lookup``.
    ``digit_lookup``
        What stands behind each ":" up to the next space: in "12:34 56:78 " both 34 and 78.
    ``two_hop``
        What stands behind the first ":" or ">", inner spaces included: "B C" in "A>B C ".
    ``hash_hop``
        Hashes in lines such as "A = B = 'C'", never the first one, which is asked; in a text with "COMPLETION:" those
        behind it alone. Option ``labels``: ``final``, the last hash of each line; ``chain``, every hash behind a " = ";
        ``quoted``, what stands between quotes (magicproduct/hash-hop).
    ``span``
        Option ``spans``: for each text a (start, end) in characters, half open, or a list of them.

    Parameters
    ----------
    texts : a batch
    offsets : for each text, the characters (start, end) of its tokens: an array (n_tokens, 2), or pairs, as fast
        tokenizers of Hugging Face give them; (0, 0) is a token without text, which is never part of an answer
    rule, options : see above

    Returns
    -------
    For each text (n_tokens,) bool.

    Raises
    ------
    ValueError
        If a token has characters inside and outside of an answer, no text has an answer, an offset is outside of its
        text, or the rule or an option is unknown. One line.
    """
    if rule not in RULES:
        raise ValueError(f"answer_labels: rule: {rule!r} is not one of {', '.join(RULES)}")
    if isinstance(texts, str) or len(texts) != len(offsets):
        given = "one text" if isinstance(texts, str) else f"{len(texts)} texts"
        raise ValueError(f"answer_labels: {given} and {len(offsets)} lists of offsets; allowed: lists of equal length")
    spans = RULES[rule](texts, **_checked(rule, options, len(texts)))
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    begins = np.concatenate([[0], np.cumsum(lengths)])  # of the texts, where they stand one behind the other
    # How many characters of answers stand before each character: a token's are the difference of two.
    edges = np.zeros(begins[-1] + 1, np.int64)
    of_text = np.repeat(np.arange(len(texts)), np.fromiter(map(len, spans), np.int64, len(spans)))
    starts, ends = np.fromiter(chain.from_iterable(chain.from_iterable(spans)), np.int64).reshape(-1, 2).T
    _check_inside("span", starts, ends, of_text, lengths, texts)
    np.add.at(edges, begins[of_text] + starts, 1)
    np.add.at(edges, begins[of_text] + ends, -1)
    before = np.concatenate([[0], np.cumsum(np.cumsum(edges)[:-1] > 0)])

    counts = np.fromiter(map(len, offsets), np.int64, len(offsets))
    of_token = np.repeat(np.arange(len(texts)), counts)
    firsts, lasts = _flat(offsets).T
    _check_inside("token", firsts, lasts, of_token, lengths, texts)
    inside = before[begins[of_token] + lasts] - before[begins[of_token] + firsts]
    straddling = np.flatnonzero((inside > 0) & (inside < lasts - firsts))
    if straddling.size:
        n, text = straddling[0], texts[of_token[straddling[0]]]
        raise ValueError(
            f"answer_labels: {rule}: token {text[firsts[n] : lasts[n]]!r} (characters {firsts[n]} to {lasts[n]}) is "
            f"partly in an answer and partly not, in {_shown(text)}; allowed: tokens that end where an answer does"
        )
    labels = inside > 0
    if not labels.any():
        first = f"; the first is {_shown(texts[0])}" if len(texts) else ""
        raise ValueError(f"answer_labels: {rule}: no token of the {len(texts)} texts is in an answer{first}")
    bounds = np.concatenate([[0], np.cumsum(counts)]).tolist()
    return [labels[first:last] for first, last in pairwise(bounds)]


def padded_batch(tokens: Sequence[np.ndarray], answers: Sequence[np.ndarray], pad: int) -> dict:
    """A batch of rows of different lengths, one below the other, filled up at their ends.

    Labels are aligned with ``input_ids`` (Hugging Face: the shift is in the loss). The first token of a row is never
    a label, as nothing stands before it.

    Parameters
    ----------
    tokens : rows of token ids
    answers : for each row, which of its tokens are labels, as ``answer_labels`` gives it
    pad : token id that fills up

    Returns
    -------
    Tensors (batch, longest) int64: ``input_ids``; ``labels``, the token id at answers and -100 elsewhere;
    ``attention_mask``, 1 at tokens and 0 where filled up.

    Raises
    ------
    ValueError
        If the batch has no label, or a row's tokens and answers differ in number.
    """
    import torch

    ids, labels, lengths = _rows(tokens, answers)
    there = np.arange(lengths.max()) < lengths[:, None]
    batch = {"input_ids": np.full(there.shape, pad), "labels": np.full(there.shape, IGNORED)}
    batch["input_ids"][there], batch["labels"][there] = ids, labels
    return {name: torch.from_numpy(array) for name, array in (batch | {"attention_mask": there.astype(int)}).items()}


def packed_batch(tokens: Sequence[np.ndarray], answers: Sequence[np.ndarray]) -> dict:
    """A batch of rows of different lengths, one behind the other, as FlashAttention takes them.

    Labels are those of ``padded_batch``. Since no row begins with one, a loss that shifts the whole packed row predicts
    nothing from the row before.

    Parameters
    ----------
    tokens, answers : as in ``padded_batch``

    Returns
    -------
    Tensors ``input_ids``, ``labels`` and ``position_ids`` (from 0 in each row), (total,) int64; ``cu_seqlens``
    (batch + 1,) int32, where rows begin, from 0 to total. An int, ``max_seqlen``, the longest row.

    Raises
    ------
    ValueError
        As ``padded_batch``.
    """
    import torch

    ids, labels, lengths = _rows(tokens, answers)
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    positions = np.arange(bounds[-1]) - np.repeat(bounds[:-1], lengths)
    arrays = {"input_ids": ids, "labels": labels, "position_ids": positions, "cu_seqlens": bounds.astype(np.int32)}
    return {name: torch.from_numpy(array) for name, array in arrays.items()} | {"max_seqlen": int(lengths.max())}


def _rows(tokens: Sequence, answers: Sequence) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Token ids and labels of all rows, one behind the other, (total,) int64; the lengths of the rows."""
    lengths, others = (np.fromiter(map(len, rows), np.int64, len(rows)) for rows in (tokens, answers))
    if len(lengths) != len(others) or (lengths != others).any():
        raise ValueError(
            f"batch: rows of {lengths.tolist()} tokens and of {others.tolist()} answers; they must be equal"
        )
    ids = np.concatenate([np.zeros(0, np.int64), *tokens]).astype(np.int64)
    chosen = np.concatenate([np.zeros(0, bool), *answers]).astype(bool)
    chosen[np.cumsum(lengths)[lengths > 0] - lengths[lengths > 0]] = False
    if not chosen.any():
        raise ValueError(f"batch: none of its {len(lengths)} rows has a label behind its first token")
    return ids, np.where(chosen, ids, IGNORED), lengths


def _synthetic_qa(texts: Sequence[str]) -> list[Spans]:
    last = re.compile(r"(?s)\?([^?]*[^?\s])\s*$")
    return [_found(last, text) if "?" in text else _found(PAIR, text) for text in texts]


def _hash_hop(texts: Sequence[str], labels: str = "final") -> list[Spans]:
    if labels not in HASHES:
        raise ValueError(f"answer_labels: labels: {labels!r} is not one of {', '.join(HASHES)}")
    return [_found(HASHES[labels], text, text.rfind("COMPLETION:") + 1) for text in texts]


def _span(texts: Sequence[str], spans: Sequence) -> list[Spans]:
    return [[tuple(each)] if len(each) and np.ndim(each[0]) == 0 else [*map(tuple, each)] for each in spans]


def _found(pattern: re.Pattern, text: str, begin: int = 0) -> Spans:
    return [match.span(1) for match in pattern.finditer(text, begin)]


PAIR = re.compile(r":([^\s]+)")
CHAIN = re.compile(r"(?s)^[^:>]*[:>](.*\S)")
RULES: dict[str, Callable[..., list[Spans]]] = {
    "synthetic_qa": _synthetic_qa,
    "digit_lookup": lambda texts: [_found(PAIR, text) for text in texts],
    "two_hop": lambda texts: [_found(CHAIN, text) for text in texts],
    "hash_hop": _hash_hop,
    "span": _span,
}
OPTIONS = {"hash_hop": {"labels"}, "span": {"spans"}}


def _checked(rule: str, options: dict, count: int) -> dict:
    allowed = OPTIONS.get(rule, set())
    for name in options.keys() - allowed:
        raise ValueError(f"answer_labels: {rule}: has no option {name!r}; allowed: {', '.join(allowed) or 'none'}")
    if rule == "span" and len(options.get("spans", ())) != count:
        given = len(options["spans"]) if "spans" in options else "no"
        raise ValueError(f"answer_labels: span: {given} spans for {count} texts; allowed: for each text one or a list")
    return options


def _flat(offsets: Sequence) -> np.ndarray:
    """The offsets of all tokens, (total, 2)."""
    if all(isinstance(each, np.ndarray) for each in offsets):
        return np.concatenate([np.zeros((0, 2), np.int64), *(each.reshape(-1, 2) for each in offsets)])
    return np.fromiter(chain.from_iterable(chain.from_iterable(offsets)), np.int64).reshape(-1, 2)


def _check_inside(what: str, starts, ends, of_text, lengths, texts) -> None:
    wrong = np.flatnonzero((starts < 0) | (ends < starts) | (ends > lengths[of_text]))
    if wrong.size:
        n = wrong[0]
        raise ValueError(
            f"answer_labels: a {what} of characters {starts[n]} to {ends[n]} in {_shown(texts[of_text[n]])}, which has "
            f"{lengths[of_text[n]]}"
        )


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")
