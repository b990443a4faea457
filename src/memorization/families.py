"""The one list of families. A new family adds a line here; everything else finds it by its name.

Imported when the Snakefile is read: nothing here may import torch.
"""

from collections.abc import Mapping
from pathlib import Path

from memorization.associative_memory.conditions import AssociativeMemory
from memorization.atlas.conditions import Atlas
from memorization.capacity.conditions import Capacity
from memorization.configuration import check, with_defaults
from memorization.extraction.conditions import Extraction
from memorization.family import Family
from memorization.grokking.conditions import Grokking
from memorization.memory_layer.conditions import MemoryLayer
from memorization.prompt_capacity.conditions import PromptCapacity
from memorization.provenance import ROOT
from memorization.zipf.conditions import Zipf

FAMILIES: tuple[type[Family], ...] = (
    Zipf,
    AssociativeMemory,
    Grokking,
    Capacity,
    MemoryLayer,
    Extraction,
    PromptCapacity,
    Atlas,
)


def complete(config: Mapping, checkout: Path = ROOT.parent) -> dict:
    """An overlay, or nothing, completed by the default configuration in a checkout's ``config/``."""
    return with_defaults(config, checkout / "config", [family.name for family in FAMILIES])


def configured(config: Mapping, checkout: Path = ROOT.parent, strict: bool = True) -> dict[str, Family]:
    """Check a complete configuration; all families by name.

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
