"""Parameters that training leaves alone, chosen by the patterns of their names."""

import re
from collections.abc import Iterable, Mapping, Sequence

from torch import nn


def freeze(
    model: nn.Module | Sequence[nn.Module],
    patterns: str | Iterable[str] | Mapping[str, str],
    strict: bool = True,
) -> int:
    """Freeze all parameters whose names match a pattern, and print how many. Call it before the optimizer is made.

    A pattern is a parameter's name, a module's (``layers.1`` or ``layers.1.``: all that is in it, never
    ``layers.10``), or either with ``*`` for any text, dots included (``layers.*.attention``).
    A frozen parameter gets no gradient, so that torch's optimizers pass it over: neither momentum that they
    already hold nor weight decay moves it.

    Parameters
    ----------
    model : its parameters' ``requires_grad`` is set; or a list of its parts, such as the stages of a pipeline, in each
        of which names are as in that part
    patterns : one, several, or a mapping of each to ``"freeze"``
    strict : whether a pattern that matches nothing, in any part, is an error

    Returns
    -------
    How many parameters (single weights) are matched; one that several names or patterns share counts once.

    Raises
    ------
    ValueError
        If a pattern matches nothing and ``strict``, or a mapping asks for anything but ``"freeze"``.
    """
    if isinstance(patterns, Mapping):
        for pattern, action in patterns.items():
            if action != "freeze":
                raise ValueError(f"freeze: {pattern}: {action!r} is not allowed; allowed: freeze")
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    parts = [model] if isinstance(model, nn.Module) else list(model)
    for pattern in patterns:
        if strict and not any(matching(part, [pattern]) for part in parts):
            names = (name for part in parts for name, _ in part.named_parameters())
            tops = dict.fromkeys(name.split(".")[0] for name in names)
            raise ValueError(f"freeze: {pattern!r} matches no parameter; there are parameters in {', '.join(tops)}")
    frozen = {}
    for part in parts:
        named = dict(part.named_parameters(remove_duplicate=False))
        frozen |= {id(named[name]): named[name] for name in matching(part, patterns)}
    for parameter in frozen.values():
        parameter.requires_grad_(False)
    count = sum(parameter.numel() for parameter in frozen.values())
    if frozen:
        print(f"frozen: {count} parameters in {len(frozen)} tensors", flush=True)
    return count


def matching(model: nn.Module, patterns: Iterable[str]) -> list[str]:
    """The names of a model's parameters that match one of ``patterns``, in the model's order."""
    patterns = list(patterns)
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    return [name for name in names if any(matches(pattern, name) for pattern in patterns)]


def matches(pattern: str, name: str) -> bool:
    """Whether a parameter's name, or the dotted beginning of it, matches a pattern."""
    expression = ".*".join(map(re.escape, pattern.removesuffix(".").split("*")))
    return re.fullmatch(expression + (r"\..+" if pattern.endswith(".") else r"(\..+)?"), name) is not None
