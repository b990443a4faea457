"""Puts parts of the model from before a switch back into the trained one: where are the old sequences stored?"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from torch import Tensor

from memorization.data.sequences import Batches
from memorization.random_sequences.measures import by_sequence
from memorization.random_sequences.training import Training
from memorization.training.freezing import matching
from memorization.zipf.models import PARTS
from memorization.zipf.training import Transformer

SWAPS = {"none": [], **{part: PARTS[part] for part in ("mlp", "mlp_head", "attention")}, "all": ["*"]}


def swap(
    learner: Transformer,
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    sets: np.ndarray,
    batches: Batches,
    run: dict,
) -> pd.DataFrame:
    """Evaluate old and new sequences with parts of a model put back to their state before its last switch.

    Parameters
    ----------
    learner : the condition's; its state is overwritten
    before, after : the states at the last switch and at the end of training
    sets : (sets, count, length) of 0 and 1
    batches : the drawn batches
    run : columns that are the same in each row

    Returns
    -------
    DataFrame: ``by_sequence`` with a column ``swap``: ``none``, the trained model; ``mlp``, ``mlp_head``
    (with the head) or ``attention`` from before; ``all``, the model from before.
    """
    tables = []
    for name, patterns in SWAPS.items():
        training = Training(learner, sets, batches, before=after)
        restored = {f"model.{parameter}" for parameter in matching(learner.model, patterns)}
        learner.restore({**after, **{parameter: before[parameter] for parameter in restored}})
        training.record(int(after["step"]), np.arange(sets.shape[1]))
        tables.append(by_sequence(training.recorder.arrays(), sets, batches.probabilities, run | {"swap": name}))
    return pd.concat(tables, ignore_index=True)
