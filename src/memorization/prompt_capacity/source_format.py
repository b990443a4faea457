"""What the source wrote: a log of a configuration, and a summary of its trials in a table for people."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from memorization.prompt_capacity import FAMILY
from memorization.provenance import generator
from memorization.statistics import bootstrap_interval

SOURCE_POSITIONS = {"infix": "before", "prefix": "after"}  # of the ID, as the source's flag says it
METRICS = ("accuracy", "exact", "greedy_prefix", "perplexity", "net_gain_bits")
CONFIGURATION = ["condition", "batch_size", "max_length", "prompt_length", "position", "source_position", "kind"]


def log_text(cell: Mapping[str, np.ndarray], table: pd.DataFrame) -> str:
    """The log of a cell: each recorded step of each prompt, and what its best iterate does with each text.

    Parameters
    ----------
    cell : of ``measuring.described``
    table : the cell's rows of ``memorization``
    """
    names = [f"{layout} {kind} {n}" for n, (layout, kind) in enumerate(zip(cell["layout"], cell["kind"], strict=True))]
    lines = [f"{int(cell['prompt_length'])} vectors of {int(cell['d_model'])}, texts of {int(cell['length'])} tokens"]
    for row, step in enumerate(cell["step"].tolist()):
        for prompt, name in enumerate(names):
            loss = float(cell["losses"][step, prompt])
            right = f"perplexity {np.exp(min(loss, 700)):.4g}  accuracy {float(cell['right'][row, prompt]):.3f}"
            lines.append(f"step {step}  {name}  loss {loss:.4f}  {right}")
    for each in table.itertuples():
        done = (
            f"accuracy {each.accuracy:.3f}  greedy {each.greedy_prefix}/{each.length}  perplexity {each.perplexity:.4g}"
        )
        lines.append(f"best  {each.layout} {each.kind} trial {each.trial} text {each.text}  {done}")
    return "\n".join(lines) + "\n"


def summary_table(memorization: pd.DataFrame) -> pd.DataFrame:
    """A row a configuration and metric: over trials, mean, SD and every value. A trial's texts are averaged first.

    Returns
    -------
    ``CONFIGURATION``; ``metric``; ``successful_trials``, those whose loss fell by 1%; ``n_trials``; ``mean``, with a
    95% bootstrap interval over trials within seeds, ``low``, ``high``; ``sd`` (of n - 1); ``values``, all in the order
    of seeds and trials.
    """
    named = memorization.rename(columns={"length": "max_length", "layout": "position"})
    named = named.assign(source_position=named["position"].map(SOURCE_POSITIONS).fillna(""))
    trials = named.groupby([*CONFIGURATION, "seed", "trial"], sort=True)
    means = trials[list(METRICS)].mean().assign(learned=~trials["not_learned"].all()).reset_index()
    rows = []
    for configuration, part in means.groupby(CONFIGURATION, sort=True):
        for metric in METRICS:
            values = part[metric]
            found = {"metric": metric, "successful_trials": int(part["learned"].sum()), "n_trials": len(part)}
            seeds = [each.to_numpy() for _, each in values.groupby(part["seed"])]
            rng = generator(FAMILY, *map(str, configuration), metric, "summary")
            mean, low, high = bootstrap_interval(seeds, rng)
            found |= {
                "mean": mean,
                "low": low,
                "high": high,
                "sd": values.std(ddof=1),
                "values": " ".join(f"{x:.6g}" for x in values),
            }
            rows.append(dict(zip(CONFIGURATION, configuration, strict=True)) | found)
    return pd.DataFrame(rows)
