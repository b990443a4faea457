"""What a checkpoint holds, how it differs from another or from a model, and what a model computes with it."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from memorization.training.freezing import matches

ROWS, LONGEST = 2, 64  # of the batch that is traced; tokens of a model whose checkpoint does not tell its length


def contents(state: Mapping[str, Tensor]) -> pd.DataFrame:
    """A row for each tensor: ``name``, ``shape``, ``type``, ``elements``, ``bytes``."""
    rows = [
        (name, tuple(tensor.shape), _type(tensor), tensor.numel(), tensor.numel() * tensor.element_size())
        for name, tensor in state.items()
    ]
    return pd.DataFrame(rows, columns=["name", "shape", "type", "elements", "bytes"])


def matched(state: Mapping[str, Tensor], pattern: str) -> list[str]:
    """The names that a pattern of ``training.freezing.freeze`` matches."""
    return [name for name in state if matches(pattern, name)]


def differences(here: Mapping[str, Tensor], there: Mapping[str, Tensor]) -> pd.DataFrame:
    """What differs between two checkpoints, or between one and a model's tensors on the device ``meta``.

    Returns
    -------
    A row for each tensor that differs, in the order of ``here``, then of what is only ``there``: ``name``;
    ``difference``: ``missing`` (only there), ``extra`` (only here), ``shape``, ``type`` or ``values``; ``detail``: both
    shapes or types, or the largest absolute difference. Numbers are compared where both are of one shape and type.
    """
    rows = []
    for name, tensor in here.items():
        if name not in there:
            rows.append((name, "extra", str(tuple(tensor.shape))))
        elif found := _difference(tensor, there[name]):
            rows.append((name, *found))
    rows += [(name, "missing", str(tuple(there[name].shape))) for name in there if name not in here]
    return pd.DataFrame(rows, columns=["name", "difference", "detail"])


def _difference(here: Tensor, there: Tensor) -> tuple[str, str] | None:
    if here.shape != there.shape:
        return "shape", f"{tuple(here.shape)}, there {tuple(there.shape)}"
    if here.dtype != there.dtype:
        return "type", f"{_type(here)}, there {_type(there)}"
    if here.is_meta or there.is_meta or torch.equal(here, there):
        return None
    wide = torch.complex128 if here.is_complex() else torch.float64
    here, there = here.to(wide), there.to(wide)
    if torch.equal(here.nan_to_num(nan=0), there.nan_to_num(nan=0)) and torch.equal(here.isnan(), there.isnan()):
        return None
    apart = (here - there).abs()
    numbers = apart[~apart.isnan()]
    lost = f", {apart.isnan().sum()} not numbers" if len(numbers) < apart.numel() else ""
    return "values", f"largest difference {numbers.max().item() if len(numbers) else 0:.3g}{lost}"


class Trace(NamedTuple):
    """What a model computed, and where a checkpoint stops to fit it.

    Attributes
    ----------
    steps : a row for each intermediate, in order: ``module`` that computes it, ``operation``, ``shape``
    mismatch : the first tensor that the model needs and the checkpoint has not, or has in another shape, in a line;
        else the first that the checkpoint has besides; None if all fit
    """

    steps: pd.DataFrame
    mismatch: str | None


@torch.no_grad()
def trace(model: nn.Module, tokens: Tensor, state: Mapping[str, Tensor]) -> Trace:
    """Run a model on a batch with what fits of a checkpoint; what does not fit stays as the model has it.

    Parameters
    ----------
    model : takes ``tokens``; gets the checkpoint's numbers, and is in evaluation afterwards
    tokens : (batch, length) int64
    state : tensors by the model's names
    """
    own = model.state_dict()
    fitting = {name: tensor for name, tensor in state.items() if name in own and own[name].shape == tensor.shape}
    model.load_state_dict(fitting, strict=False)
    recorder, hooks = _Recorder(), []
    for name, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(partial(recorder.enter, name)))
        hooks.append(module.register_forward_hook(recorder.leave))
    try:
        with recorder:
            model.eval()(tokens)
    finally:
        for hook in hooks:
            hook.remove()
    steps = pd.DataFrame(recorder.steps, columns=["module", "operation", "shape"])
    return Trace(steps, next(_mismatches(own, state, _in_order(own, recorder.called)), None))


class _Recorder(TorchFunctionMode):
    """Notes the shape of each tensor that a function of torch gives, and the module in which it does."""

    def __init__(self):
        super().__init__()
        self.steps: list[tuple[str, str, str]] = []
        self.called: list[str] = []  # modules
        self.inside: list[str] = []

    def enter(self, name: str, *_) -> None:
        self.called.append(name)
        self.inside.append(name)

    def leave(self, *_) -> None:
        self.inside.pop()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        given = function(*args, **(kwargs or {}))
        shapes = [str(tuple(each.shape)) for each in tree_leaves(given) if isinstance(each, Tensor)]
        name = getattr(function, "__name__", str(function))
        if shapes and self.inside and name != "__get__":
            self.steps.append((self.inside[-1] or "model", name.strip("_"), " ".join(shapes)))
        return given


def _in_order(names: Iterable[str], called: list[str]) -> list[str]:
    """Names of a model's tensors, in the order in which its modules are called.

    A module that is never called, such as an embedding whose weight is read, counts to the one around it.
    """
    of_module: dict[str, list[str]] = {}
    for name in names:
        owner = name.rpartition(".")[0]
        while owner and owner not in called:
            owner = owner.rpartition(".")[0]
        of_module.setdefault(owner, []).append(name)
    return [name for module in dict.fromkeys(called) for name in of_module.get(module, ())]


def _mismatches(own: Mapping[str, Tensor], state: Mapping[str, Tensor], needed: Iterable[str]) -> Iterator[str]:
    for name in needed:
        shape = tuple(own[name].shape)
        if name not in state:
            yield f"{name}: {shape} in the model, not in the checkpoint"
        elif tuple(state[name].shape) != shape:
            yield f"{name}: {shape} in the model, {tuple(state[name].shape)} in the checkpoint"
    for name in state:
        if name not in own:
            yield f"{name}: {tuple(state[name].shape)} in the checkpoint, not in the model"


def sizes(state: Mapping[str, Tensor], where: str | Path) -> tuple[int, int]:
    """Vocabulary and length of the model of a checkpoint, read from the shapes of its embeddings.

    Raises
    ------
    ValueError
        If it has no embedding of tokens; ``where`` is its path, for the message.
    """
    if "token_embedding.weight" not in state:
        raise ValueError(f"{where}: has no token_embedding.weight, so it is no checkpoint of this family")
    positions = state.get("position_embedding.weight")
    return len(state["token_embedding.weight"]), LONGEST if positions is None else len(positions)


def batch(vocabulary: int, length: int) -> Tensor:
    """Tokens to trace: (2, length) int64, each token in turn."""
    return (torch.arange(ROWS * length) % vocabulary).view(ROWS, length)


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
