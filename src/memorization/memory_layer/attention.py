"""Where each attention head looks: its probabilities for examples, whole texts, and what kind of head it is."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from memorization.files import atomic_write, to_json
from memorization.memory_layer.head_classes import CLASSES, class_by_mass, head_class
from memorization.memory_layer.trained_run import TrainedRun
from memorization.memory_layer.training import Facts
from memorization.models.decoder import CausalSelfAttention, Decoder, rotate

ENTRIES = 2**24  # probabilities of a layer at once: 64 MB
LOCAL = 4  # tokens, the one that looks among them
DIGITS = 5  # decimal places in JSON
MASSES = [f"mass_{name}" for name in CLASSES]
UNIFORM = [f"uniform_{name}" for name in CLASSES]


def probabilities(attention: CausalSelfAttention, x: Tensor) -> Tensor:
    """softmax(q kᵀ / √d_head) of each head over a place and those before it (Vaswani et al. 2017).

    The module itself never holds them: ``scaled_dot_product_attention`` does not give them.

    Parameters
    ----------
    attention : the module
    x : (batch, length, d_model), what it reads

    Returns
    -------
    (batch, n_heads, length, length), rows of which sum to 1: from a place, to a place
    """
    batch, length, d_model = x.shape
    heads = attention.qkv(x).view(batch, length, 3, attention.n_heads, d_model // attention.n_heads)
    query, key, _ = heads.permute(2, 0, 3, 1, 4)
    if attention.rope:
        query, key = (rotate(each, attention.cos[:length], attention.sin[:length]) for each in (query, key))
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
    return scores.masked_fill(later, -torch.inf).softmax(dim=-1)


@contextmanager
def looking(model: Decoder, look: Callable[[int, Tensor], None]) -> Iterator[None]:
    """While a model runs inside, hand each layer's number and probabilities to ``look``."""

    def watch(layer: int) -> Callable:
        return lambda attention, read: look(layer, probabilities(attention, read[0]))

    hooks = [layer.attention.register_forward_pre_hook(watch(n)) for n, layer in enumerate(model.layers)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def masses(model: Decoder, facts: Facts, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Mean attention of each head from the places that answer, and what attention spread evenly would give.

    A place answers if the token behind it is one of an answer: it is there that the token is predicted. Its attention
    is summed over the token before it; the text's first token; the last ``LOCAL`` tokens, itself included; and the
    tokens up to it that are no answer, the key or question. A token may be in several. (At the first two places those
    before are fewer; what is not there has no mass.)

    Returns
    -------
    found : (n_layers, n_heads, 5), the masses in the order of ``CLASSES``, and the entropy in bits
    uniform : (5,), of equal attention to all places up to the one that looks
    n : tokens of answers
    """
    model.eval()
    shape = len(model.layers), model.layers[0].attention.n_heads
    found, even, n = np.zeros((*shape, len(CLASSES) + 1)), np.zeros(len(CLASSES) + 1), 0
    most = max(1, ENTRIES // (shape[1] * facts.length**2))
    for first in range(0, len(rows), most):
        part = torch.as_tensor(rows[first : first + most])
        tokens, at, columns, _, _ = facts.batch(part)
        places = columns - 1
        sets = _sets(facts.labels[part, : tokens.shape[1]].to(tokens.device)[at], places)  # (n, classes, length)
        up_to = torch.arange(tokens.shape[1], device=tokens.device) <= places[:, None]
        evenly = (up_to / up_to.sum(dim=1, keepdim=True)).double()
        even += _summed(evenly[:, None], sets)[0]

        def look(layer: int, p: Tensor, at=at, places=places, sets=sets) -> None:
            found[layer] += _summed(p[at, :, places].double(), sets)

        with looking(model, look):
            model.hidden(tokens)
        n += len(at)
    return found / max(n, 1), even / max(n, 1), n


def _sets(answers: Tensor, places: Tensor) -> Tensor:
    """Which tokens belong to each class, seen from some places: answers (n, length) bool -> (n, classes, length)."""
    column = torch.arange(answers.shape[1], device=answers.device)
    back = places[:, None] - column
    of = {
        "previous": back == 1,
        "first": (column == 0).expand_as(back),
        "local": (back >= 0) & (back < LOCAL),
        "key": ~answers & (back >= 0),
    }
    return torch.stack([of[name] for name in CLASSES], dim=1)


def _summed(p: Tensor, sets: Tensor) -> np.ndarray:
    """Sums of masses and entropy: p (n, heads, length), sets (n, classes, length) -> (heads, classes + 1)."""
    mass = torch.einsum("nhl,ncl->hc", p, sets.to(p.dtype))
    bits = -torch.xlogy(p, p).sum(dim=(0, 2)) / np.log(2)
    return torch.cat([mass, bits[:, None]], dim=1).cpu().numpy()


def attention_table(model: Decoder, facts: Facts, rows: np.ndarray, run: Mapping) -> pd.DataFrame:
    """``attention``: a row for each head.

    Returns
    -------
    DataFrame: ``layer``, ``head``; ``class`` and ``excess``, of ``head_class``; ``class_by_mass``; ``mass_previous``,
    ``mass_first``, ``mass_local``, ``mass_key`` and ``entropy_bits``, means over the answers' tokens;
    ``uniform_previous`` and so on and ``uniform_bits``, of even attention; ``n`` tokens of answers.
    """
    found, even, n = masses(model, facts, rows)
    table = []
    for layer, head in np.ndindex(found.shape[:2]):
        *mass, bits = found[layer, head].tolist()
        kind, excess = head_class(mass, even[:-1])
        about = {**run, "layer": layer, "head": head, "class": kind, "excess": excess}
        about |= {"class_by_mass": class_by_mass(mass)}
        about |= dict(zip(MASSES, mass, strict=True)) | {"entropy_bits": bits}
        table.append(about | dict(zip([*UNIFORM, "uniform_bits"], even.tolist(), strict=True)) | {"n": n})
    return pd.DataFrame(table)


@torch.no_grad()
def examples(model: Decoder, facts: Facts, rows: np.ndarray, items: np.ndarray) -> dict[str, np.ndarray]:
    """The probabilities of every head for some rows.

    Returns
    -------
    ``split``, ``item`` (n,) str; and of example i, from 0, ``probabilities_<i>`` (n_layers, n_heads, length, length)
    float32, from a place, to a place; ``tokens_<i>`` (length,) str; ``answer_<i>`` (length,) bool.
    """
    model.eval()
    arrays = {"split": facts.split[rows].astype(str), "item": items[rows].astype(str)}
    for n, row in enumerate(rows):
        length, of_layers = int(facts.lengths[row]), []
        with looking(model, lambda _, p, kept=of_layers: kept.append(p[0].float().cpu().numpy())):
            model.hidden(facts.tokens[[row], :length].to(facts.device))
        arrays[f"probabilities_{n}"] = np.stack(of_layers)
        arrays[f"tokens_{n}"] = facts.arrays["pieces"][facts.tokens[row, :length].numpy()].astype(str)
        arrays[f"answer_{n}"] = facts.labels[row, :length].numpy()
    return arrays


def documents(arrays: Mapping[str, np.ndarray]) -> list[dict]:
    """The same as plain values: of each example ``split``, ``item``, ``tokens``, ``answer``, and ``heads``.

    ``heads`` has of each head ``layer``, ``head`` and ``probabilities``, a list a place, as long as the places up to
    it, rounded to five decimal places.
    """
    found = []
    for n, (split, item) in enumerate(zip(arrays["split"].tolist(), arrays["item"].tolist(), strict=True)):
        every = arrays[f"probabilities_{n}"].astype(np.float64).round(DIGITS)
        heads = [
            {
                "layer": layer,
                "head": head,
                "probabilities": [row[: place + 1].tolist() for place, row in enumerate(every[layer, head])],
            }
            for layer, head in np.ndindex(every.shape[:2])
        ]
        about = {name: arrays[f"{name}_{n}"].tolist() for name in ("tokens", "answer")}
        found.append({"split": split, "item": item, **about, "heads": heads})
    return found


def write_documents(path: str, arrays: Mapping[str, np.ndarray], made_by: dict) -> None:
    """``documents`` as JSON, with what made them."""
    with atomic_write(path) as part, open(part, "w", encoding="utf-8") as file:
        file.write(to_json({"examples": documents(arrays), "made_by": made_by}))
        file.write("\n")


def shown_rows(facts: Facts, condition: Mapping, n_examples: int) -> np.ndarray:
    """The first rows of each split: of those that a condition trains on first, trained ones, then of the others."""
    trained = facts.trained(condition)
    of_splits = [trained[facts.split[trained] == split] for split in condition["train_on"]]
    of_splits += [facts.rows(split) for split in sorted(set(facts.split) - set(condition["train_on"]))]
    return np.concatenate([rows[:n_examples] for rows in of_splits])


def attend(run: TrainedRun, settings: Mapping) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The table and the examples of a run; conditions of one data set look at the same texts.

    Parameters
    ----------
    settings : ``n_texts``, trained ones, of the table; ``n_examples``, the first ones of each split, trained splits
        first
    """
    texts = run.stream("attention", "texts").permutation(run.trained)
    table = attention_table(run.model, run.facts, np.sort(texts[: settings["n_texts"]]), run.about)
    shown = shown_rows(run.facts, run.condition, settings["n_examples"])
    return table, examples(run.model, run.facts, shown, run.items)
