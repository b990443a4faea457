"""The ablation of every slot by itself, exactly: only what a slot changes is computed again, many pairs at once."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from memorization.memory_layer.ablation.edits import VALUE_MODES, Edit, HalfKeyed, edit
from memorization.memory_layer.ablation.forward import Kept, ablated, after, keep, nll_bits, output, positions
from memorization.memory_layer.model import memories
from memorization.memory_layer.training import Facts
from memorization.models.decoder import Decoder

PAIRS = 2**14  # of a place and a unit that are computed at once
PLACES = 2**15  # of the texts that are run again at once, when a memory stands in an earlier layer
KEYS = ["half", "slot", "row", "position"]
COLUMNS = {"row": np.int64, "position": np.int64, "half": np.int64, "slot": np.int64, "nll_change_bits": np.float32}
COLUMNS |= dict.fromkeys(("right_before", "right_after", "changed"), bool) | {"n_wrong": np.int64}


@torch.no_grad()
def slot_impact(
    model: Decoder,
    facts: Facts,
    rows: np.ndarray,
    layer: int,
    mode: str,
    rng: np.random.Generator | None = None,
    units: Sequence[int] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the answers of some rows lose with each slot, or half-key, of a memory; the model's weights are left alone.

    A pair of a token and a slot that is not in the table is one that the ablation changes nothing for, exactly.

    Parameters
    ----------
    model : put into evaluation
    rows : of the data set
    layer : of the memory; in a value mode the slots are those of its pool, in all layers that read it
    mode : as in ``edits.edit``
    rng : of random vectors, in the modes that draw some
    units : slots, or half-keys as half · n_keys + index, that are ablated; by default all

    Returns
    -------
    impact : of each token of an answer and each slot that may change it: ``row``, ``position`` in the answer, ``half``
        (of a half-key, else -1), ``slot`` (its index), ``nll_change_bits`` (after less before), ``right_before``,
        ``right_after``, ``changed`` (whether another token is the likeliest), ``n_wrong`` (tokens of the whole answer
        that are wrong before); ordered by unit, row and position
    base : of each row: ``row``, ``n_wrong`` and ``nll_bits`` of its answer before, in the order of ``rows``

    Raises
    ------
    ValueError
        If the layer has no memory, or one of arm peer, or the mode is not one of its.
    """
    read, values = [layer], ablated(model, layer).values
    if mode in VALUE_MODES:
        read = [n for n, memory in memories(model).items() if memory.values is values]
    changes = edit(ablated(model, read[0]), mode, rng)
    if units is not None:
        changes.only = torch.as_tensor(np.asarray(units, np.int64), device=facts.device)
    parts, base = [], []
    by_layer = [keep(model, facts, rows, n) for n in read]
    for kept in zip(*by_layer, strict=True):
        base.append(_base(kept[0]))
        parts += [_columns(kept[0], changes, *found) for found in _losses(model, kept, changes)]
    impact = {name: np.concatenate([part[name] for part in parts] or [[]]).astype(t) for name, t in COLUMNS.items()}
    ordered = pd.DataFrame(impact).sort_values(KEYS, ignore_index=True)
    return ordered, pd.concat(base, ignore_index=True) if base else _no_base()


def _losses(model: Decoder, kept: tuple[Kept, ...], changes: Edit) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """In parts: the answers' tokens that change, (n,) of ``kept``; the units (n,); logits (n, vocabulary) then."""
    if kept[0].layer == len(model.layers) - 1:
        for place, unit in zip(*(each.split(PAIRS) for each in changes.pairs(kept[0])), strict=True):
            stream = changed_stream(kept[0], changes, place, unit)
            yield place, unit, model.head(model.final_norm(stream))
    else:
        yield from _run_again(model, kept, changes)


def changed_stream(kept: Kept, changes: Edit, place: Tensor, unit: Tensor) -> Tensor:
    """The residual stream behind the memory at some places without some units: (n,) each -> (n, d_model)."""
    pooled = changes.pooled(kept, place, unit)
    return kept.residual[place] + output(changes.memory, pooled, kept.gate[place])


def _run_again(model: Decoder, kept: tuple[Kept, ...], changes: Edit) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """As ``_losses``, of a memory in an earlier layer: each text is run on from it, once for each unit it reads."""
    first = kept[0]
    behind = first.stream + model.layers[first.layer].feed_forward(
        model.layers[first.layer].feed_forward_norm(first.stream)
    )
    place, unit = changes.pairs(first)
    runs, start = _runs(kept, changes, behind.shape[1])
    n_answers = torch.bincount(first.at, minlength=len(behind))
    first_answer = n_answers.cumsum(0) - n_answers
    of_pair = torch.searchsorted(runs, first.text[place] * changes.n_units + unit)
    order = of_pair.argsort(stable=True)
    place, unit, of_pair = place[order], unit[order], of_pair[order]
    size = max(1, PLACES // behind.shape[1])
    for begin in range(0, len(runs), size):
        part = slice(begin, begin + size)
        text, of_run = runs[part] // changes.n_units, runs[part] % changes.n_units
        here = slice(*(int((of_pair < edge).sum()) for edge in (begin, begin + size)))
        x = behind[text]
        x[of_pair[here] - begin, first.column[place[here]]] = changed_stream(first, changes, place[here], unit[here])
        run = torch.arange(len(text), device=text.device).repeat_interleave(n_answers[text])
        nth = torch.arange(len(run), device=text.device) - (n_answers[text].cumsum(0) - n_answers[text])[run]
        answer = first_answer[text][run] + nth
        reached = first.columns[answer] > start[part][run]
        run, answer = run[reached], answer[reached]
        yield answer, of_run[run], _on(model, x, kept, changes, of_run, run, first.columns[answer])


def _runs(kept: tuple[Kept, ...], changes: Edit, length: int) -> tuple[Tensor, Tensor]:
    """All pairs of a text and a unit that it reads, as text · n_units + unit; and the first column that reads it."""
    codes, columns = [], []
    for each in kept:
        place, unit = changes.pairs(each)
        codes.append(each.text[place] * changes.n_units + unit)
        columns.append(each.column[place])
    runs, back = torch.cat(codes).unique(return_inverse=True)
    start = torch.full_like(runs, length).scatter_reduce(0, back, torch.cat(columns), "amin")
    return runs, start


def _on(
    model: Decoder, x: Tensor, kept: tuple[Kept, ...], changes: Edit, unit: Tensor, at: Tensor, columns: Tensor
) -> Tensor:
    """Logits from the stream behind the first memory on; later memories of the same pool read each run's new value."""
    later = [each.layer for each in kept[1:]]

    def read(n: int, inner: Tensor, texts: Tensor) -> Tensor:
        memory = model.layers[n].feed_forward
        if n not in later:
            return memory(inner)
        scores, slots = memory.retrieve(inner)
        weights = scores.softmax(dim=-1)
        pooled = memory.pooled(inner, weights, slots) + changes.change(weights, slots, unit[texts])
        return memory.output(inner, pooled)

    layer = kept[0].layer + 1
    of_layer = model.layers[layer]
    return after(model, x + of_layer.attention(of_layer.attention_norm(x)), layer, at, columns, read)


def _columns(kept: Kept, changes: Edit, answer: Tensor, unit: Tensor, logits: Tensor) -> dict[str, np.ndarray]:
    """Columns of ``impact`` for some pairs."""
    targets, given = kept.targets[answer], kept.logits.argmax(dim=-1)
    before, now = nll_bits(kept.logits, kept.targets), logits.argmax(dim=-1)
    halves, n_keys = isinstance(changes, HalfKeyed), changes.n_units // 2
    columns = {
        "row": torch.as_tensor(kept.rows)[kept.at[answer].cpu()],
        "position": positions(kept)[answer],
        "half": unit // n_keys if halves else torch.full_like(unit, -1),
        "slot": unit % n_keys if halves else unit,
        "nll_change_bits": nll_bits(logits, targets) - before[answer],
        "right_before": given[answer] == targets,
        "right_after": now == targets,
        "changed": now != given[answer],
        "n_wrong": _by_text(kept, (given != kept.targets).float())[kept.at[answer]],
    }
    return {name: np.asarray(values.cpu()) for name, values in columns.items()}


def _by_text(kept: Kept, values: Tensor) -> Tensor:
    """Sums of values of the answers' tokens, (m,) -> (texts,)."""
    return values.new_zeros(len(kept.rows)).index_add(0, kept.at, values)


def _base(kept: Kept) -> pd.DataFrame:
    wrong = _by_text(kept, (kept.logits.argmax(dim=-1) != kept.targets).float()).cpu().numpy()
    bits = _by_text(kept, nll_bits(kept.logits, kept.targets)).cpu().numpy()
    return pd.DataFrame({"row": kept.rows, "n_wrong": wrong.astype(np.int64), "nll_bits": bits})


def _no_base() -> pd.DataFrame:
    return pd.DataFrame({"row": np.zeros(0, np.int64), "n_wrong": np.zeros(0, np.int64), "nll_bits": np.zeros(0)})
