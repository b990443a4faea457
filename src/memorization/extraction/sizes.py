"""How much text a seed trains on, counted from the settings of a data set. Knows nothing of torch."""

from collections.abc import Mapping

from memorization.extraction.prompts import tokens_needed

GROUPS = 3  # of planted windows a data type: in each seed one of them is left out


def planted_copies(data: Mapping) -> int:
    """How many copies stand in a seed's text: of each type two of three groups, counts shared evenly."""
    windows = len(data["data_types"]) * data["per_type"] * (GROUPS - 1) // GROUPS
    return windows * sum(data["copies"]) // len(data["copies"])


def packed_rows(data: Mapping) -> int:
    """Training rows of a data set of kind python."""
    return (planted_copies(data) * tokens_needed(data["lengths"]) + data["background"]) // data["row_length"]
