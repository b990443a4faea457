"""What a slot's examples lose when the slot itself is ablated: what its swaps are compared with."""

import numpy as np
import pandas as pd

from memorization.memory_layer.ablation.slots import slot_impact
from memorization.memory_layer.intervention.answered import Answered
from memorization.memory_layer.intervention.shares import ABLATED, ABLATIONS
from memorization.memory_layer.intervention.swaps import examples_of
from memorization.memory_layer.training import Facts
from memorization.memory_layer.typed_tables import typed
from memorization.models.decoder import Decoder


def ablated_table(model: Decoder, facts: Facts, kept: Answered, slots: np.ndarray) -> pd.DataFrame:
    """How the examples of some slots are answered without the slot, by ``ablation.slots.slot_impact``.

    The examples are those of the swap matrix: tokens that are answered right and whose largest weight is on the slot.

    Parameters
    ----------
    kept : of rows that were trained
    slots : (n,)

    Returns
    -------
    DataFrame: ``layer``, ``slot``; ``ablation``, ``value_zero`` (the slot's value is 0, in every layer that shares the
    pool) or ``slot_mask`` (it scores -inf, the next best one enters); ``kept_share`` of its examples that are answered
    as before; ``nll_change_bits``, by how much the right answer costs more, their mean
    """
    examples, parts = examples_of(kept), []
    examples = examples[examples["slot"].isin(slots)]
    examples = examples.assign(row=kept.row[examples.index])
    for ablation in ABLATIONS if len(examples) else ():
        rows = np.unique(examples["row"])
        impact, _ = slot_impact(model, facts, rows, kept.layer, ablation, units=np.unique(slots))
        of = examples.merge(impact, on=["row", "position", "slot"], validate="one_to_one")
        means = of.assign(kept_share=~of["changed"]).groupby("slot")[["kept_share", "nll_change_bits"]].mean()
        parts.append(means.reset_index().assign(layer=kept.layer, ablation=ablation))
    return typed(parts, ABLATED)
