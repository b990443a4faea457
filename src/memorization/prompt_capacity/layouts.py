"""Where a trained prompt P may stand. Knows nothing of torch."""

NAMED = ("prefix", "infix", "infix_masked", "solo")  # of texts with an ID
OF_QUESTIONS = ("prefix", "infix", "infix_masked", "suffix")  # of a question and its answer
MASKED = "infix_masked"  # as infix, but P does not attend to what stands before it


def layout_of(name: str) -> str | int:
    """A layout by what it is called in file names and tables: a name, or ``offset<n>``, P behind n tokens."""
    return int(name.removeprefix("offset")) if name.startswith("offset") else name


def layout_name(layout: str | int) -> str:
    """The reverse of ``layout_of``."""
    return layout if isinstance(layout, str) else f"offset{layout}"


def place_of_text(layout: str | int, id_length: int) -> int:
    """How many tokens of the ID stand before P.

    Raises
    ------
    ValueError
        If the layout is unknown, or P would stand behind the ID's end, in the text that it is to bring forth.
    """
    if isinstance(layout, int):
        if not 0 <= layout <= id_length:
            raise ValueError(f"layout: P behind {layout} tokens, but the ID has {id_length}; allowed: 0 to {id_length}")
        return layout
    if layout not in NAMED:
        raise ValueError(f"layout: {layout!r} is not one of {', '.join(NAMED)}, or a number of tokens")
    return id_length if layout in ("infix", MASKED) else 0
