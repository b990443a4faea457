import numpy as np
import pandas as pd
import pytest

from memorization.findings import Findings
from memorization.grokking.findings import (
    choices,
    distance_findings,
    fingerprint_findings,
    moduli,
    perturbation_findings,
    residual_findings,
    transition_findings,
)

EMBEDDING = {"probe_split": "val", "n_quantiles": 3}
DMD = {"center_mode": "relative_to_t0", "method": "projected", "window": [0, 200], "n_delays": 6, "k_mode": 3}


def rows(findings):
    return findings.table().set_index(["finding", "condition"])["value"]


def transitions(**columns):
    table = {"condition": ["slow", "slow", "fast", "fast"], "seed": [0, 1, 0, 1], "memorized_step": 100.0}
    table |= {"generalized_step": [np.nan, np.nan, 300.0, 500.0], "delay_ratio": [np.nan, np.nan, 3.0, 5.0]}
    table |= {"end_accuracy_val": [0.25, 0.35, 1.0, 1.0], "late_below_99": [np.nan, np.nan, 0.5, 0.0]}
    return pd.DataFrame(table | {"late_below_half": [np.nan, np.nan, 0.0, 0.0]} | columns)


def test_transitions_tell_when_and_how_many():
    history = pd.DataFrame(
        {"condition": "slow", "seed": [0, 0, 1], "accuracy_val": [0.5, 0.7, 0.4], "accuracy_train": [0.9, 1.0, 0.8]}
    )
    items = [("1_2", "train"), ("2_1", "held_out"), ("1_1", "held_out"), ("3_4", "held_out")]
    records = pd.DataFrame(
        [
            {
                "condition": "slow",
                "seed": seed,
                "step": step,
                "phase": phase,
                "item": item,
                "recall": float(item == "2_1"),
            }
            for seed in (0, 1)
            for step in (0, 10)
            for item, phase in items
        ]
    )
    findings = Findings()
    records = pd.concat([records, records.assign(condition="fast")])
    transition_findings(findings, transitions(), history, records, ["slow", "fast"])
    table = rows(findings)
    assert table["first step with 99% of the validation equations", "fast"] == 400
    assert table["runs that reach 99% of the validation equations", "slow"] == 0
    assert table["runs that reach 99% of the validation equations", "fast"] == 1
    assert table["after the crossing, validation below 99%", "fast"] == 0.25
    assert table["validation accuracy, highest", "slow"] == pytest.approx(0.55)
    assert table["training accuracy while validation is below .6, highest", "slow"] == pytest.approx(0.85)
    assert table["held-out equations with a trained mirror, accuracy at the last step", "slow"] == 1
    assert table["held-out equations without a trained mirror, accuracy at the last step", "slow"] == 0


def trajectories(runs):
    """Readings that swing, faster in ``fast``; lowest at step 350."""
    made = []
    for name, seed in runs:
        rng, t = np.random.default_rng(seed), np.arange(200)
        angle = {"slow": 0.1, "fast": 0.7}[name]
        readings = 0.98 ** t[:, None] * np.cos(angle * t[:, None] + rng.uniform(0, 0.1, 30)) - 2
        readings[175] -= 10
        noise = 1e-6 * rng.standard_normal((200, 30))
        made.append({"fingerprint_step": 2 * t, "val": readings + noise, "train": readings - noise})
    return made


RUNS = [[name, seed] for name in ("slow", "fast") for seed in (0, 1, 2)]


def test_the_fingerprint_is_looked_at_up_to_the_crossing():
    findings, runs = Findings(), [run for run in RUNS if run[1] < 2]
    fingerprint_findings(findings, transitions(), trajectories(runs), runs, ["slow", "fast"], EMBEDDING)
    table = findings.table().set_index("condition")
    assert table.loc["slow", "value"] < -11  # at step 350, of a run that never crosses
    assert table.loc["fast", "seeds"].startswith("0:-2.")  # crosses at 300 …
    assert float(table.loc["fast", "seeds"].rpartition(":")[2]) < -11  # … and at 500


def test_another_probe_centring_or_method_has_a_ratio_and_a_p():
    findings = Findings()
    choices(findings, trajectories(RUNS), RUNS, EMBEDDING, DMD)
    table = findings.table()
    assert len(table) == 2 * (1 + 1 + 3 + 2)  # as configured; another probe, three centrings, two methods
    ratios = table[table["finding"] == "distance across conditions over that within"]
    assert (ratios["value"] > 1).all()  # they swing at other rates
    assert (table[table["unit"] == "p"]["value"] >= 0.1 - 1e-12).all()  # the least that 20 labellings allow
    one_each = Findings()
    choices(one_each, trajectories(RUNS[:1]), RUNS[:1], EMBEDDING, DMD)
    assert one_each.table().empty


def test_moduli_stand_beside_their_surrogates_in_pairs():
    values = {"fingerprint": [[0.9], [1.0]], "white_noise": [[0.8, 0.95], [0.7, 0.8]]}  # by seed and draw
    spectra = pd.DataFrame(
        [
            {"data": data, "condition": "slow", "seed": seed, "draw": draw, "modulus": modulus + delta}
            for data, seeds in values.items()
            for seed, draws in enumerate(seeds)
            for draw, modulus in enumerate(draws)
            for delta in (-0.05, 0.05)
        ]
    )
    findings = Findings()
    moduli(findings, spectra, ["slow"])
    table = rows(findings)
    assert table["mean |λ|", "slow"] == pytest.approx(0.95)
    assert table["mean |λ|, less that of white_noise surrogates", "slow"] == pytest.approx(0.95 - (0.875 + 0.75) / 2)
    assert table["white_noise surrogates with as high a mean |λ|", "slow"] == pytest.approx(0.25)


def test_distances_and_tests_are_of_the_fingerprint_and_beside_the_surrogates():
    runs = [("slow", 0), ("slow", 1), ("fast", 0), ("fast", 1)]
    pairs = [(a, b) for n, a in enumerate(runs) for b in runs[n + 1 :]]
    distances = pd.DataFrame(
        [
            {"data": "fingerprint", "condition_a": a[0], "seed_a": a[1], "condition_b": b[0], "seed_b": b[1]}
            | {"plain": 1.0 + (a[0] != b[0]), "weighted": 1.0}
            for a, b in pairs
        ]
    )
    test = {
        "conditions": "slow fast",
        "p": 0.25,
        "smallest_p": 0.1,
        "p_within_seeds": 0.5,
        "smallest_p_within_seeds": 0.5,
    }
    ratios = {"fingerprint": [2.0], "white_noise": [1.0, 1.5, 2.5, 1.25]}
    tests = pd.DataFrame(
        [
            test | {"data": data, "measure": measure, "ratio": ratio}
            for data, draws in ratios.items()
            for ratio in draws
            for measure in ("plain", "weighted")
        ]
    )
    findings = Findings()
    distance_findings(findings, distances, tests, ["slow", "fast"])
    table = findings.table().set_index(["finding", "condition"])
    assert table.loc[("distance of two runs' spectra, plain", "slow - fast"), "value"] == 2
    assert table.loc[("distance of two runs' spectra, plain", "slow"), "n"] == 1
    assert table.loc[("labels permuted over all runs, p, plain", "slow fast"), ["value", "n"]].tolist() == [0.25, 4]
    noise = "white_noise surrogates, distance across conditions over that within, plain"
    assert table.loc[(f"{noise}: median of the draws", "slow fast"), "value"] == pytest.approx(1.375)
    assert table.loc[(f"{noise}: as large as the fingerprint's", "slow fast"), "value"] == 0.25
    assert table.loc[(f"{noise}: p of 0.05 or less", "slow fast"), "value"] == 0


def test_residuals_are_highest_near_before_or_after_the_crossing():
    steps = np.arange(0, 1000, 100)
    residuals = pd.DataFrame(
        [
            {
                "condition": name,
                "seed": seed,
                "step": step,
                "residual": (size := 0.9 if step == 600 else step / 10_000),
                "unexplained": 2 * size,
            }
            for name in ("slow", "fast")
            for seed in (0, 1)
            for step in steps
        ]
    )
    findings = Findings()
    residual_findings(findings, residuals, transitions(), ["slow", "fast"])
    table = findings.table().set_index(["finding", "condition"])
    assert table.loc[("residual, highest", "slow"), "value"] == 0.9
    near = table.loc[("residual, highest within 200 steps of the crossing", "fast"), "seeds"]
    assert near == "0:0.05 1:0.9"  # crossings at 300 and 500
    assert table.loc[("residual, highest near the crossing less highest after it", "fast"), "seeds"] == "0:-0.85 1:0.81"
    assert table.loc[("unexplained, highest", "slow"), ["value", "unit"]].tolist() == [1.8, "the reading's"]
    from_elsewhere = Findings()
    residual_findings(from_elsewhere, residuals.replace("fast", "mine"), transitions()[:2], ["slow", "mine"])
    assert rows(from_elsewhere)["residual, highest", "mine"] == 0.9  # of which no crossing is known
    assert len(from_elsewhere.table()) == 4


def test_perturbed_runs_are_later_or_sooner():
    table = pd.DataFrame(
        [
            {"perturbation": "some", "condition": "fast", "seed": seed, "step": step, "weight_distance": distance}
            | {"generalized_step": 400.0 + 100 * seed, "reference_generalized_step": 500.0}
            for seed in (0, 1)
            for step, distance in ((0, 0.1), (10, 0.2 + seed), (20, np.nan), (30 + seed, 0.5))
        ]
    )
    findings = Findings()
    perturbation_findings(findings, table)
    values = rows(findings)
    later = "first step with 99% of the validation equations, later than unperturbed"
    assert values[later, "fast, some"] == -50
    assert values["distance of the weights, step 10", "fast, some"] == pytest.approx(0.7)
    assert len(values) == 2  # no other step is of both
