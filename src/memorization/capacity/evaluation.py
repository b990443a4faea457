"""What a run holds, in bits; its records and its run.

An item is a sequence, an exposure an optimizer step: every step is on all sequences.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from memorization.capacity.data import bits_to_hold, sequence_bits
from memorization.records import WEIGHT_BITS, records, runs

ABOUT = {"family": "capacity", "arm": "transformer"}


def bits_table(trajectory: Mapping[str, np.ndarray], dataset: Mapping, condition: str, seed: int) -> pd.DataFrame:
    """Bits memorized of all sequences of a run together, one row for each recorded step.

    Parameters
    ----------
    trajectory : ``capacity.training.train``'s
    dataset : count, length, alphabet
    condition, seed : the run

    Returns
    -------
    DataFrame: ``condition``, ``seed``, ``step``; ``count`` of the sequences; ``parameters``; ``bits`` memorized, the
    sum over sequences and symbols of log₂ V less what the symbol costs, negative ones too; ``to_hold``, the most that
    can be; ``bits_per_parameter``, ``bits_per_state_bit``; ``recall``, the share of symbols that are predicted right,
    ``exact``, of sequences all of whose symbols are.
    """
    count, length, alphabet = (dataset[key] for key in ("count", "length", "alphabet"))
    bits = count * sequence_bits(length, alphabet) - trajectory["nll"] / np.log(2)
    parameters = int(trajectory["parameters"])
    return pd.DataFrame(
        {
            "condition": condition,
            "seed": seed,
            "step": trajectory["step"],
            "count": count,
            "parameters": parameters,
            "bits": bits,
            "to_hold": bits_to_hold(count, length, alphabet),
            "bits_per_parameter": bits / parameters,
            "bits_per_state_bit": bits / (WEIGHT_BITS * parameters),
            "recall": trajectory["right"] / (count * length),
            "exact": trajectory["exact"] / count,
        }
    )


def capacity_records(trajectory: Mapping[str, np.ndarray], dataset: Mapping, condition: str, seed: int) -> pd.DataFrame:
    """``records`` of a run's first sequences, which larger sets of the seed have too."""
    length, alphabet = dataset["length"], dataset["alphabet"]
    n_records, n_items = trajectory["item_nll"].shape
    step, right = np.repeat(trajectory["step"], n_items), trajectory["item_right"].ravel()
    return records(
        **ABOUT,
        condition=condition,
        seed=seed,
        step=step,
        phase="train",
        item=np.tile([f"sequence{n}" for n in range(n_items)], n_records),
        exposures=step,
        last_exposure_step=step,
        n_tokens=length,
        recall=right / length,
        chance=1 / alphabet,
        exact=right == length,
        nll_bits=trajectory["item_nll"].ravel().astype(np.float64) / np.log(2),
        prior_bits=sequence_bits(length, alphabet),
    )


def capacity_runs(trajectory: Mapping[str, np.ndarray], dataset: Mapping, condition: str, seed: int) -> pd.DataFrame:
    """``runs`` of one run: float32 parameters."""
    sizes = {name: int(trajectory[name]) for name in ("parameters", "trainable")}
    is_whole = trajectory["item_nll"].shape[1] == dataset["count"]
    steps = int(trajectory["step"].max())
    return runs(**ABOUT, condition=condition, seed=seed, **sizes, steps=steps, all_recorded=is_whole)
