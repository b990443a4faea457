"""All tables of the interventions on a run's model."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from torch import Tensor

from memorization.memory_layer.intervention.control import control_table
from memorization.memory_layer.intervention.kept import keep
from memorization.memory_layer.intervention.predictions import PREDICTIONS, predictions_table
from memorization.memory_layer.intervention.shares import SWAP, together
from memorization.memory_layer.intervention.substitutes import correlation_table, substitutes_table
from memorization.memory_layer.intervention.swaps import swap_table
from memorization.memory_layer.model import build, memories
from memorization.memory_layer.training import Facts
from memorization.provenance import generator


def intervention_tables(
    condition: Mapping,
    data: pd.DataFrame,
    arrays: Mapping[str, np.ndarray],
    state: Mapping[str, Tensor],
    impact: pd.DataFrame,
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
    impact : ``layer``, ``slot``, ``impact_bits``, what the ablation of a slot costs
    settings : ``n_slots`` of the swap matrix, ``n_examples`` of the predictions of a layer, ``n_permutations`` of the
        distances between slots
    name, seed : the run
    device : where it is computed
    """
    facts, run = Facts(arrays, device), {"condition": name, "seed": seed}
    model = build(condition, facts.vocabulary, facts.length).to(device)
    model.load_state_dict(state)
    rows = np.flatnonzero(np.isin(facts.split, condition["train_on"]) & (facts.copies > 0))
    items, n_slots, n_examples = data["item"].to_numpy(), settings["n_slots"], settings["n_examples"]

    def stream(purpose: str) -> np.random.Generator:
        return generator("memory_layer", condition["dataset"], seed, "intervention", purpose)

    swaps, predictions, draws = [], [], stream("examples")
    for layer in memories(model):
        kept = keep(model, facts, rows, layer)
        swaps.append(swap_table(model, facts, kept, n_slots, run))
        predictions.append(predictions_table(model, facts, kept, items, n_examples, draws, run))
    swap = together(swaps, SWAP)
    return {
        "swap": swap,
        "substitutes": substitutes_table(swap, settings["n_permutations"], stream("permutations")),
        "predictions": together(predictions, PREDICTIONS),
        "swap_correlation": correlation_table(swap, impact),
        "control": control_table(n_slots, n_examples, stream("control"), run),
    }
