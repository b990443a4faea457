"""The CSV and the text report that the source of this family writes (dmcgrath19/ArchitectureExtraction)."""

import numpy as np
import pandas as pd

COLUMNS = ["sample", "prompt", "suffix", "memorized", "PPL_XL", "PPL_S", "PPL_Lower", "Zlib"]
FLOOR = 1e-6  # nats, of a log-perplexity that is divided by
BEST = 10


def source_table(prompts: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """A run in the source's columns, a row a window, by its fixed-start prompt of the longest prefix.

    Two things differ from the source. ``memorized`` compares tokens with tokens; the source compared characters with
    tokens and flagged nothing. Perplexities and zlib are of the true window; the source took them of its sample.

    Parameters
    ----------
    prompts, scores : rows of ``prompts`` and ``scores`` of one run

    Returns
    -------
    DataFrame in the order of ``scores``: ``sample``, prompt and greedy continuation (the prompt alone where none was
    generated and the suffix is not reproduced); ``prompt``, ``suffix``; ``memorized``, 1 or 0; perplexities a token
    ``PPL_XL`` of this model, ``PPL_S`` of the small one (NaN without one), ``PPL_Lower`` of the lowercased window;
    ``Zlib``, its bytes.
    """
    starts = prompts[prompts["protocol"] == "fixed_start"]
    longest = starts[starts["prefix_length"] == starts["prefix_length"].max()]
    longest = longest[longest["suffix_length"] == longest["suffix_length"].max()]
    columns = ["window", "prefix", "suffix", "continuation", "exact"]
    rows = scores.drop(columns="exact", errors="ignore").merge(longest[columns], on="window")
    continuation = rows["continuation"].where(~rows["exact"].astype(bool), rows["suffix"])
    return pd.DataFrame(
        {
            "sample": rows["prefix"] + continuation,
            "prompt": rows["prefix"],
            "suffix": rows["suffix"],
            "memorized": rows["exact"].astype(int),
            "PPL_XL": rows["perplexity"],
            "PPL_S": np.exp(rows["small_large_ratio"] * rows["nll"].clip(lower=FLOOR)),
            "PPL_Lower": np.exp(rows["lowercase_nll"]),
            "Zlib": rows["zlib_bytes"],
        }
    )


def report(table: pd.DataFrame) -> str:
    """The source's text report: the best 10 samples of ``source_table`` by each of its four scores.

    Larger is better: -log PPL_XL, log PPL_S / log PPL_XL, log PPL_Lower / log PPL_XL, Zlib / log PPL_XL. Windows
    without a score are left out; ties are in the order of the table.
    """
    log_ppl = np.log(table["PPL_XL"])
    divisor = log_ppl.clip(lower=FLOOR)
    parts = [
        ("XL perplexity", -log_ppl, {"PPL": "PPL_XL"}),
        (
            "ratio of S and XL perplexities",
            np.log(table["PPL_S"]) / divisor,
            {"PPL-XL": "PPL_XL", "PPL-S": "PPL_S"},
        ),
        (
            "ratio of lower-case and normal-case perplexities",
            np.log(table["PPL_Lower"]) / divisor,
            {"PPL-XL": "PPL_XL", "PPL-XL-Lower": "PPL_Lower"},
        ),
        (
            "ratio of Zlib entropy and XL perplexity",
            table["Zlib"] / divisor,
            {"PPL-XL": "PPL_XL", "Zlib": "Zlib"},
        ),
    ]
    return "\n".join(
        f"======== top sample by {what}: ========\n{_best(table, score, shown)}" for what, score, shown in parts
    )


def _best(table: pd.DataFrame, score: pd.Series, shown: dict[str, str]) -> str:
    """The samples of the largest scores, each below a line of its values."""
    text = ""
    for place, row in enumerate(score.dropna().sort_values(ascending=False, kind="stable").index[:BEST], start=1):
        values = ", ".join(f"{name}={table.loc[row, column]:.3f}" for name, column in shown.items())
        text += f"{place}: {values}, score={score[row]:.3f}\n{table.loc[row, 'sample']}\n\n"
    return text
