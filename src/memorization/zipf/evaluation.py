"""Measures of memorization: losses and accuracies of each sequence, against the Bayes floors."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from memorization.data.sequences import bayes_loss, unique_prefix_length
from memorization.records import records, runs

ARMS = {"decoder": "transformer", "one_layer_attention": "one_layer_attention"}


def by_sequence(
    trajectory: Mapping[str, np.ndarray],
    sequences: np.ndarray,
    probabilities: np.ndarray,
    condition: str,
    model: str,
    seed: int,
) -> pd.DataFrame:
    """Loss and accuracy of each recorded (step, sequence), over all bits and over the suffix.

    The suffix of a sequence are the bits after its prefix has become unique in the set. There a model
    that knows the set is sure: the floor of ``suffix_loss`` is 0 and the ceiling of ``suffix_accuracy`` 1.
    A bit is predicted right where its probability exceeds one half.

    Parameters
    ----------
    trajectory : ``zipf.training.train``'s
    sequences : (count, length) of 0 and 1
    probabilities : (count,), of being drawn
    condition, model, seed : the run, and its architecture

    Returns
    -------
    DataFrame of a row an entry: ``condition``, ``model``, ``seed``, ``set`` (0, the first), ``rank``, ``step``,
    ``presentations``, ``last_presentation`` (step, 0 for never); ``loss``, ``suffix_loss`` in nats per bit,
    ``accuracy``, ``suffix_accuracy`` in [0, 1]; ``floor`` and ``ceiling``, the loss (-ln p / length) and the
    accuracy of the Bayes predictor over all bits, references for one sequence that bound only p-weighted
    means; ``length``, ``suffix_length`` in bits. Suffix measures of an empty suffix are NaN.
    """
    length = sequences.shape[1]
    rank, nll = trajectory["rank"], trajectory["nll"].astype(np.float64)
    right = nll < np.log(2)
    suffix = np.arange(length) >= unique_prefix_length(sequences)[rank, None]
    suffix_length = suffix.sum(axis=1)
    with np.errstate(invalid="ignore"):
        suffix_loss, suffix_accuracy = ((values * suffix).sum(axis=1) / suffix_length for values in (nll, right))
    bayes = bayes_loss(sequences, probabilities)
    bayes_right = np.where(np.isclose(bayes, np.log(2), rtol=0, atol=1e-9), 0.5, bayes < np.log(2))  # a tie is a guess
    return pd.DataFrame(
        {"condition": condition, "model": model, "seed": seed, "set": 0}
        | {name: trajectory[name] for name in ("rank", "step", "presentations", "last_presentation")}
        | {
            "loss": nll.mean(axis=1),
            "accuracy": right.mean(axis=1),
            "suffix_loss": suffix_loss,
            "suffix_accuracy": suffix_accuracy,
            "floor": bayes.mean(axis=1)[rank],
            "ceiling": bayes_right.mean(axis=1)[rank],
            "length": length,
            "suffix_length": suffix_length,
        }
    )


def summary(
    trajectory: Mapping[str, np.ndarray], table: pd.DataFrame, probabilities: np.ndarray, stride: int
) -> pd.DataFrame:
    """A run in a row a recorded step.

    Parameters
    ----------
    trajectory, table : ``zipf.training.train``'s, and ``by_sequence`` of it
    probabilities : (count,), of being drawn
    stride : the recorded sequences whose rank is a multiple of it stand for all

    Returns
    -------
    DataFrame: ``condition``, ``model``, ``seed``, ``step``; ``weighted_loss``, the p-weighted mean over all
    sequences and bits, and ``floor``, H(p) / length, which bounds it from below, in nats per bit;
    ``suffix_loss`` and ``suffix_accuracy``, means over sequences, rare ones counted like frequent ones.
    """
    length = table["length"].iloc[0]
    sample = table[table["rank"] % stride == 0].groupby(["condition", "model", "seed", "step"], as_index=False)
    weighted = {"step": trajectory["weighted_step"], "weighted_loss": trajectory["weighted_loss"]}
    entropy = -(probabilities * np.log(probabilities)).sum()
    means = sample[["suffix_loss", "suffix_accuracy"]].mean()
    return means.merge(pd.DataFrame(weighted), on="step").assign(floor=entropy / length)


def zipf_records(table: pd.DataFrame) -> pd.DataFrame:
    """``records`` of ``by_sequence``: an item is a sequence, its tokens are the bits of its suffix.

    An exposure is a presentation (one place in a batch); without having been seen a bit costs one bit.
    Sequences that only their last bit tells apart have no suffix and no record.
    """
    table = table[table["suffix_length"] > 0]
    return records(
        family="zipf",
        arm=table["model"].map(ARMS),
        condition=table["condition"],
        seed=table["seed"],
        step=table["step"],
        phase="train",
        item="set" + table["set"].astype(str) + "/rank" + table["rank"].astype(str),
        exposures=table["presentations"],
        last_exposure_step=table["last_presentation"],
        n_tokens=table["suffix_length"],
        recall=table["suffix_accuracy"],
        chance=0.5,
        exact=table["suffix_accuracy"] == 1,
        nll_bits=table["suffix_loss"] * table["suffix_length"] / np.log(2),
        prior_bits=table["suffix_length"],
    )


def zipf_runs(condition: str, model: str, seed: int, parameters: int, steps: int) -> pd.DataFrame:
    """``runs`` of one run: all its parameters are trained, in float32."""
    return runs(
        family="zipf",
        arm=ARMS[model],
        condition=condition,
        seed=seed,
        parameters=parameters,
        trainable=parameters,
        state_bits=32 * parameters,
        steps=steps,
    )
