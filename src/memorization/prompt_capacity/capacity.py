"""How long a text a prompt holds, and how layouts differ on the same texts."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from memorization.permutation import sign_flip_test
from memorization.prompt_capacity import FAMILY
from memorization.provenance import generator
from memorization.statistics import bootstrap_interval

ACCURATE = 0.99  # share of tokens
HALF = 0.5  # of pairs: where more have converged in both layouts, their loss says nothing
OF_PROMPTS = ["condition", "d_model", "seed", "layout", "kind", "prompt_length"]
BLIND_TO = {"infix_masked": "infix"}  # with which layout each is compared first of all; all others with prefix
OF_PAIRS = ("layout", "other", "metric", "unit", "n", "converged", "mean", "low", "high", "p", "smallest_p")
METRICS = {"log_perplexity": "nats per token", "nll_bits": "bits", "exact": "share", "net_gain_bits": "bits"}


def capacity_table(memorization: pd.DataFrame, horizon: pd.DataFrame | None) -> pd.DataFrame:
    """A row a run, layout, kind of text and length of prompt: what a prompt holds, mean over trials.

    Parameters
    ----------
    memorization : all rows
    horizon : all rows of texts that grow, if there are any

    Returns
    -------
    ``OF_PROMPTS``; ``n_trials``; ``longest_accurate`` and ``longest_exact``, tokens of the longest text of which 99% of
    the tokens are right, or all by greedy decoding, 0 where there is none; ``gain_bits``, the net gain on the text on
    which it is largest, and ``bits_per_dimension``; ``horizon``, of texts that grow, NaN where there are none.
    """
    trials = [*OF_PROMPTS, "trial", "length"]
    means = (
        memorization.groupby(trials, sort=True)[["accuracy", "exact", "net_gain_bits", "bits_per_dimension"]]
        .mean()
        .reset_index()
    )
    means["longest_accurate"] = means["length"].where(means["accuracy"] >= ACCURATE, 0)
    means["longest_exact"] = means["length"].where(means["exact"] == 1, 0)
    columns = ["longest_accurate", "longest_exact", "net_gain_bits", "bits_per_dimension"]
    best = means.groupby([*OF_PROMPTS, "trial"])[columns].max().reset_index()
    table = best.groupby(OF_PROMPTS)[columns].mean().reset_index()
    table["n_trials"] = best.groupby(OF_PROMPTS).size().to_numpy()
    table = table.rename(columns={"net_gain_bits": "gain_bits"})
    if horizon is None:
        return table.assign(horizon=np.nan)
    grown = horizon.groupby(OF_PROMPTS)["horizon"].mean().reset_index()
    return table.merge(grown, on=OF_PROMPTS, how="left")


def of_shared_lengths(memorization: pd.DataFrame) -> pd.DataFrame:
    """The rows with texts of lengths that all models have, so that what these hold can be compared."""
    n_models = memorization["condition"].nunique()
    return memorization[memorization.groupby("length")["condition"].transform("nunique") == n_models]


def layouts_table(memorization: pd.DataFrame) -> pd.DataFrame:
    """A row a cell, kind of text, metric and pair of layouts: how they differ on the same trials.

    Trials of all seeds are pairs: text, ID, first prompt and base model are the same in both. ``solo``, which has a P a
    text, is compared by the mean over the texts of its group.

    Returns
    -------
    ``condition``, ``prompt_length``, ``length``, ``kind``, ``layout``, ``other``, ``metric``, ``unit``; ``n`` pairs;
    ``converged``, the share of pairs in which both have, and differ by how soon they were stopped; ``mean`` of
    layout - other, with a 95% bootstrap interval over trials within seeds, ``low``, ``high``; ``p`` of a paired
    sign-flip test and the ``smallest_p`` that it can reach.
    """
    named = memorization.assign(log_perplexity=np.log(memorization["perplexity"]))
    cell = ["condition", "prompt_length", "length", "kind"]
    means = named.groupby([*cell, "layout", "seed", "trial"])[[*METRICS, "converged"]].mean()
    order = list(dict.fromkeys(memorization["layout"]))
    rows = []
    for key, part in means.groupby(cell, sort=True):
        of_layouts = {name: each.droplevel([*cell, "layout"]) for name, each in part.groupby("layout")}
        for other, layout in combinations([name for name in order if name in of_layouts], 2):
            difference = of_layouts[layout] - of_layouts[other]
            both = (of_layouts[layout]["converged"] * of_layouts[other]["converged"]).mean()
            for metric, unit in METRICS.items():
                values = difference[metric]
                seeds = [each.to_numpy() for _, each in values.groupby("seed")]
                names = FAMILY, *map(str, key), layout, other, metric
                mean, low, high = bootstrap_interval(seeds, generator(*names, "bootstrap"))
                test = sign_flip_test(values.to_numpy(), generator(*names, "sign flips"))
                found = {
                    "layout": layout,
                    "other": other,
                    "metric": metric,
                    "unit": unit,
                    "n": len(values),
                    "converged": both,
                }
                found |= {"mean": mean, "low": low, "high": high, "p": test["p"], "smallest_p": test["smallest_p"]}
                rows.append(dict(zip(cell, key, strict=True)) | found)
    return pd.DataFrame(rows, columns=[*cell, *OF_PAIRS])


def pairs_of(layouts: Sequence[str]) -> list[tuple[str, str]]:
    """Each layout and the one that it is compared with: ``infix_masked`` with ``infix``, the others with ``prefix``.

    Where that is not there, with the first. Of all pairs these are drawn and are findings.
    """
    base = "prefix" if "prefix" in layouts else next(iter(layouts), None)
    found = [(name, BLIND_TO.get(name, base)) for name in layouts if name != base]
    return [(name, other if other in layouts else base) for name, other in found]


def of_pair(table: pd.DataFrame, layout: str, other: str) -> pd.DataFrame:
    """The rows of ``layouts_table`` of a pair, turned round where it has them as other - layout."""
    turned = table[(table["layout"] == other) & (table["other"] == layout)]
    turned = turned.assign(layout=layout, other=other, mean=-turned["mean"], low=-turned["high"], high=-turned["low"])
    rows = table[(table["layout"] == layout) & (table["other"] == other)]
    return rows if len(rows) else turned
