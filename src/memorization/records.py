"""The two tables that every family writes with the same columns, so that families can be compared."""

import pandas as pd

RECORD = {
    "family": str, "arm": str, "condition": str, "seed": int, "step": int, "phase": str, "item": str,
    "exposures": int, "last_exposure_step": int, "n_tokens": int, "recall": float, "chance": float,
    "exact": bool, "nll_bits": float, "prior_bits": float,
}  # fmt: skip
RUN = {
    "family": str, "arm": str, "condition": str, "seed": int,
    "parameters": int, "active": int, "trainable": int, "state_bits": int, "steps": int, "all_recorded": bool,
}  # fmt: skip
WEIGHT_BITS = 32  # of the state: with bfloat16 too the weights are float32
PHASES = ("train", "before_switch", "after_switch", "held_out")


def records(**columns) -> pd.DataFrame:
    """Rows of ``results/tables/<family>_records.parquet``: how well an item is remembered at a step.

    Columns
    -------
    family, arm, condition, seed, step
        The run, and the optimizer step after which it was evaluated.
    phase
        ``train``, ``before_switch``, ``after_switch`` or ``held_out``: the set to which the item belongs.
    item, exposures, last_exposure_step
        The item's name in its run, how often it has been in a training batch, the last such step (0: never).
    n_tokens, recall, chance, exact
        The number of scored tokens, the share of them predicted right given the true tokens before, that share
        by guessing, and whether all are right.
    nll_bits, prior_bits
        What the scored tokens cost in bits, and what they cost a model that has not seen them.

    Raises
    ------
    ValueError
        If a column is missing or unknown, or a phase is unknown.
    """
    table = _table(columns, RECORD)
    unknown = set(table["phase"]) - set(PHASES)
    if unknown:
        raise ValueError(f"phase: {sorted(unknown)} unknown; allowed: {', '.join(PHASES)}")
    return table


def runs(**columns) -> pd.DataFrame:
    """Rows of ``results/tables/<family>_runs.parquet``: how large a run is.

    Columns
    -------
    family, arm, condition, seed
        The run.
    parameters, active, trainable
        The number of all parameters, of those that a token uses (in a memory layer the slots and the embeddings that
        it reads, elsewhere all), and of those that are trained.
    state_bits
        The size of all trainable state in bits, including a queue.
    steps
        Optimizer steps of the run.
    all_recorded
        Whether the records of its last step have all items that it was trained on. Else what they add up to is less
        than what the run has memorized.

    Left out, ``active`` is all parameters, ``state_bits`` those of trainable float32 parameters alone, and
    ``all_recorded`` True.

    Raises
    ------
    ValueError
        If another column is missing, or one is unknown.
    """
    if {"parameters", "trainable"} <= columns.keys():
        state_bits = WEIGHT_BITS * columns["trainable"]
        columns = {"active": columns["parameters"], "state_bits": state_bits, "all_recorded": True} | columns
    return _table(columns, RUN)


def _table(columns: dict, types: dict) -> pd.DataFrame:
    if columns.keys() != types.keys():
        raise ValueError(f"columns: {sorted(columns)}; allowed are exactly {', '.join(types)}")
    scalars = all(pd.api.types.is_scalar(value) for value in columns.values())
    return pd.DataFrame(columns, index=[0] if scalars else None)[list(types)].astype(types)
