"""What the family's figures share: colours, panels over a legend, its lines."""

from collections.abc import Sequence

import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from memorization.plotting import grid, legend_columns, legend_height

IN_A_ROW = 3  # panels
MARKERS = "os^DvPX"


def colours(names: Sequence[str], plotting: dict) -> dict:
    """A colour of the palette for each name."""
    return dict(zip(names, sns.color_palette(plotting["palette"], len(names)), strict=True))


def panels(
    count: int, marks: list[Artist], plotting: dict, in_a_row: int = IN_A_ROW, **axes
) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, in rows, with a legend of ``marks`` below all."""
    across = min(count, in_a_row)
    rows = -(-count // across)
    below = legend_columns(marks, plotting, across) if marks else 0
    figure = grid(rows, across, plotting, legend_height(marks, below) if marks else 0.0)
    every = figure.subplots(rows, across, squeeze=False, **axes).ravel()
    for ax in every[count:]:
        ax.remove()
    if marks:
        figure.legend(handles=marks, loc="outside lower center", ncols=below)
    return figure, list(every[:count])


def lines(names: Sequence[str], plotting: dict) -> list[Artist]:
    """A legend's line for each name."""
    return [
        Line2D([], [], color=colour, linewidth=1.6, label=name) for name, colour in colours(names, plotting).items()
    ]
