"""Print from a finished run the numbers that docs/zipf.md quotes: python docs/numbers/zipf.py STUDY_FOLDER.

STUDY_FOLDER holds results/ (the repository, or studies/capacity). Sections of which the run has nothing are left out.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from memorization.files import read_tables
from memorization.statistics import t_interval

RANKS = {"0-4": range(5), "10-29": range(10, 30), "30-99": range(30, 100), "100+": range(100, 10**9)}


def interval(values, digits=3) -> str:
    """Mean and 95% t interval over seeds, then each seed."""
    values = np.asarray(values, float)
    mean, low, high = (f"{value:.{digits}f}" for value in t_interval(values))
    return f"{mean} [{low}, {high}] ({' '.join(f'{value:.{digits}f}' for value in values)})"


def reaches(summary: pd.DataFrame, accuracy: float) -> pd.Series:
    """By seed, the step at which the mean suffix accuracy first is ``accuracy``; NaN if it never is.

    Between recorded steps on their log axis: rounded to one of them, sets that are recorded more rarely would be late.
    """
    steps = {}
    for seed, rows in summary[summary["step"] > 0].sort_values("step").groupby("seed"):
        step, reached = np.log(rows["step"].to_numpy()), rows["suffix_accuracy"].to_numpy()
        at = int((reached >= accuracy).argmax())
        between = np.interp(accuracy, reached[at - 1 : at + 1], step[at - 1 : at + 1]) if at else step[0]
        steps[seed] = np.exp(between) if reached.max() >= accuracy else np.nan
    return pd.Series(steps)


def models(summary: pd.DataFrame, items: pd.DataFrame, runs: pd.DataFrame) -> None:
    for name, totals in summary[summary["phase"] == "train"].groupby("condition"):
        rows, end = items[items["condition"] == name], totals["step"].max()
        parameters = runs.loc[runs["condition"] == name, "parameters"].iloc[0]
        print(f"\n{name}: {parameters} parameters, {end} steps, floor {totals['floor'].iloc[0]:.5f}")
        last, late = totals[totals["step"] == end], rows[(rows["step"] == end) & (rows["rank"] >= 100)]
        print("  loss above the floor:", interval(last["weighted_loss"] - last["floor"]))
        print("  suffix accuracy, ranks 100+:", interval(late.groupby("seed")["suffix_accuracy"].mean()))
        known = rows[(rows["suffix_accuracy"] >= 0.9) & (rows["exposures"] > 0)]
        known = known.sort_values("step").groupby(["seed", "rank"])["exposures"].first()
        known = known.reindex(rows[rows["suffix_length"] > 0].groupby(["seed", "rank"]).size().index).reset_index()
        for label, ranks in RANKS.items():
            counts = known.loc[known["rank"].between(ranks[0], ranks[-1]), "exposures"]
            if counts.empty:
                continue
            print(f"  exposures until .9, ranks {label}: median {counts.fillna(np.inf).median():.0f},", end=" ")
            print(f"{counts.notna().sum()} of {len(counts)} sequences get there")
        first = rows[(rows["rank"] < 5) & (rows["step"] <= 500)]
        print("  suffix accuracy, ranks 0-4, by step 500:", interval(first.groupby("seed")["suffix_accuracy"].last()))
        rare = rows[(rows["rank"] >= 100) & (rows["step"] >= 50)].groupby("step")["loss"].mean()
        if len(rare):
            print(f"  loss, ranks 100+, highest from step 50 on: {rare.max():.2f} at step {rare.idxmax()}")
        there = rows[rows["step"] == end]
        probability = np.exp(-there["floor"] * there["length"])
        print(f"  ceiling of the accuracy, weighted by p: {np.average(there['ceiling'], weights=probability):.4f}")
        steps = totals.sort_values(["seed", "step"])
        steps["rise"] = steps.groupby("seed")["weighted_loss"].diff()
        for _, spike in steps[steps["step"] >= 300].nlargest(1, "rise").iterrows():
            print(f"  largest rise of the p-weighted loss from step 300 on: seed {spike['seed']},", end=" ")
            print(f"to {spike['weighted_loss']:.2f} at step {spike['step']}")


def against_medium(summary: pd.DataFrame, step: int = 750) -> None:
    def at(name, value):
        runs = [rows[rows["step"] > 0].sort_values("step") for _, rows in models.get_group(name).groupby("seed")]
        return np.array([np.interp(np.log(step), np.log(rows["step"]), rows[value]) for rows in runs])

    models = summary[summary["phase"] == "train"].groupby("condition")
    if "medium" not in models.groups or len(models) == 1:
        return
    print(f"\nat step {step}, between recorded steps on their log axis; against medium, paired by seed")
    for value in ("weighted_loss", "suffix_accuracy"):
        print(f"  {value} of medium:", interval(at("medium", value)))
        for name in models.groups:
            print(f"  {value}, {name}:", interval(at(name, value) - at("medium", value)))


def switches(summary: pd.DataFrame, items: pd.DataFrame) -> None:
    first = reaches(summary[summary["condition"] == "medium"], 0.75)
    speed = {}
    for name, rows in summary[summary["phase"] != "train"].groupby("condition"):
        number, end = rows["set"].max(), rows["step"].max()
        old, new = (rows[rows["set"] == each] for each in (number - 1, number))
        start = new["switch_start_step"].iloc[0]
        old, new = (part.assign(step=part["step"] - start) for part in (old[old["step"] >= start], new))
        print(f"\n{name}: set {number} from step {start} to {end}")
        for label, step in {"before": 0, "some 10 steps on": 10, "400 steps on or more": 400, "end": 10**9}.items():
            nearest = old["step"][old["step"] >= min(step, old["step"].max())].min()
            there = old[old["step"] == nearest]
            print(f"  old set, {label} (+{nearest}):", interval(there["suffix_accuracy"]), end="; loss, suffix: ")
            print(interval(there["suffix_loss"], 2))
        last, begin = new[new["step"] == new["step"].max()], new[new["step"] == 0]
        print("  new set, end:", interval(last["suffix_accuracy"]))
        print("  p-weighted loss above the floor:", interval(last["weighted_loss"] - last["floor"]))
        accuracy = items[(items["condition"] == name) & (items["set"] == number) & (items["step"] == start)]
        print(
            "  new set at the switch, accuracy:", interval(accuracy.groupby("seed")["accuracy"].mean()), end="; loss: "
        )
        print(interval(begin["loss"], 2), "suffix:", interval(begin["suffix_loss"], 2))
        speed[name] = reaches(new, 0.75)
        print("  steps to .75:", interval(speed[name], 0), "less the first set's:", interval(speed[name] - first, 0))
        kept = items[(items["condition"] == name) & (items["first_set"] < items["set"]) & (items["step"] == end)]
        if len(kept):
            print("  kept:", interval(kept.groupby("seed")["suffix_accuracy"].mean(), 2), kept["rank"].nunique())
    for other in [each for each in ("resample", "resample_attention") if each in speed]:
        print(f"\nagainst {other}, paired by seed: steps to .75; suffix accuracy of the new set at the end")
        new = summary[(summary["phase"] == "after_switch") & (summary["set"] == 1)]
        new = new[new["step"] == new.groupby("condition")["step"].transform("max")].set_index(["condition", "seed"])
        for name in [each for each in speed if each.startswith("resample_") and each != other]:
            difference = new.loc[name]["suffix_accuracy"] - new.loc[other]["suffix_accuracy"]
            print(f"  {name}: {interval(speed[name] - speed[other], 0)}; {interval(difference)}")


def swaps(swap: pd.DataFrame) -> None:
    print("\nsuffix accuracy of the set before the last switch, by what is put back")
    old = swap[swap["set"] == swap.groupby("condition")["set"].transform("max") - 1]
    for (name, part), rows in old.groupby(["condition", "swap"]):
        print(f"  {name}, {part}:", interval(rows.groupby("seed")["suffix_accuracy"].mean()))


def capacity(records: pd.DataFrame, summary: pd.DataFrame, runs: pd.DataFrame) -> None:
    """Bits of the suffixes alone, which are all that records score, beside those of whole uniform draws."""
    for name, rows in records[records["condition"].str.startswith("capacity_")].groupby("condition"):
        end = rows[rows["step"] == rows["step"].max()]
        bits = (end["prior_bits"] - end["nll_bits"]).groupby(end["seed"]).sum()
        parameters = runs.loc[runs["condition"] == name, "parameters"].iloc[0]
        totals = summary[summary["condition"] == name]
        hold, items = end.groupby("seed")["prior_bits"].sum().mean(), int(name.split("_")[1])
        whole = items * (24 - np.log2(items))  # K (N - log2 K)
        print(f"\n{name}: {parameters} parameters, suffix bits to hold {hold:.0f}, {hold / whole:.3f} of {whole:.0f}")
        print("  exposures each:", f"{end['exposures'].mean():.0f}", "suffix accuracy:", f"{end['recall'].mean():.2f}")
        print("  suffix bits memorized:", interval(bits, 0), "per parameter:", interval(bits / parameters, 2))
        print("  p-weighted loss, last:", totals.groupby("step")["weighted_loss"].mean().tail(2).round(3).to_dict())


if __name__ == "__main__":
    folder = Path(sys.argv[1]) / "results/zipf/evaluations"
    tables = {}
    for table in ("summary", "by_sequence", "runs", "records", "swap"):
        paths = sorted(map(str, folder.glob(f"*/*/{table}.parquet")))
        tables[table] = read_tables(paths) if paths else None
    if tables["summary"] is None:
        sys.exit(f"{folder}: no run")
    summary, items, runs = (tables[name] for name in ("summary", "by_sequence", "runs"))
    models(summary, items, runs)
    against_medium(summary)
    if "switch_start_step" in summary and (summary["phase"] != "train").any():
        switches(summary, items)
    if tables["swap"] is not None:
        swaps(tables["swap"])
    capacity(tables["records"], summary, runs)
