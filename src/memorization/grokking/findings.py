"""What the family found, in numbers."""

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd

from memorization.findings import Findings
from memorization.grokking.dynamics.dmd import METHODS, dmd_eigenvalues, spectral_distance
from memorization.grokking.dynamics.fingerprint import CENTRINGS, center, embed
from memorization.grokking.dynamics.spectra import FINGERPRINT, MEASURES
from memorization.permutation import label_permutation_test
from memorization.provenance import generator

NEAR = 200  # steps on either side of a crossing that are called near it
SMALL = 0.05  # a p that counts as small
RESIDUALS = {"residual": "share of the norm", "unexplained": "the reading's"}
ACCURACY, RUNS = "share of equations", "share of runs"


def findings_table(
    transitions: pd.DataFrame,
    history: pd.DataFrame,
    records: pd.DataFrame,
    spectra: pd.DataFrame,
    distances: pd.DataFrame,
    tests: pd.DataFrame,
    residuals: pd.DataFrame,
    perturbation: pd.DataFrame,
    trajectories: Sequence[Mapping[str, np.ndarray]],
    runs: Sequence[tuple[str, int]],
    conditions: Sequence[str],
    recorded: Sequence[str],
    embedding: Mapping,
    dmd: Mapping,
) -> pd.DataFrame:
    """All findings of the family.

    Parameters
    ----------
    transitions … perturbation : rows of the family's tables of these names
    trajectories : of the runs that ``runs`` names, condition and seed
    conditions : in their order
    recorded : conditions from elsewhere, of which there are spectra, distances and residuals alone
    embedding, dmd : the configuration's
    """
    findings, compared = Findings(), [*conditions, *recorded]
    transition_findings(findings, transitions, history, records, conditions)
    fingerprint_findings(findings, transitions, trajectories, runs, conditions, embedding)
    moduli(findings, spectra, compared)
    distance_findings(findings, distances, tests, compared)
    choices(findings, trajectories, runs, embedding, dmd)
    residual_findings(findings, residuals, transitions, compared)
    perturbation_findings(findings, perturbation)
    return findings.table()


def transition_findings(
    findings: Findings,
    transitions: pd.DataFrame,
    history: pd.DataFrame,
    records: pd.DataFrame,
    conditions: Sequence[str],
) -> None:
    """When runs memorized and generalized, whether that lasts, and what is known before it."""
    by_seed = transitions.set_index("seed")
    for name in conditions:
        own = by_seed[by_seed["condition"] == name]
        findings.add("first step with 99% of the training equations", name, own["memorized_step"], "steps")
        findings.add("first step with 99% of the validation equations", name, own["generalized_step"], "steps")
        findings.add("second over the first", name, own["delay_ratio"], "ratio")
        generalized = own["generalized_step"].notna()
        findings.add_value("runs that reach 99% of the validation equations", name, generalized.mean(), len(own), RUNS)
        findings.add("validation accuracy, at the end", name, own["end_accuracy_val"], ACCURACY)
        evaluations = "share of evaluations"
        findings.add("after the crossing, validation below 99%", name, own["late_below_99"], evaluations)
        findings.add("after the crossing, validation below half", name, own["late_below_half"], evaluations)
        rows = history[history["condition"] == name]
        highest = rows.groupby("seed")["accuracy_val"].max()
        findings.add("validation accuracy, highest", name, highest, ACCURACY)
        before = rows[rows["accuracy_val"] < 0.6].groupby("seed")["accuracy_train"].max()
        findings.add("training accuracy while validation is below .6, highest", name, before, ACCURACY)
        for mirror, values in _held_out_by_mirror(records[records["condition"] == name]).items():
            findings.add(
                f"held-out equations {mirror} trained mirror, accuracy at the last step", name, values, ACCURACY
            )
    for one, other in combinations(conditions, 2):
        ends = [by_seed.loc[by_seed["condition"] == name, "generalized_step"] for name in (one, other)]
        findings.add_difference(
            "first step with 99% of the validation equations", one, ends[0], other, ends[1], "steps"
        )


def fingerprint_findings(
    findings: Findings,
    transitions: pd.DataFrame,
    trajectories: Sequence[Mapping[str, np.ndarray]],
    runs: Sequence[tuple[str, int]],
    conditions: Sequence[str],
    embedding: Mapping,
) -> None:
    """How wrong the model is, at worst, about the equations of the probe before it generalizes."""
    crossing = transitions.set_index(["condition", "seed"])["generalized_step"]
    lowest: dict[str, dict[int, float]] = {name: {} for name in conditions}
    for (name, seed), trajectory in zip(runs, trajectories, strict=True):
        steps, _, snapshots = embed(trajectory, embedding)
        before = steps <= np.nan_to_num(crossing[name, seed], nan=steps[-1])
        lowest[name][seed] = snapshots[before, 0].min()
    for name, values in lowest.items():
        findings.add("lowest quantile of the fingerprint, least before the crossing", name, values, "the reading's")


def moduli(findings: Findings, spectra: pd.DataFrame, conditions: Sequence[str]) -> None:
    """The mean modulus of the modes beside that of surrogates."""
    means = spectra.groupby(["data", "condition", "seed", "draw"])["modulus"].mean()
    for name in conditions:
        own = means[FINGERPRINT][name].droplevel("draw")
        findings.add("mean |λ|", name, own, "modulus")
        for kind in sorted(set(spectra["data"]) - {FINGERPRINT}):
            draws = means[kind][name].unstack("draw")
            findings.add(f"mean |λ| of {kind} surrogates", name, draws.mean(axis=1), "modulus")
            findings.add(f"mean |λ|, less that of {kind} surrogates", name, own - draws.mean(axis=1), "modulus")
            higher = draws.ge(own, axis=0).mean(axis=1)
            findings.add(f"{kind} surrogates with as high a mean |λ|", name, higher, "share of draws")
    own = means[FINGERPRINT].droplevel("draw")
    for one, other in combinations(conditions, 2):
        findings.add_difference("mean |λ|", one, own[one], other, own[other], "modulus")


def distance_findings(
    findings: Findings, distances: pd.DataFrame, tests: pd.DataFrame, conditions: Sequence[str]
) -> None:
    """How far spectra of two runs are from each other, within and across conditions, and of surrogates."""
    own = distances[distances["data"] == FINGERPRINT]
    runs = {run for side in "ab" for run in zip(own[f"condition_{side}"], own[f"seed_{side}"], strict=True)}
    for (one, other), pairs in own.groupby(["condition_a", "condition_b"]):
        for measure in MEASURES:
            label = f"{one} - {other}" if one != other else one
            findings.add_value(
                f"distance of two runs' spectra, {measure}", label, pairs[measure].mean(), len(pairs), "|λ|"
            )
    for (label, measure), test in tests[tests["data"] == FINGERPRINT].groupby(["conditions", "measure"], sort=False):
        row = test.iloc[0]
        n = sum(name in label.split() for name, _ in runs)
        for value, what, unit in (
            ("ratio", "distance across conditions over that within", "ratio"),
            ("p", "labels permuted over all runs, p", "p"),
            ("smallest_p", "labels permuted over all runs, the smallest possible p", "p"),
            ("p_within_seeds", "labels permuted within seeds, p", "p"),
            ("smallest_p_within_seeds", "labels permuted within seeds, the smallest possible p", "p"),
        ):
            findings.add_value(f"{what}, {measure}", label, row[value], n, unit)
    everything = " ".join(conditions)
    omnibus = tests[tests["conditions"] == everything]
    reached = omnibus[omnibus["data"] == FINGERPRINT].set_index("measure")["ratio"]
    surrogates = omnibus[omnibus["data"] != FINGERPRINT]
    for (kind, measure), draws in surrogates.groupby(["data", "measure"]):
        what, n = f"{kind} surrogates, distance across conditions over that within, {measure}", len(draws)
        findings.add_value(f"{what}: median of the draws", everything, draws["ratio"].median(), n, "ratio")
        as_large = (draws["ratio"] >= reached[measure]).mean()
        findings.add_value(f"{what}: as large as the fingerprint's", everything, as_large, n, "share of draws")
        small = (draws["p"] <= SMALL).mean()
        findings.add_value(f"{what}: p of {SMALL} or less", everything, small, n, "share of draws")


def choices(
    findings: Findings,
    trajectories: Sequence[Mapping[str, np.ndarray]],
    runs: Sequence[tuple[str, int]],
    embedding: Mapping,
    dmd: Mapping,
) -> None:
    """What another probe, centring or method, one at a time, does to the ratio of distances and to its p."""
    labels = [name for name, _ in runs]
    first, last = dmd["window"]
    if len(set(labels)) < 2 or len(set(labels)) == len(labels):
        return
    chosen = (embedding["probe_split"], dmd["center_mode"], dmd["method"])
    alternatives = [("val", "train"), CENTRINGS, METHODS]
    choices = [(*chosen[:n], other, *chosen[n + 1 :]) for n, others in enumerate(alternatives) for other in others]
    for split, mode, method in dict.fromkeys([chosen, *choices]):
        spectra = []
        for trajectory in trajectories:
            steps, _, snapshots = embed(trajectory, {**embedding, "probe_split": split})
            window = center(snapshots[(steps >= first) & (steps <= last)], mode)
            spectra.append(dmd_eigenvalues(window, dmd["n_delays"], dmd["k_mode"], method))
        matrix = np.array([[spectral_distance(a, b) for b in spectra] for a in spectra])
        test = label_permutation_test(matrix, labels, generator("grokking", "choices", split, mode, method))
        choice = f"{split} probe, {mode}, {method}"
        findings.add_value("distance across conditions over that within", choice, test["ratio"], len(runs), "ratio")
        findings.add_value("labels permuted over all runs, p", choice, test["p"], len(runs), "p")


def residual_findings(
    findings: Findings, residuals: pd.DataFrame, transitions: pd.DataFrame, conditions: Sequence[str]
) -> None:
    """Where the sliding residual is highest, in both of its units: near the crossing, before it or after it."""
    crossing = transitions.set_index(["condition", "seed"])["generalized_step"]
    for (value, unit), name in product(RESIDUALS.items(), conditions):
        own = residuals[residuals["condition"] == name]
        parts: dict[str, dict[int, float]] = {"near": {}, "before": {}, "after": {}}
        for seed, course in own.groupby("seed"):
            away = course["step"] - crossing.get((name, seed), np.nan)
            for part, rows in (("near", away.abs() <= NEAR), ("before", away < -NEAR), ("after", away > NEAR)):
                parts[part][seed] = course.loc[rows, value].max()
        table = pd.DataFrame(parts)
        if table["near"].isna().all():
            findings.add(f"{value}, highest", name, own.groupby("seed")[value].max(), unit)
            continue
        for part, label in (("near", f"within {NEAR} steps of"), ("before", "before"), ("after", "after")):
            findings.add(f"{value}, highest {label} the crossing", name, table[part], unit)
        for part in ("before", "after"):
            finding = f"{value}, highest near the crossing less highest {part} it"
            findings.add(finding, name, table["near"] - table[part], unit)


def perturbation_findings(findings: Findings, table: pd.DataFrame) -> None:
    """How far perturbed trainings drift, and how much later they generalize."""
    for (name, condition), rows in table.groupby(["perturbation", "condition"], sort=False):
        label = f"{condition}, {name}"
        ends = rows.drop_duplicates("seed").set_index("seed")
        later = ends["generalized_step"] - ends["reference_generalized_step"]
        findings.add("first step with 99% of the validation equations, later than unperturbed", label, later, "steps")
        weights = rows[rows["weight_distance"].notna() & (rows["step"] > 0)]
        for step, part in weights.groupby("step"):
            distance = part.set_index("seed")["weight_distance"]
            if len(distance) < len(ends):
                continue
            findings.add(f"distance of the weights, step {step}", label, distance, "share of their norm")


def _held_out_by_mirror(records: pd.DataFrame) -> dict[str, pd.Series]:
    """Accuracy at the last step on held-out equations a ∘ b, by whether b ∘ a was trained on, by seed."""
    end = records[records["step"] == records.groupby("seed")["step"].transform("max")]
    pair = end["item"].str.split("_", expand=True)
    trained = end.loc[end["phase"] == "train", ["seed", "item"]]
    mirrors = pd.MultiIndex.from_frame(end[["seed"]].assign(item=pair[1] + "_" + pair[0]))
    mirrored = mirrors.isin(pd.MultiIndex.from_frame(trained))
    held_out = end["phase"] == "held_out"
    return {
        label: end[held_out & rows].groupby("seed")["recall"].mean()
        for label, rows in (("with a", mirrored), ("without a", ~mirrored))
    }
