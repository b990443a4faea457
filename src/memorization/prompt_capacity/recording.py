"""What all families record of their runs, from the cells of one. An exposure is an optimizer step of a prompt."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from memorization import records
from memorization.prompt_capacity import FAMILY

ARM = "prompt"
LN2 = np.log(2)


def prompt_records(
    cells: Sequence[Mapping[str, np.ndarray]], tables: Sequence[pd.DataFrame], condition: str, seed: int
) -> pd.DataFrame:
    """Records of a run (``records.records``): an item is a prompt with its texts, in one cell and layout.

    Parameters
    ----------
    cells : of ``measuring.described``
    tables : the rows of ``memorization`` of each
    """
    return pd.concat([_of_cell(*each, condition, seed) for each in zip(cells, tables, strict=True)], ignore_index=True)


def _of_cell(cell: Mapping[str, np.ndarray], table: pd.DataFrame, condition: str, seed: int) -> pd.DataFrame:
    steps, n = cell["step"], len(cell["layout"])
    tokens = cell["group"] * int(cell["scored"])
    ends = np.where(cell["left"] < 0, steps.max(), cell["left"])
    exposures = np.minimum(steps[:, None], ends)
    starts = np.concatenate([[0], np.cumsum(cell["group"])[:-1]])
    prior = np.add.reduceat(table["nll_without_bits"].to_numpy(), starts)
    place = pd.Series(cell["layout"]).groupby(cell["layout"]).cumcount()
    items = [
        f"{layout}_k{cell['prompt_length']}_length{cell['length']}_{number}"
        for layout, number in zip(cell["layout"], place, strict=True)
    ]
    right = cell["right"]
    shape = len(steps), n
    return records.records(
        family=FAMILY,
        arm=ARM,
        condition=condition,
        seed=seed,
        step=np.repeat(steps, n),
        phase="train",
        item=np.tile(items, len(steps)),
        exposures=exposures.ravel(),
        last_exposure_step=exposures.ravel(),
        n_tokens=np.broadcast_to(tokens, shape).ravel(),
        recall=right.astype(float).ravel(),
        chance=1 / int(cell["vocabulary"]),
        exact=(right == 1).ravel(),
        nll_bits=(cell["losses"][steps] * tokens / LN2).ravel(),
        prior_bits=np.broadcast_to(prior, shape).ravel(),
    )


def prompt_runs(cells: Sequence[Mapping[str, np.ndarray]], condition: str, seed: int) -> pd.DataFrame:
    """The run row of a run (``records.runs``): all prompts of its cells together are what is trained."""
    trained = sum(len(cell["layout"]) * int(cell["prompt_length"]) * int(cell["d_model"]) for cell in cells)
    return records.runs(
        family=FAMILY,
        arm=ARM,
        condition=condition,
        seed=seed,
        parameters=int(cells[0]["parameters"]) + trained,
        trainable=trained,
        steps=max(len(cell["losses"]) - 1 for cell in cells),
    )
