"""The two tables that all families write alike, so that they can be laid side by side."""

import pandas as pd

RECORD = {
    "family": str, "arm": str, "condition": str, "seed": int, "step": int, "phase": str, "item": str,
    "exposures": int, "last_exposure_step": int, "n_tokens": int, "recall": float, "chance": float,
    "exact": bool, "nll_bits": float, "prior_bits": float,
}  # fmt: skip
RUN = {
    "family": str, "arm": str, "condition": str, "seed": int,
    "parameters": int, "trainable": int, "state_bits": int, "steps": int,
}  # fmt: skip
PHASES = ("train", "before_switch", "after_switch", "held_out")


def records(**columns) -> pd.DataFrame:
    """Rows of ``results/tables/<family>_records.parquet``: what an item's memory was at a step.

    Columns
    -------
    family, arm, condition, seed, step
        The run, and the optimizer step after which it was looked at.
    phase
        ``train``, ``before_switch``, ``after_switch`` or ``held_out``: the set that the item is of.
    item, exposures, last_exposure_step
        The item's name in its run, how often it was in a training batch so far, the last such step (0: never).
    n_tokens, recall, chance, exact
        The tokens that are scored, the share predicted right given the true ones before, that share by
        guessing, and whether all are right.
    nll_bits, prior_bits
        What the scored tokens cost, and what they cost without having been seen.

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
    """Rows of ``results/tables/<family>_runs.parquet``: what a run is made of.

    Columns
    -------
    family, arm, condition, seed
        The run.
    parameters, trainable
        All parameters, and those that are trained.
    state_bits
        All trainable state in bits, a queue included.
    steps
        Optimizer steps of the run.

    Raises
    ------
    ValueError
        If a column is missing or unknown.
    """
    return _table(columns, RUN)


def _table(columns: dict, types: dict) -> pd.DataFrame:
    if columns.keys() != types.keys():
        raise ValueError(f"columns: {sorted(columns)}; allowed are exactly {', '.join(types)}")
    scalars = all(pd.api.types.is_scalar(value) for value in columns.values())
    return pd.DataFrame(columns, index=[0] if scalars else None)[list(types)].astype(types)
