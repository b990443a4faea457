"""Print the numbers that docs/associative_memory.md quotes: python docs/numbers/associative_memory.py STUDY_FOLDER.

STUDY_FOLDER holds results/ of a finished run of the family.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from memorization.files import read_arrays, read_table, read_tables
from memorization.random_sequences.measures import LN2
from memorization.statistics import t_interval
from memorization.training.checkpoints import read_tensors

SINCE_SWITCH = (0, 8, 24, 54, 63, 500)  # steps


def interval(values, digits=3) -> str:
    return "{:.{d}f} [{:.{d}f}, {:.{d}f}]".format(*t_interval(np.asarray(values, float)), d=digits)


def ends(summary: pd.DataFrame, items: pd.DataFrame) -> None:
    print(
        "# At the end of training: suffix accuracy, of ranks 0-9, of ranks 100 and up; p-weighted loss above its floor"
    )
    summary, items = (rows[rows["phase"] == "train"] for rows in (summary, items))
    for name, rows in summary.groupby("condition"):
        end, there = (each[each["step"] == rows["step"].max()] for each in (rows, items[items["condition"] == name]))
        frequent, rare = there[there["rank"] < 10], there[there["rank"] >= 100]
        print(f"{name}: {interval(end['suffix_accuracy'])}", end=", ")
        print(f"{frequent['suffix_accuracy'].mean():.3f}, {rare['suffix_accuracy'].mean():.3f};", end=" ")
        print(f"{interval(end['weighted_loss'] - end['floor'])} above {end['floor'].iloc[0]:.4f}", end=";")
        print(f" loss, suffix: {interval(end['suffix_loss'])}")


def later_bits(made: Path) -> None:
    print("\n# Accuracy at the end over the second half of the bits alone")
    for folder in sorted(made.glob("trajectories/heads_*")):
        trajectories = [read_arrays(str(path)) for path in sorted(folder.glob("*/*.npz"))]
        nll = np.concatenate([each["nll"][each["step"] == each["step"].max()] for each in trajectories])
        print(f"{folder.name}: {(nll[:, nll.shape[1] // 2 :] < LN2).mean():.3f}")


def exposures(items: pd.DataFrame) -> None:
    print("\n# Exposures until .9 of the suffix is right: medians, and how many sequences get there")
    known = items[(items["suffix_accuracy"] >= 0.9) & (items["exposures"] > 0) & (items["phase"] == "train")]
    first = known.sort_values("step").groupby(["condition", "seed", "rank"], as_index=False).first()
    for name, rows in first.groupby("condition"):
        groups = {f"{low}-{high - 1}": rows[rows["rank"].between(low, high - 1)] for low, high in ((0, 10), (10, 100))}
        groups["100 and up"] = rows[rows["rank"] >= 100]
        print(f"{name}:", *(f"{key}: {part['exposures'].median():.0f} ({len(part)});" for key, part in groups.items()))


def switches(summary: pd.DataFrame) -> None:
    for name, rows in summary[summary["phase"] != "train"].groupby("condition"):
        last = rows["set"].max()
        start = rows.loc[rows["set"] == last, "step"].min()
        print(f"\n# {name}, steps since the switch: suffix accuracy, loss (nats per bit), by set")
        after = rows[rows["step"] >= start]
        after = after.assign(since=after["step"] - start)
        wanted = [min(each, after["since"].max()) for each in SINCE_SWITCH]
        for since in sorted({after.loc[after["since"] >= each, "since"].min() for each in wanted}):
            for number, part in after[after["since"] == since].groupby("set"):
                print(
                    f"+{since}, set {number}: {interval(part['suffix_accuracy'])}, {interval(part['suffix_loss'], 1)}"
                )
    first = summary[(summary["condition"] == "heads_16") & (summary["step"] >= 500)]
    first = first[first["step"] == first["step"].min()]
    for step, rows in first.groupby("step"):
        print(f"\nthe first set of heads_16, after {step} steps: {interval(rows['suffix_accuracy'])}")


def maps(made: Path) -> None:
    print("\n# Weights of B in heads_16: the largest of each head, and how many bits have half")
    for path in sorted(made.glob("checkpoints/heads_16/*/*.safetensors")):
        weights = read_tensors(path)["model.memory_logits"].softmax(dim=-1).numpy()
        falling = -np.sort(-weights, axis=1)
        half = (falling.cumsum(axis=1) < 0.5).sum(axis=1) + 1
        largest = f"{falling[:, 0].min():.2f} to {falling[:, 0].max():.2f}"
        print(f"{path.parent.name}: {largest}; {half.min()} to {half.max()} bits")


if __name__ == "__main__":
    results = Path(sys.argv[1]) / "results"
    if not (results / "tables/associative_memory_summary.parquet").exists():
        sys.exit(f"{results}/tables: no run of associative_memory")
    tables = [
        read_table(str(results / f"tables/associative_memory_{name}.parquet")) for name in ("summary", "by_sequence")
    ]
    beside = sorted(map(str, results.glob("zipf/evaluations/matched/*/by_sequence.parquet")))
    ends(*tables)
    later_bits(results / "associative_memory")
    exposures(pd.concat([tables[1], read_tables(beside)] if beside else [tables[1]]))
    if beside:
        print("\nbeside it, the transformer:")
        ends(read_tables([path.replace("by_sequence", "summary") for path in beside]), read_tables(beside))
    switches(tables[0])
    maps(results / "associative_memory")
