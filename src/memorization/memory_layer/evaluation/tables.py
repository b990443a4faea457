"""The tables of a run: how it answers, what it retrieves for it, and how large it is."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from memorization.memory_layer import sizes
from memorization.memory_layer.model import Retrieved, memories
from memorization.memory_layer.training import Facts, answers
from memorization.memory_layer.usage import USAGE
from memorization.models.decoder import Decoder
from memorization.records import records, runs

BINS = 10  # of the confidence
LOSSES = 100  # rows of a run's losses
LN2 = np.log(2)
Watch = Callable[[np.ndarray, Sequence[Retrieved]], None]
COUNTED, MEASURED = ("row", "target", "given", "rank"), ("nll", "probability", "confidence", "margin", "entropy")
BY_TOKEN = dict.fromkeys(COUNTED, np.int64) | dict.fromkeys(MEASURED, np.float32)


def by_token(model: Decoder, facts: Facts, rows: np.ndarray, watch: Watch | None = None) -> pd.DataFrame:
    """Of each token of the answers: ``row``, ``position`` in the answer, ``target``, ``given`` (the likeliest token),
    ``nll`` in nats, ``probability`` of the target, ``confidence`` (of the likeliest), ``margin`` (target less the
    likeliest other token, nats), ``entropy`` in bits, ``rank`` of the target (1: the likeliest).

    Parameters
    ----------
    watch : is given, part by part, the row of each of these tokens, (n,), and what the memories retrieved for them
    """
    parts = []
    for part, at, logits, targets, retrieved in answers(model, facts, rows):
        log_p = logits.log_softmax(dim=-1)
        of_target = log_p.gather(1, targets[:, None])
        others = log_p.scatter(1, targets[:, None], -torch.inf).max(dim=1).values
        top = log_p.max(dim=1)
        row = part[at.cpu().numpy()]
        if watch is not None:
            watch(row, retrieved)
        columns = {
            "row": row,
            "target": targets,
            "given": top.indices,
            "nll": -of_target[:, 0],
            "probability": of_target[:, 0].exp(),
            "confidence": top.values.exp(),
            "margin": of_target[:, 0] - others,
            "entropy": -(log_p.exp() * log_p).sum(dim=1) / LN2,
            "rank": 1 + (log_p > of_target).sum(dim=1),
        }
        parts.append(pd.DataFrame({name: np.asarray(torch.as_tensor(each).cpu()) for name, each in columns.items()}))
    table = pd.concat(parts or [pd.DataFrame({name: np.empty(0, kind) for name, kind in BY_TOKEN.items()})])
    table = table.reset_index(drop=True)
    return table.assign(position=table.groupby("row").cumcount(), right=table["target"] == table["given"])


def by_fact(tokens: pd.DataFrame, data: pd.DataFrame, facts: Facts) -> pd.DataFrame:
    """Of each row of a data set how its answer is known, each token given the true ones before it.

    Returns
    -------
    DataFrame: ``split``, ``group``, ``item``, ``chance`` and ``exact_chance`` of guessing, ``prior_bits``; ``n_tokens``
    of the answer, ``recall``, ``exact``, ``nll_bits``.
    """
    of = tokens.groupby("row")
    table = pd.DataFrame(
        {
            "n_tokens": of.size(),
            "recall": of["right"].mean(),
            "exact": of["right"].all(),
            "nll_bits": of["nll"].sum() / LN2,
        }
    )
    guessed = data["exact_chance"] if "exact_chance" in data else 2.0 ** -data["prior_bits"]
    about = data[["split", "item", "chance", "prior_bits"]].assign(exact_chance=guessed)
    about = about.iloc[table.index].reset_index(drop=True)
    return pd.concat([about.assign(group=facts.group[table.index]), table.reset_index(drop=True)], axis=1)


def recall_table(
    facts_table: pd.DataFrame, tokens: pd.DataFrame, split: np.ndarray, exposures: np.ndarray, run: Mapping
):
    """``recall``: exact match, the share of tokens that are right, and bits, by split and group."""
    table = facts_table.assign(exposures=exposures)
    means = {
        name: "mean" for name in ("exact", "recall", "chance", "exact_chance", "nll_bits", "prior_bits", "exposures")
    }
    by_group = table.groupby(["split", "group"]).agg({**means, "item": "size"}).rename(columns={"item": "n"})
    ece = {of: calibration_error(part) for of, part in tokens.groupby(split[tokens["row"]])}
    by_group = by_group.reset_index()
    return by_group.assign(ece=by_group["split"].map(ece), **run)


def logits_table(tokens: pd.DataFrame, facts: Facts, run: Mapping) -> pd.DataFrame:
    """``logits``: means over answers by split, group and position in the answer."""
    keys = {"split": facts.split[tokens["row"]], "group": facts.group[tokens["row"]]}
    names = {
        "right": "accuracy",
        "probability": "probability",
        "margin": "margin",
        "entropy": "entropy_bits",
        "rank": "rank",
    }
    of = tokens.assign(**keys).groupby(["split", "group", "position"])
    return of[list(names)].mean().rename(columns=names).assign(n=of.size()).reset_index().assign(**run)


def calibration_table(tokens: pd.DataFrame, split: np.ndarray, run: Mapping) -> pd.DataFrame:
    """``calibration``: of ten bins of the confidence, how often the likeliest token is right."""
    keys = {"split": split[tokens["row"]], "confidence_low": _bins(tokens) / BINS}
    of = tokens.assign(**keys).groupby(["split", "confidence_low"])
    table = of.agg(n=("right", "size"), mean=("confidence", "mean"), accuracy=("right", "mean"))
    return table.rename(columns={"mean": "confidence"}).reset_index().assign(**run)


def calibration_error(tokens: pd.DataFrame) -> float:
    """Expected calibration error: |confidence - accuracy| of ten bins, weighted by their tokens (Guo et al. 2017)."""
    of = tokens.groupby(_bins(tokens))
    gap = (of["confidence"].mean() - of["right"].mean()).abs()
    return float((gap * of.size()).sum() / len(tokens))


def history_table(trajectory: Mapping[str, np.ndarray], facts: Facts, run: Mapping) -> pd.DataFrame:
    """``history``: how the followed rows are answered while training, by split and group."""
    rows = trajectory["rows"]
    needed = facts.labels[torch.as_tensor(rows)].sum(dim=1).numpy()
    n_steps = len(trajectory["step"])
    table = pd.DataFrame(
        {
            "step": np.repeat(trajectory["step"], len(rows)),
            "split": np.tile(facts.split[rows], n_steps),
            "group": np.tile(facts.group[rows], n_steps),
            "exposures": trajectory["exposures"].ravel(),
            "exact": (trajectory["right"] == needed).ravel(),
            "recall": (trajectory["right"] / needed).ravel(),
            "nll_bits": trajectory["nll"].ravel().astype(np.float64) / LN2,
        }
    )
    of = table.groupby(["step", "split", "group"])
    return of.mean().assign(n=of.size()).reset_index().assign(**run)


def losses_table(loss: np.ndarray, run: Mapping) -> pd.DataFrame:
    """``losses``: means of a training's losses over about a hundred parts, nats per token of the answers."""
    ends = np.unique(np.linspace(0, len(loss), min(len(loss), LOSSES) + 1).round().astype(int))
    means = np.add.reduceat(loss.astype(np.float64), ends[:-1]) / np.diff(ends)
    return pd.DataFrame({**run, "step": ends[1:], "loss": means})


def usage_table(trajectory: Mapping[str, np.ndarray], run: Mapping) -> pd.DataFrame:
    """``usage``: how the slots were used while training, by layer, over one pass of a split's followed rows."""
    shape = trajectory["use"].shape[:3]
    step, layer, split = (each.ravel() for each in np.indices(shape))
    keys = {
        "step": trajectory["step"][step],
        "layer": trajectory["use_layers"][layer],
        "split": trajectory["use_splits"][split],
    }
    values = trajectory["use"].reshape(-1, len(USAGE))
    return pd.DataFrame({**run, **keys} | dict(zip(USAGE, values.T, strict=True)))


def norms_table(model: Decoder, use: Mapping[int, np.ndarray], run: Mapping) -> pd.DataFrame:
    """``value_norms``: of each slot the norm of its value, and how often and with how much weight it was retrieved."""
    parts = [pd.DataFrame({**run, "layer": [], "slot": [], "norm": [], "count": [], "weight": []})]
    for layer, memory in memories(model).items():
        norm = memory.values.weight.detach().norm(dim=1).cpu().numpy()
        counts, weights = use[layer]
        slot = np.arange(len(norm))
        parts.append(
            pd.DataFrame({**run, "layer": layer, "slot": slot, "norm": norm, "count": counts, "weight": weights})
        )
    types = {"layer": int, "slot": int, "count": int}
    return pd.concat(parts[1:] or parts, ignore_index=True).astype(types)


def activations_table(model: Decoder, facts: Facts, rows: np.ndarray, items: np.ndarray, run: Mapping) -> pd.DataFrame:
    """``activations``: of some rows what each head retrieves for each token of the answer, best first."""
    names = ("position", "layer", "head", "rank", "slot", "score", "weight")
    parts = [pd.DataFrame({**run, "split": [], "item": [], **{name: [] for name in names}})]
    for part, at, _, _, retrieved in answers(model, facts, rows):
        at = at.cpu().numpy()
        position = pd.Series(at).groupby(at).cumcount().to_numpy()
        for layer, *kept in retrieved:
            scores, weights, slots = (each.cpu().numpy() for each in kept)
            token, head, rank = (each.ravel() for each in np.indices(slots.shape))
            row = part[at[token]]
            about = {"split": facts.split[row], "item": items[row], "position": position[token], "layer": layer}
            found = {
                "head": head,
                "rank": rank,
                "slot": slots.ravel(),
                "score": scores.ravel(),
                "weight": weights.ravel(),
            }
            parts.append(pd.DataFrame({**run, **about, **found}))
    types = dict.fromkeys(("position", "layer", "head", "rank", "slot"), int)
    return pd.concat(parts[1:] or parts, ignore_index=True).astype(types)


def parameters_table(
    condition: Mapping, facts: Facts, distinct: float | None, exact: float, run: Mapping
) -> pd.DataFrame:
    """``parameters``: how large the model is, and what of it a token uses.

    Parameters
    ----------
    distinct : slots that a token retrieves in a layer with a memory, on average
    exact : share of the trained facts that are answered
    """
    size = (condition, facts.vocabulary, facts.length)
    total, active = sizes.parameters(*size), sizes.active_parameters(*size)
    row = {"arm": condition["arm"], "total": total, "active": active}
    row |= {"active_measured": sizes.active_parameters(*size, distinct), "sparsity": 1 - active / total}
    return pd.DataFrame([{**run, **row, "bytes": sizes.WEIGHT_BYTES * total, "exact": exact}])


def distinct_slots(activations: pd.DataFrame) -> float | None:
    """How many different slots a token retrieves in a layer, on average; None without a memory."""
    if activations.empty:
        return None
    return activations.groupby(["item", "split", "position", "layer"])["slot"].nunique().mean()


def fact_records(table: pd.DataFrame, exposures: np.ndarray, last: np.ndarray, phase: np.ndarray, about: Mapping):
    """``records`` of a run at its end."""
    columns = {name: table[name] for name in ("n_tokens", "recall", "chance", "exact", "nll_bits", "prior_bits")}
    items = table["split"] + "/" + table["item"]
    return records(
        family="memory_layer", phase=phase, item=items, exposures=exposures, last_exposure_step=last, **about, **columns
    )


def run_row(trajectory: Mapping[str, np.ndarray], condition: Mapping, facts: Facts, about: Mapping) -> pd.DataFrame:
    """``runs`` of a run: float32 parameters. ``active`` counts a slot as often as it is retrieved."""
    of = {name: int(trajectory[name]) for name in ("parameters", "trainable")}
    active = sizes.active_parameters(condition, facts.vocabulary, facts.length)
    return runs(family="memory_layer", **about, **of, active=active, steps=int(trajectory["step"].max()))


def _bins(tokens: pd.DataFrame) -> np.ndarray:
    return np.minimum(tokens["confidence"].to_numpy() * BINS, BINS - 1).astype(int)
