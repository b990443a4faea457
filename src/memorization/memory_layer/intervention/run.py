"""All tables of the interventions on a run's model."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from torch import Tensor

from memorization.memory_layer.ablation.forward import ablatable
from memorization.memory_layer.intervention.ablated import ablated_table
from memorization.memory_layer.intervention.answered import answered
from memorization.memory_layer.intervention.control import CONTROL, control_table
from memorization.memory_layer.intervention.predictions import PREDICTIONS, predictions_table
from memorization.memory_layer.intervention.shares import ABLATED, SWAP
from memorization.memory_layer.intervention.substitutes import (
    CORRELATION,
    SUBSTITUTES,
    correlation_table,
    substitutes_table,
)
from memorization.memory_layer.intervention.swaps import swap_table
from memorization.memory_layer.training import Facts, restored
from memorization.memory_layer.typed_tables import typed
from memorization.provenance import generator


def intervention_tables(
    condition: Mapping,
    data: pd.DataFrame,
    arrays: Mapping[str, np.ndarray],
    state: Mapping[str, Tensor],
    settings: Mapping,
    name: str,
    seed: int,
    device: str,
) -> dict[str, pd.DataFrame]:
    """The tables of a run, by name, over the facts that it was trained on.

    Parameters
    ----------
    condition : its settings
    data, arrays : its data set, as a table and as tokens
    state : the model's tensors
    settings : ``n_slots`` of the swap matrix, ``n_examples`` of the predictions of a layer, ``n_permutations`` of the
        distances between slots
    name, seed : the run
    device : where it is computed

    Raises
    ------
    ValueError
        If the condition is of arm peer.
    """
    facts, run = Facts(arrays, device), {"condition": name, "seed": seed}
    model, rows = restored(condition, facts, state), facts.trained(condition)
    items, n_slots, n_examples = data["item"].to_numpy(), settings["n_slots"], settings["n_examples"]

    def stream(purpose: str) -> np.random.Generator:
        return generator("memory_layer", condition["dataset"], seed, "intervention", purpose)

    swaps, without, predictions, draws = [], [], [], stream("examples")
    for layer in ablatable(model):
        kept = answered(model, facts, rows, layer)
        swaps.append(swap_table(model, facts, kept, n_slots))
        without.append(ablated_table(model, facts, kept, swaps[-1]["slot"].unique()))
        predictions.append(predictions_table(model, facts, kept, items, n_examples, draws))
    swap = typed(swaps, SWAP)
    permutations = settings["n_permutations"], stream("permutations")
    substitutes = substitutes_table(swap, typed(without, ABLATED), *permutations)
    return {
        "swap": typed([swap], SWAP, run),
        "substitutes": typed([substitutes], SUBSTITUTES, run),
        "predictions": typed(predictions, PREDICTIONS, run),
        "swap_correlation": typed([correlation_table(substitutes)], CORRELATION, run),
        "control": typed([control_table(n_slots, n_examples, stream("control"))], CONTROL, run),
    }
