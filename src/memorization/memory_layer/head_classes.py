"""What a head of attention looks at, from its masses on classes of tokens."""

from collections.abc import Sequence

import numpy as np

CLASSES = {"previous": "previous token", "first": "first token", "local": "local", "key": "key token"}  # narrow first
LEAST = 0.5  # of the mass, for a class
EXCESS = 0.1  # of the mass that even attention would leave out, for a class
DIFFUSE = "diffuse"


def head_class(mass: Sequence[float], uniform: Sequence[float]) -> tuple[str, float]:
    """The class of a head, and its excess, from its masses and those of even attention, in the order of ``CLASSES``.

    The excess of a mass m over that of even attention u is (m - u) / (1 - u): 0 of a head that looks everywhere alike,
    1 of one that looks at these tokens alone. Classes overlap: the previous token is local too, and a wide class such
    as a long question may have most of the mass of a head that looks everywhere. So the narrowest one that has
    ``LEAST`` or more of the mass and an excess of ``EXCESS`` or more is the class: previous token, first token, local,
    key token. Where none is, the head is diffuse, and the excess the largest of all.
    """
    mass, uniform = np.asarray(mass), np.asarray(uniform)
    excess = np.divide(mass - uniform, 1 - uniform, out=np.zeros(len(mass)), where=uniform < 1)
    for name, of, beyond in zip(CLASSES.values(), mass, excess, strict=True):
        if of >= LEAST and beyond >= EXCESS:
            return name, float(beyond)
    return DIFFUSE, float(excess.max())


def class_by_mass(mass: Sequence[float]) -> str:
    """The class of the largest of a head's masses, in the order of ``CLASSES``, if it is ``LEAST`` or more.

    Of equal masses the narrowest counts. Since classes overlap, a wide one often wins here over a narrow one that it
    holds, and over a head that looks everywhere alike: ``head_class`` is what these two cannot mislead.
    """
    largest = int(np.argmax(mass))
    return list(CLASSES.values())[largest] if mass[largest] >= LEAST else DIFFUSE
