"""The configuration that stands, whole, and sections of it with one value changed."""

import copy

import yaml

from memorization.configuration import with_defaults
from memorization.families import FAMILIES
from memorization.provenance import ROOT

FOLDER = ROOT.parent / "config"
SCALES = [None, *sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != "config")]  # as `complete` takes it


def complete(scale: str | None = None) -> dict:
    """The configuration that stands, under the overlay ``config/<scale>.yaml`` if one is named."""
    overlay = yaml.safe_load((FOLDER / f"{scale}.yaml").read_text()) if scale else {}
    return with_defaults(overlay, FOLDER, [family.name for family in FAMILIES])


def changed(section: dict, path: tuple, value) -> dict:
    """A copy of a section in which the value at ``path`` (keys and indices) is another."""
    section = copy.deepcopy(section)
    place = section
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return section


def plotting(config: dict, family: str, figure: str) -> dict:
    """What a figure is drawn with."""
    return config["style"] | config[family]["figures"][figure]
