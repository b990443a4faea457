"""Measures of memorization: losses and accuracies of each sequence, against the Bayes floors."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from memorization.data.sequences import bayes_loss, first_sets, unique_prefix_length
from memorization.records import WEIGHT_BITS, records, runs

LN2 = np.log(2)  # nats a bit: what a guess costs
LATE = 0.1  # share of a training that stands for its end
TRAJECTORY = ("step", "set", "rank", "exposures", "last_exposure_step")


def by_sequence(
    trajectory: Mapping[str, np.ndarray], sets: np.ndarray, probabilities: np.ndarray, run: dict, first: int = 0
) -> pd.DataFrame:
    """Loss and accuracy of each recorded (step, sequence), over all bits and over the suffix.

    The suffix of a sequence are the bits after its prefix has become unique in its set. There a model
    that knows the set is sure: the floor of ``suffix_loss`` is 0 and the ceiling of ``suffix_accuracy`` 1.
    A bit is predicted right where its probability exceeds one half; one half, as of an empty memory, is half right.

    Parameters
    ----------
    trajectory : ``random_sequences.training.train``'s
    sets : (sets, count, length) of 0 and 1
    probabilities : (count,), of being drawn
    run : columns that are the same in each row: condition, architecture, seed, and what else the family knows of it
    first : the first bit that is scored; "all bits" are those from it on

    Returns
    -------
    DataFrame of a row an entry: those of ``run``; ``set`` (0, the first) and ``rank`` in it; ``first_set``, in which a
    sequence that switches keep stood first; ``phase``, ``train`` in a run without a switch, else ``after_switch``
    in the last of ``sets``, which is trained on, ``before_switch`` in the others; ``step``, ``exposures``,
    ``last_exposure_step`` (step, 0 for never); ``loss``, ``suffix_loss`` in nats per bit, ``accuracy``,
    ``suffix_accuracy`` in [0, 1]; ``floor`` and ``ceiling``, the loss (-ln p / length) and the
    accuracy of the Bayes predictor over all bits, references for one sequence that bound only p-weighted
    means; ``length``, ``suffix_length`` in bits. Suffix measures of an empty suffix are NaN.
    """
    length = sets.shape[2] - first
    number, rank, nll = trajectory["set"], trajectory["rank"], trajectory["nll"][:, first:].astype(np.float64)
    right = np.where(np.isclose(nll, LN2, rtol=0, atol=1e-7), 0.5, nll < LN2)
    unique = np.stack([unique_prefix_length(sequences) for sequences in sets])
    suffix = np.arange(first, first + length) >= unique[number, rank, None]
    suffix_length = suffix.sum(axis=1)
    with np.errstate(invalid="ignore"):
        suffix_loss, suffix_accuracy = ((values * suffix).sum(axis=1) / suffix_length for values in (nll, right))
    bayes = np.stack([bayes_loss(sequences, probabilities)[:, first:] for sequences in sets])
    phase = np.where(number == len(sets) - 1, "after_switch", "before_switch") if len(sets) > 1 else "train"
    bayes_right = np.where(np.isclose(bayes, LN2, rtol=0, atol=1e-9), 0.5, bayes < LN2)
    return pd.DataFrame(
        run
        | {name: trajectory[name] for name in TRAJECTORY}
        | {
            "first_set": first_sets(sets)[number, rank],
            "phase": phase,
            "loss": nll.mean(axis=1),
            "accuracy": right.mean(axis=1),
            "suffix_loss": suffix_loss,
            "suffix_accuracy": suffix_accuracy,
            "floor": bayes.mean(axis=2)[number, rank],
            "ceiling": bayes_right.mean(axis=2)[number, rank],
            "length": length,
            "suffix_length": suffix_length,
        }
    )


def evaluate(
    trajectories: Sequence[Mapping[str, np.ndarray]],
    sets: np.ndarray,
    probabilities: np.ndarray,
    stride: int,
    run: dict,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``by_sequence`` and ``summary`` of a run, which may be several trainings, one set after the other.

    Both have a last column ``switch_start_step``: the step at which the row's set took its predecessor's place, 0 for
    the first set.

    Parameters
    ----------
    trajectories : of the trainings, in their order
    sets, probabilities, run : as in ``by_sequence``
    stride : the recorded sequences whose rank is a multiple of it stand for all
    """
    sets_by_then = [sets[: each["set"].max() + 1] for each in trajectories]
    tables = [by_sequence(*each, probabilities, run) for each in zip(trajectories, sets_by_then, strict=True)]
    table = pd.concat(tables, ignore_index=True)
    # The end of one training is the beginning of the next: of two rows the one after the switch stands.
    table = table.drop_duplicates(["first_set", "rank", "step"], keep="last", ignore_index=True)
    weighted = [
        pd.DataFrame({"set": each["set"].max(), "step": each["weighted_step"], "weighted_loss": each["weighted_loss"]})
        for each in trajectories
    ]
    first = first_sets(sets)
    kept = [(first[number] < number).mean() for number in range(len(sets))]
    totals = summary(table, pd.concat(weighted), probabilities, stride, kept, list(run))
    starts = {0: 0} | {each["set"].max(): each["step"].min() for each in trajectories}
    return tuple(rows.assign(switch_start_step=rows["set"].map(starts)) for rows in (table, totals))


def summary(
    table: pd.DataFrame,
    weighted: pd.DataFrame,
    probabilities: np.ndarray,
    stride: int,
    kept: Sequence[float],
    by: list[str],
) -> pd.DataFrame:
    """A set of a run in a row a recorded step.

    Parameters
    ----------
    table : ``by_sequence``
    weighted : ``set``, ``step``, ``weighted_loss``
    probabilities : (count,), of being drawn
    stride : the recorded sequences whose rank is a multiple of it stand for all
    kept : by set, the share of its sequences that a switch kept from earlier ones; as many of them are at a multiple
        of the stride as there happen to be, so that they and the new ones stand for their kind alone
    by : the columns of the run

    Returns
    -------
    DataFrame: those of the run, ``set``, ``phase``, ``step``; ``weighted_loss``, the p-weighted mean over all
    sequences and bits of the set that is trained on (NaN for earlier ones), and ``floor``, H(p) / length, which bounds
    it from below, in nats per bit; ``loss``, ``suffix_loss`` in nats per bit and ``suffix_accuracy``, means over
    sequences, rare ones counted like frequent ones.
    """
    sample = table[table["rank"] % stride == 0]
    keys, values = [*by, "set", "phase", "step"], ["loss", "suffix_loss", "suffix_accuracy"]
    means = sample.groupby([*keys, sample["first_set"] < sample["set"]])[values].mean()
    is_kept, share = means.index.get_level_values(-1), np.take(kept, means.index.get_level_values("set"))
    weights = means.notna().mul(np.where(is_kept, share, 1 - share), axis=0)
    means = (means * weights).groupby(keys).sum(min_count=1) / weights.groupby(keys).sum()
    rows = means.reset_index().merge(weighted, on=["set", "step"], how="left")
    entropy = -(probabilities * np.log(probabilities)).sum()
    # At a switch the training that ends has recorded the loss of a set that is an earlier one from then on.
    rows["weighted_loss"] = rows["weighted_loss"].where(rows["phase"] != "before_switch")
    return rows.assign(floor=entropy / table["length"].iloc[0])


def late(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``by_sequence`` or ``summary`` that stand for a run's end: the last tenth of its last training."""
    runs = table.groupby(["condition", "seed"])
    last, first = runs["step"].transform("max"), runs["switch_start_step"].transform("max")
    return table[table["step"] > last - LATE * (last - first)]


def at_end(table: pd.DataFrame, by: list[str], values: list[str]) -> pd.DataFrame:
    """Values of ``by_sequence`` or ``summary`` at the end of a run: medians over the last tenth of its last training.

    At a constant rate Adam's loss has spikes; a single late step may lie in one.

    Parameters
    ----------
    table : whole runs
    by : the columns whose groups are told apart, condition and seed among them
    values : columns
    """
    return late(table).groupby(by, as_index=False)[values].median()


def sequence_records(table: pd.DataFrame, family: str, arm: str) -> pd.DataFrame:
    """``records`` of ``by_sequence``: an item is a sequence, its tokens are the bits of its suffix.

    An exposure is one place in a batch; without having been seen a bit costs one bit.
    Sequences that only their last bit tells apart have no suffix and no record.
    """
    table = table[table["suffix_length"] > 0]
    return records(
        family=family,
        arm=arm,
        condition=table["condition"],
        seed=table["seed"],
        step=table["step"],
        phase=table["phase"],
        item="set" + table["first_set"].astype(str) + "/rank" + table["rank"].astype(str),
        exposures=table["exposures"],
        last_exposure_step=table["last_exposure_step"],
        n_tokens=table["suffix_length"],
        recall=table["suffix_accuracy"],
        chance=0.5,
        exact=table["suffix_accuracy"] == 1,
        nll_bits=table["suffix_loss"] * table["suffix_length"] / LN2,
        prior_bits=table["suffix_length"],
    )


def sequence_runs(
    trajectory: Mapping[str, np.ndarray], run: dict, family: str, arm: str, memory_bits: int = 0
) -> pd.DataFrame:
    """``runs`` of one run: float32 parameters, and the bits of a memory that is no parameter."""
    trainable = int(trajectory["trainable"])
    return runs(
        family=family,
        arm=arm,
        condition=run["condition"],
        seed=run["seed"],
        parameters=int(trajectory["parameters"]),
        trainable=trainable,
        state_bits=WEIGHT_BITS * trainable + memory_bits,
        steps=int(trajectory["step"].max()),
    )
