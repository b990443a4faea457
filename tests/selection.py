"""Which tests are a family's."""

import re

from memorization.families import FAMILIES

NAMES = [family.name for family in FAMILIES]


def is_of(family: str, test: str) -> bool:
    """Whether a test is a family's: by the name of its folder or file, or by its own where these name no family.

    Names are whole: a family whose name is part of another's does not get the other's tests.

    Parameters
    ----------
    family : its name
    test : ``path::test``, as pytest writes it
    """
    path, _, name = test.partition("::")
    places = [place.removeprefix("test_").removesuffix(".py") for place in path.split("/")]
    of = next((place for place in places if place in NAMES), None)
    longer = "|".join(other for other in NAMES if family in other and other != family) or "(?!)"
    return of == family if of else family in re.sub(longer, "", name)
