"""All tables of the interventions on a run's model."""

from collections.abc import Mapping

import pandas as pd

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
from memorization.memory_layer.trained_run import TrainedRun
from memorization.memory_layer.typed_tables import typed


def intervention_tables(run: TrainedRun, settings: Mapping) -> dict[str, pd.DataFrame]:
    """The tables of a run, by name, over the facts that it was trained on.

    Parameters
    ----------
    settings : ``n_slots`` of the swap matrix, ``n_examples`` of the predictions of a layer, ``n_permutations`` of the
        distances between slots

    Raises
    ------
    ValueError
        If the condition is of arm peer.
    """
    model, facts, n_slots, n_examples = run.model, run.facts, settings["n_slots"], settings["n_examples"]
    swaps, without, predictions, draws = [], [], [], run.stream("intervention", "examples")
    for layer in ablatable(model):
        kept = answered(model, facts, run.trained, layer)
        swaps.append(swap_table(model, facts, kept, n_slots))
        without.append(ablated_table(model, facts, kept, swaps[-1]["slot"].unique()))
        predictions.append(predictions_table(model, facts, kept, run.items, n_examples, draws))
    swap = typed(swaps, SWAP)
    permutations = settings["n_permutations"], run.stream("intervention", "permutations")
    substitutes = substitutes_table(swap, typed(without, ABLATED), *permutations)
    control = control_table(n_slots, n_examples, run.stream("intervention", "control"))
    return {
        "swap": typed([swap], SWAP, run.about),
        "substitutes": typed([substitutes], SUBSTITUTES, run.about),
        "predictions": typed(predictions, PREDICTIONS, run.about),
        "swap_correlation": typed([correlation_table(substitutes)], CORRELATION, run.about),
        "control": typed([control], CONTROL, run.about),
    }
