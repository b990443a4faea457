"""Sections of the configuration with one value changed."""

import copy


def changed(section: dict, path: tuple, value) -> dict:
    """A copy of a section in which the value at ``path`` (keys and indices) is another."""
    section = copy.deepcopy(section)
    place = section
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return section
