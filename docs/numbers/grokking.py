"""Print the numbers that docs/grokking.md quotes, from a finished run: python docs/numbers/grokking.py STUDY_FOLDER."""

import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from memorization.files import read_arrays, read_made_by, read_table
from memorization.grokking.dynamics.dmd import METHODS, dmd_eigenvalues, spectral_distance
from memorization.grokking.dynamics.fingerprint import CENTRINGS, center, levels, quantile_embedding
from memorization.permutation import label_permutation_test
from memorization.statistics import t_interval


def main(folder: Path) -> None:
    made = folder / "results/grokking"
    tables = {path.stem.removeprefix("grokking_"): path for path in (folder / "results/tables").glob("grokking_*")}
    tables = {name: read_table(str(path)) for name, path in tables.items()}
    pd.set_option("display.width", 200, "display.max_columns", 30, "display.precision", 3, "display.max_rows", 200)
    transitions(tables["transitions"], tables["history"], tables["records"], made)
    moduli(tables["spectra"])
    distances(tables["distances"], tables["tests"])
    choices(tables["transitions"], made)
    residuals(tables["residuals"], tables["transitions"])
    perturbation(tables["perturbation"])


def interval(values) -> str:
    return "{:.4g} [{:.4g}, {:.4g}]".format(*t_interval(values))


def transitions(table: pd.DataFrame, history: pd.DataFrame, records: pd.DataFrame, made: Path) -> None:
    print("\n# Does it grok?", table.to_string(index=False), sep="\n")
    for condition, runs in table.groupby("condition"):
        for column in ("memorized_step", "generalized_step", "delay_ratio", "final_accuracy_val"):
            print(condition, column, interval(runs[column]))
    early = history[history["accuracy_val"] < 0.6].groupby(["condition", "seed"])["accuracy_train"].max()
    print("the highest training accuracy while that of validation is below .6:", early.round(3).to_dict())
    end = records[(records["step"] == records.groupby(["condition", "seed"])["step"].transform("max"))]
    pair = end["item"].str.split("_", expand=True)
    trained = end.loc[end["phase"] == "train", ["condition", "seed", "item"]]
    mirrors = pd.MultiIndex.from_frame(end[["condition", "seed"]].assign(item=pair[1] + "_" + pair[0]))
    mirrored = mirrors.isin(pd.MultiIndex.from_frame(trained))
    held_out = end.assign(mirrored=mirrored)[end["phase"] == "held_out"]
    print("held-out accuracy at the end, by whether the mirror was trained on:")
    print(held_out.groupby(["condition", "seed", "mirrored"])["recall"].agg(["mean", "size"]).unstack())
    print("the least 5% quantile of the validation probe up to the crossing, or the end:")
    for _, run in table.iterrows():
        embedding = read_arrays(str(made / f"embeddings/{run['condition']}/seed{run['seed']}.npz"))
        before = embedding["steps"] <= np.nan_to_num(run["generalized_step"], nan=run["last_step"])
        print(run["condition"], run["seed"], embedding["snapshots"][before, 0].min().round(1))


def moduli(spectra: pd.DataFrame) -> None:
    print("\n# What does the spectrum tell? Mean |λ|")
    means = spectra.groupby(["data", "condition", "seed", "draw"])["modulus"].mean()
    own = means["fingerprint"].droplevel("draw")
    for condition, values in own.groupby("condition"):
        print(condition, values.round(4).tolist(), interval(values))
    for kind in ("phase_randomised", "white_noise"):
        draws = means[kind].unstack("draw")
        table = pd.DataFrame({"mean": draws.mean(axis=1), "low": draws.min(axis=1), "high": draws.max(axis=1)})
        print(kind, table.assign(fingerprint=own, draws_as_high=draws.ge(own, axis=0).sum(axis=1)), sep="\n")
        print(draws.groupby("condition").mean().mean(axis=1), spectra.loc[spectra["data"] == kind, "modulus"].max())


def distances(table: pd.DataFrame, tests: pd.DataFrame) -> None:
    print("\n# Do spectra tell conditions apart?")
    own = table[table["data"] == "fingerprint"]
    print(own.groupby(["condition_a", "condition_b"])[["plain", "weighted"]].agg(["mean", "min", "max"]))
    print(tests[tests["data"] == "fingerprint"].drop(columns=["data", "draw", "statistic"]).to_string(index=False))
    omnibus = tests[tests["conditions"] == max(tests["conditions"], key=len)]
    fingerprint = omnibus[omnibus["data"] == "fingerprint"].set_index("measure")["ratio"]
    for (kind, measure), draws in omnibus.groupby(["data", "measure"]):
        ratio, significant = draws["ratio"], (draws[["p", "p_within_seeds"]] <= 0.05).sum().to_dict()
        print(f"{kind}, {measure}: ratio {ratio.median():.2f} ({ratio.min():.2f} to {ratio.max():.2f}), in", end=" ")
        print(f"{(ratio >= fingerprint[measure]).sum()} of {len(draws)} as large; p <= .05: {significant}")


def choices(runs: pd.DataFrame, made: Path) -> None:
    print("\n# Does the choice of method, centring or probe matter?")
    runs = runs.sort_values(["condition", "seed"])
    first = made / f"spectra/{runs['condition'].iloc[0]}/seed{runs['seed'].iloc[0]}.parquet"
    dmd = read_made_by(first)["params"]["dmd"]
    for probe, mode, method in product(("val", "train"), CENTRINGS, METHODS):
        if probe == "train" and method != "projected":
            continue
        spectra = []
        for name, seed in zip(runs["condition"], runs["seed"], strict=True):
            arrays = read_arrays(str(made / f"trajectories/{name}/seed{seed}.npz"))
            inside = (arrays["fingerprint_step"] >= dmd["window"][0]) & (arrays["fingerprint_step"] <= dmd["window"][1])
            snapshots = center(quantile_embedding(arrays[probe][inside], levels(19)), mode)
            spectra.append(dmd_eigenvalues(snapshots, dmd["n_delays"], dmd["k_mode"], method))
        matrix = np.array([[spectral_distance(a, b) for b in spectra] for a in spectra])
        test = label_permutation_test(matrix, runs["condition"], np.random.default_rng(0))
        blocked = label_permutation_test(matrix, runs["condition"], np.random.default_rng(0), runs["seed"])
        sizes = pd.Series([np.abs(values).mean() for values in spectra]).groupby(runs["condition"].to_numpy()).mean()
        print(f"{probe}, {mode}, {method}: ratio {test['ratio']:.1f}, p {test['p']:.4f},", end=" ")
        print(f"within seeds {blocked['p']:.3f}; mean |λ| {sizes.round(3).to_dict()}")


def residuals(table: pd.DataFrame, runs: pd.DataFrame) -> None:
    print("\n# Does the sliding residual mark transitions? Highest, and at some steps")
    for (condition, seed), course in table.groupby(["condition", "seed"]):
        crossing = runs[(runs["condition"] == condition) & (runs["seed"] == seed)]["generalized_step"].iloc[0]
        for value in ("residual", "unexplained"):
            top = [
                (step, round(size, 2)) for step, size in course.nlargest(3, value)[["step", value]].to_numpy().tolist()
            ]
            near = course[(course["step"] - crossing).abs() <= 200][value].max()
            at = {step: round(float(course[course["step"] <= step][value].iloc[-1]), 2) for step in (500, 1300, 2000)}
            print(condition, seed, value, f"highest {top}, within 200 steps of the crossing {near:.2f}, at {at}")


def perturbation(table: pd.DataFrame) -> None:
    print("\n# How far does a perturbed training drift?")
    kept = table.dropna(subset=["weight_distance"])
    print(
        kept.pivot_table(index=["perturbation", "step"], columns="seed", values="weight_distance").map("{:.2g}".format)
    )
    ends = table.drop_duplicates(["perturbation", "condition", "seed"])
    for (name, condition), runs in ends.groupby(["perturbation", "condition"]):
        later = runs["generalized_step"] - runs["reference_generalized_step"]
        print(
            name,
            condition,
            runs["generalized_step"].tolist(),
            runs["reference_generalized_step"].tolist(),
            interval(later),
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
