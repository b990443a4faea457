"""The benchmarks of a family stand in a module here of its name; one without such a module has none.

ROWS : of ``make bench``, each what is measured, against what, the least ratio, and what makes the two sides
CURVES, where there are any : functions that take ``run.milliseconds`` and give a table
cases(config, device), where there are any : yields each ``Case`` of ``make bench-gpu``
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from torch import Tensor

from memorization.families import FAMILIES


class Case(NamedTuple):
    """A condition: ``step(n)`` is its training step n, ``flops(n)`` what that costs where it is a plain decoder's."""

    condition: str
    precision: str
    step: Callable[[int], Tensor]
    flops: Callable[[int], float] | None = None


def modules() -> dict[str, ModuleType]:
    """By family, its module."""
    names = [family.name for family in FAMILIES]
    return {name: import_module(name) for name in names if Path(__file__).with_name(f"{name}.py").exists()}
