"""Figures of attention: every head's probabilities for an example, and each head alone."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from memorization.memory_layer.head_classes import CLASSES
from memorization.plotting import grid, save, style

SIDE = 1.9  # inches of a head in the grid
LONGEST = 48  # tokens whose text is written
SHOWN = {" ": "␣", "\n": "↵"}


def attention_figure(
    attention: pd.DataFrame, examples: Mapping[str, np.ndarray], example: int, plotting: dict
) -> Figure:
    """The probabilities of all heads for one example, a text: a row of panels a layer, with each head's class and mass.

    Above all stand the split and the item.

    Parameters
    ----------
    attention : rows of ``memory_layer_attention`` of the run that the examples are of
    examples : as ``attention.examples`` gives them
    example : which, from 0
    plotting : the configuration's ``style`` and ``memory_layer.figures.attention``
    """
    p, tokens, answer = (examples[f"{name}_{example}"] for name in ("probabilities", "tokens", "answer"))
    of_head = attention.set_index(["layer", "head"])
    size = plotting | {"panel_width": SIDE + 1 / p.shape[1], "panel_height": SIDE + 0.25}
    with style(plotting):
        figure = grid(*p.shape[:2], size, 0.5)
        axes = figure.subplots(*p.shape[:2], squeeze=False)
        for layer, head in np.ndindex(axes.shape):
            ax = axes[layer, head]
            image = _heat(ax, p[layer, head], plotting)
            title = f"layer {layer}, head {head}\n{_class(of_head.loc[(layer, head)])}"
            ax.set_title(title, fontsize=plotting["font_size"] - 1)
            _name_tokens(ax, tokens, answer, plotting, below=layer == len(axes) - 1, left=head == 0)
        bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=30)
        bar.set_label("attention probability")
        bar.outline.set_visible(False)
        figure.suptitle(_example(examples, example), fontsize=plotting["font_size"] + 1)
        figure.supxlabel("token that is looked at", fontsize=plotting["font_size"])
        figure.supylabel("token that looks", fontsize=plotting["font_size"])
    return figure


def picture(p: np.ndarray, tokens: np.ndarray, answer: np.ndarray, title: str, plotting: dict) -> Figure:
    """One head for one example.

    Parameters
    ----------
    p : (length, length) probabilities, from a place, to a place
    tokens, answer : (length,), the tokens' texts, and whether they are of an answer: these are drawn bold
    title : above
    plotting : as for ``attention_figure``
    """
    side = max(3.2, min(9.0, 0.18 * len(tokens)))
    with style(plotting):
        figure = grid(1, 1, plotting | {"panel_width": side + 0.6, "panel_height": side})
        ax = figure.subplots()
        bar = figure.colorbar(_heat(ax, p, plotting), ax=ax, shrink=0.8)
        bar.set_label("attention probability")
        bar.outline.set_visible(False)
        _name_tokens(ax, tokens, answer, plotting, below=True, left=True)
        ax.set(xlabel="token that is looked at", ylabel="token that looks", title=title)
    return figure


def pictures(
    attention: pd.DataFrame, examples: Mapping[str, np.ndarray], plotting: dict
) -> Iterator[tuple[str, Figure]]:
    """A name and a picture for each example, layer and head."""
    of_head = attention.set_index(["layer", "head"])
    for n in range(len(examples["item"])):
        p, *about = (examples[f"{name}_{n}"] for name in ("probabilities", "tokens", "answer"))
        for layer, head in np.ndindex(p.shape[:2]):
            title = f"{_example(examples, n)}\nlayer {layer}, head {head}: {_class(of_head.loc[(layer, head)])}"
            yield f"example{n}_layer{layer}_head{head}", picture(p[layer, head], *about, title, plotting)


def save_pictures(
    folder: str, attention: pd.DataFrame, examples: Mapping[str, np.ndarray], plotting: dict, made_by: dict
) -> None:
    """Write ``pictures`` as PNG files into a folder, which is made."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, figure in pictures(attention, examples, plotting):
        save(figure, {"png": str(Path(folder) / f"{name}.png")}, plotting, made_by)


def _example(examples: Mapping[str, np.ndarray], n: int) -> str:
    """Of which split an example is, and which item."""
    return f"{examples['split'][n]}, {examples['item'][n]}"


def _class(head: pd.Series) -> str:
    """A head's class, with the mass that makes it one, and what even attention would have; diffuse with its entropy."""
    found = {name: key for key, name in CLASSES.items()}.get(head["class"])
    if found is None:
        return f"{head['class']}, {head['entropy_bits']:.1f} bits"
    return f"{head['class']} {head[f'mass_{found}']:.2f}, even {head[f'uniform_{found}']:.2f}"


def _heat(ax: Axes, p: np.ndarray, plotting: dict) -> AxesImage:
    """Colours go by the square root, so that the many small probabilities of long texts can be told apart."""
    later = np.triu(np.ones(p.shape, bool), 1)
    look = {"cmap": plotting["palette"], "interpolation": "nearest", "norm": PowerNorm(0.5, 0, 1)}
    return ax.imshow(np.ma.masked_where(later, p), **look)


def _name_tokens(ax: Axes, tokens: np.ndarray, answer: np.ndarray, plotting: dict, below: bool, left: bool) -> None:
    """Write the tokens beside the axes, those of the answer bold; of long texts their places."""
    for spine in ax.spines.values():
        spine.set_visible(False)
    texts = ["".join(SHOWN.get(each, each) for each in text) for text in tokens.tolist()]
    size = min(plotting["font_size"] - 1, 72 * SIDE / len(texts) * 0.8)
    ax.tick_params(length=0, pad=1)
    for axis, written in ((ax.xaxis, below), (ax.yaxis, left)):
        if len(texts) > LONGEST and written:
            continue
        axis.set_ticks(range(len(texts)) if written else [], texts if written else [], fontsize=size)
        for label, bold in zip(axis.get_ticklabels(), answer, strict=False):
            label.set_fontweight("bold" if bold else "normal")
