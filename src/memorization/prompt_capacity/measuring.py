"""What a trained prompt holds: how well it brings forth its texts, in bits, and what is left of it with fewer bits."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from memorization.prompt_capacity.frozen import FrozenModel
from memorization.prompt_capacity.layouts import layout_name
from memorization.prompt_capacity.memorizing import Cell, PromptLearner, alone
from memorization.prompt_capacity.prompting import Inputs, assemble, joined
from memorization.prompt_capacity.texts import Trials

LN2 = np.log(2)
AT_ONCE = 32  # rows of a pass, whose logits may be some GB
LEARNED = 0.01  # share by which the loss has to fall
OF_PROMPTS = ["condition", "seed", "layout", "kind", "trial", "d_model", "prompt_length", "length"]
MOST = 0.9  # of the fall of the loss, whose step is noted


class TokenScores(NamedTuple):
    """Of rows of one length each token: ``nll`` in nats, and whether it is the likeliest, ``right``; (rows, length)."""

    nll: np.ndarray
    right: np.ndarray


@torch.no_grad()
def token_scores(model: FrozenModel, inputs: Inputs) -> TokenScores:
    """What all tokens of the texts cost, the first ones too. Rows have as many scored tokens each."""
    length = int(inputs.scored[0].sum())
    nll, right = [], []
    for rows in torch.arange(len(inputs.tokens)).split(AT_ONCE):
        logits, tokens = model.logits(inputs.of(rows, inputs.prompts, inputs.owner[rows]).to(model.device))
        nll.append(F.cross_entropy(logits, tokens, reduction="none").cpu())
        right.append((logits.argmax(dim=-1) == tokens).cpu())
    return TokenScores(*(torch.cat(parts).reshape(-1, length).numpy() for parts in (nll, right)))


def greedy_prefix(right: np.ndarray) -> np.ndarray:
    """How many tokens greedy decoding gets right before its first wrong one, (rows,) of (rows, length).

    One pass decides: as long as every token was the likeliest, decoding has fed the same tokens.
    """
    return np.cumprod(right, axis=1).sum(axis=1)


def quantized(prompts: Tensor, bits: int) -> Tensor:
    """Prompts with entries of so many bits: 2^bits - 1 evenly spaced values, up to the largest entry of each vector.

    32 is the identity. The scale of a vector is not counted.
    """
    if bits == 32:
        return prompts
    levels = 2 ** (bits - 1) - 1
    wide = prompts.double()
    scale = (wide.abs().amax(dim=-1, keepdim=True) / levels).clamp(min=torch.finfo(torch.float64).tiny)
    return ((wide / scale).round() * scale).to(prompts.dtype)


def memorization_table(
    learner: PromptLearner, trained: Mapping[str, np.ndarray], control: Trials, about: Mapping
) -> pd.DataFrame:
    """A row a text: what its prompt's best iterate does.

    Parameters
    ----------
    learner : after training
    trained : of ``memorizing.memorize``
    control : unseen texts, one a group
    about : columns of the run: ``condition``, ``seed``, ``learning_rates`` by layout

    Returns
    -------
    See docs/reference/tables.md. ``gain_bits`` is what the text costs less with P than without, ``net_gain_bits`` what
    is left of it behind the mean gain of the same P on ``control``.
    """
    model, cell, rates = learner.model, learner.cell, about["learning_rates"]
    best = learner.best.cpu()
    inputs = cell.inputs(best)
    having, without = token_scores(model, inputs), token_scores(model, cell.without(model.begin))
    owner = inputs.owner.numpy()
    layouts, trials = np.array([layout_name(layout) for layout in cell.layout_of]), np.array(cell.trial_of)
    scored = slice(0 if learner.settings["score_first_token"] else 1, None)
    nll, first = having.nll / LN2, without.nll / LN2
    gain = (first - nll).sum(axis=1)
    run = greedy_prefix(having.right)
    length = nll.shape[1]
    state = learner.cell.length * model.d_model
    of_control = control_gain(model, cell, best, control)
    net = gain - of_control[owner]
    losses = trained["losses"]
    ends = steps_to_most(losses, trained["left"])
    norms = {"norm_first": learner.first.cpu(), "norm_best": best}
    group = np.array([n for _, part in cell.parts for n in _group_places(cell, part)])
    table = {
        "condition": about["condition"],
        "seed": about["seed"],
        "layout": layouts[owner],
        "kind": np.array(kinds_of(cell))[owner],
        "trial": trials[owner],
        "text": group,
        "d_model": model.d_model,
        "prompt_length": cell.length,
        "length": length,
        "batch_size": cell.trials.texts.shape[1],
        "id_length": cell.trials.ids.shape[2],
        "learning_rate": [rates[layout] for layout in layouts[owner]],
        "accuracy": having.right[:, scored].mean(axis=1),
        "greedy_prefix": run,
        "exact": run == length,
        "nll_bits": nll[:, scored].sum(axis=1),
        "perplexity": np.exp(having.nll[:, scored].mean(axis=1)),
        "nll_without_bits": first[:, scored].sum(axis=1),
        "gain_bits": gain,
        "gain_bits_without_first": (first - nll)[:, 1:].sum(axis=1),
        "control_bits": of_control[owner],
        "net_gain_bits": net,
        "bits_per_dimension": np.bincount(owner, net)[owner] / state,
        "steps": np.where(trained["left"] < 0, len(losses), trained["left"])[owner],
        "best_step": trained["best_step"][owner],
        "converged": (trained["left"] >= 0)[owner],
        "not_learned": (losses.min(axis=0) > (1 - LEARNED) * losses[0])[owner],
        "steps_to_most": ends[owner],
        **{name: prompts.flatten(1).norm(dim=1).numpy()[owner] for name, prompts in norms.items()},
        "angle": _angle(learner.first.cpu().flatten(1), best.flatten(1))[owner],
    }
    return pd.DataFrame(table)


def _group_places(cell: Cell, part: Trials) -> np.ndarray:
    """The place of each row's text in its group."""
    size = cell.trials.texts.shape[1]
    return np.tile(np.arange(size), len(part.texts) * part.texts.shape[1] // size)


def _angle(one: Tensor, other: Tensor) -> np.ndarray:
    """Between vectors, in degrees."""
    cosine = F.cosine_similarity(one.double(), other.double(), dim=-1).clamp(-1, 1)
    return torch.rad2deg(torch.arccos(cosine)).numpy()


def control_gain(model: FrozenModel, cell: Cell, prompts: Tensor, control: Trials) -> np.ndarray:
    """Mean gain in bits of each prompt on texts of its kind that it was not trained on: (n_prompts,).

    A prompt makes any text of its kind likelier: it tells the model what kind of text follows.

    Parameters
    ----------
    model : frozen
    cell : of the prompts
    prompts : (n_prompts, k, d_model)
    control : texts with IDs of their own, of each kind in ``cell``
    """
    found = np.zeros(len(prompts))
    of_prompts = list(zip(cell.layout_of, kinds_of(cell), strict=True))
    for layout, kind in dict.fromkeys(of_prompts):
        mine = [n for n, of in enumerate(of_prompts) if of == (layout, kind)]
        texts = alone(control.of(kind))
        before = token_scores(model, Cell(texts, (layout,), cell.length).without(model.begin)).nll.sum(axis=1)
        count = len(texts.texts)
        ids, tokens = (torch.from_numpy(each) for each in (texts.ids, texts.texts))
        parts = [assemble(prompts[[n]].expand(count, -1, -1), ids, tokens, layout) for n in mine]
        after = token_scores(model, joined(parts)).nll.sum(axis=1).reshape(len(mine), count)
        found[mine] = (before - after).mean(axis=1) / LN2
    return found


def kinds_of(cell: Cell) -> list[str]:
    """The kind of text of each prompt."""
    return [kind for _, part in cell.parts for kind in part.kinds.tolist()]


def steps_to_most(losses: np.ndarray, left: np.ndarray) -> np.ndarray:
    """The first step at which the loss has fallen by nine tenths of all that it falls, (n_prompts,).

    NaN where a trial has not converged: its best may be still ahead, so that the step is censored.

    Parameters
    ----------
    losses : (iterates, n_prompts)
    left : (n_prompts,), the iterate at which a trial had converged, -1 for never
    """
    falls = losses[0] - losses
    reached = np.argmax(falls >= MOST * falls.max(axis=0), axis=0).astype(float)
    return np.where(left < 0, np.nan, reached)


def survival_table(learner: PromptLearner, bits: Sequence[int], control: Trials, table: pd.DataFrame) -> pd.DataFrame:
    """A row a prompt and number of bits: what the best iterate still holds with entries of so many bits.

    Parameters
    ----------
    learner : after training
    bits : of an entry
    control : unseen texts, as in ``memorization_table``
    table : of ``memorization_table``

    Returns
    -------
    See docs/reference/tables.md; ``stored_share`` is the net gain over the bits of P.
    """
    model, cell = learner.model, learner.cell
    without = token_scores(model, cell.without(model.begin)).nll.sum(axis=1) / LN2
    whole = cell.inputs(learner.best.cpu())
    owner = whole.owner.numpy()
    texts, of_prompt = np.bincount(owner), table.groupby(owner)[OF_PROMPTS].first()
    rows = []
    for each in bits:
        prompts = quantized(learner.best.cpu(), each)
        found = token_scores(model, replace(whole, prompts=prompts))
        gain = np.bincount(owner, without - found.nll.sum(axis=1) / LN2)
        net = gain - texts * control_gain(model, cell, prompts, control)
        exact = np.bincount(owner, greedy_prefix(found.right) == found.right.shape[1]) / texts
        stored = net / (each * cell.length * model.d_model)
        of_bits = {"bits": each, "gain_bits": gain, "net_gain_bits": net, "exact": exact, "stored_share": stored}
        rows.append(of_prompt.assign(**of_bits))
    return pd.concat(rows, ignore_index=True)


def vectors_table(learner: PromptLearner, table: pd.DataFrame) -> pd.DataFrame:
    """A row a vector of a prompt: norm at first and of the best iterate, the cosine and angle between the two."""
    first, best = learner.first.cpu(), learner.best.cpu()
    owner = learner.cell.inputs(best).owner.numpy()
    of_prompt = table.groupby(owner)[OF_PROMPTS].first()
    n, k = best.shape[:2]
    return (
        of_prompt.loc[np.repeat(np.arange(n), k)]
        .reset_index(drop=True)
        .assign(
            vector=np.tile(np.arange(k), n),
            norm_first=first.norm(dim=2).flatten().numpy(),
            norm_best=best.norm(dim=2).flatten().numpy(),
            cosine=F.cosine_similarity(first, best, dim=2).flatten().numpy(),
            angle=_angle(first, best).flatten(),
        )
    )


def described(learner: PromptLearner, trained: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a cell's file holds: how its prompts were trained, and what they are."""
    cell, model = learner.cell, learner.model
    sizes = {"prompt_length": cell.length, "length": cell.trials.texts.shape[2], "d_model": model.d_model}
    sizes |= {"vocabulary": model.vocabulary, "parameters": model.n_parameters}
    sizes |= {"scored": cell.trials.texts.shape[2] - (not learner.settings["score_first_token"])}
    layouts = [layout_name(layout) for layout in cell.layout_of]
    groups = np.array([1 if name == "solo" else cell.trials.texts.shape[1] for name in layouts])
    of_prompts = {
        "layout": np.array(layouts),
        "kind": np.array(kinds_of(cell)),
        "trial": np.array(cell.trial_of),
        "group": groups,
    }
    return dict(trained) | of_prompts | {name: np.array(value) for name, value in sizes.items()}
