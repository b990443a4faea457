"""A run as the stages behind its training see it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from torch import Tensor

from memorization.memory_layer.training import Facts, restored
from memorization.provenance import generator


class TrainedRun:
    """A condition with a seed: its data set, and the model that it ends with.

    Parameters
    ----------
    condition : its settings
    data, arrays : its data set, as a table and as tokens
    state : the model's tensors
    name, seed : of the condition, and the seed
    device : where the model is

    Attributes
    ----------
    facts, model : the data set's tokens, and the model in evaluation
    items : (n,) names of the rows
    trained : the rows that the condition trains on
    about : ``condition`` and ``seed``, columns of every table
    """

    def __init__(
        self,
        condition: Mapping,
        data: pd.DataFrame,
        arrays: Mapping[str, np.ndarray],
        state: Mapping[str, Tensor],
        name: str,
        seed: int,
        device: str,
    ):
        self.condition, self.data, self.seed = condition, data, seed
        self.facts = Facts(arrays, device)
        self.model, self.trained = restored(condition, self.facts, state), self.facts.trained(condition)
        self.items, self.about = data["item"].to_numpy(), {"condition": name, "seed": seed}

    def stream(self, *purpose: str | int) -> np.random.Generator:
        """A random stream of this data set and seed, the same for all conditions."""
        return generator("memory_layer", self.condition["dataset"], self.seed, *purpose)
