"""The one list of families. Whoever adds one adds a line here; everything else finds it by its name.

Imported when the Snakefile is read: nothing here may import torch.
"""

from collections.abc import Mapping
from pathlib import Path

from memorization.associative_memory.conditions import AssociativeMemory
from memorization.atlas.conditions import Atlas
from memorization.capacity.conditions import Capacity
from memorization.configuration import check, with_defaults
from memorization.family import Family
from memorization.grokking.conditions import Grokking
from memorization.provenance import ROOT
from memorization.zipf.conditions import Zipf

FAMILIES: tuple[type[Family], ...] = (
    Zipf,
    AssociativeMemory,
    Grokking,
    Capacity,
    Atlas,
)


def complete(config: Mapping, checkout: Path = ROOT.parent) -> dict:
    """A configuration, an overlay or nothing, with what it does not say filled in from a checkout's ``config/``."""
    return with_defaults(config, checkout / "config", [family.name for family in FAMILIES])


def configured(config: Mapping, checkout: Path = ROOT.parent, strict: bool = True) -> dict[str, Family]:
    """All families by name, of a complete configuration that is checked.

    Parameters
    ----------
    config : as ``complete`` gives it
    checkout : where the schemas are
    strict : as in ``configuration.check``

    Raises
    ------
    ConfigurationError
        One line that names the key.
    """
    check(config, checkout / "workflow/schemas", [family.name for family in FAMILIES], strict)
    families: dict[str, Family] = {}
    for kind in FAMILIES:
        families[kind.name] = kind(config[kind.name], others=dict(families), first_seed=config["first_seed"])
        families[kind.name].check()
    return families
