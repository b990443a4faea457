"""Findings of runs whose sets are known wholly or not at all."""

import numpy as np
import pandas as pd
import pytest

from memorization.data.sequences import sample_sequences, zipf_probabilities
from memorization.findings import Findings
from memorization.random_sequences.findings import exposures_until_known, levels, steps_until, switches, values_at
from memorization.random_sequences.measures import at_end, evaluate

COUNT, LENGTH, KNOWN, UNKNOWN = 12, 12, 0.1, 2.0  # nats of each bit
SETS = sample_sequences(2 * COUNT, LENGTH, np.random.default_rng(0)).reshape(2, COUNT, LENGTH)
SWITCH = {"name": "resample", "condition": "medium", "kind": "resample", "switch_steps": [1000], "steps": 1500}


def trajectory(right):
    """``right`` by step, one a set; the exposures of a sequence are the steps so far."""
    entries = [(step, i, rank) for step, sets in right.items() for i in range(len(sets)) for rank in range(COUNT)]
    step, number, rank = (np.array(column) for column in zip(*entries, strict=True))
    nll = np.array([KNOWN if right[n][i] else UNKNOWN for n, i, _ in entries], np.float32)[:, None].repeat(LENGTH, 1)
    weighted = {"weighted_step": np.array(list(right)), "weighted_loss": np.array([float(n) for n in right])}
    counts = {"exposures": step, "last_exposure_step": step}
    return {"step": step, "set": number, "rank": rank, "nll": nll} | counts | weighted


def tables(runs):
    """``by_sequence`` and ``summary`` of runs, by condition and seed."""
    made = []
    for (name, seed), right in runs.items():
        sets = SETS[: len(next(iter(right.values())))]
        run = {"condition": name, "architecture": "decoder", "seed": seed}
        made.append(evaluate([trajectory(right)], sets, zipf_probabilities(COUNT, 1.0), 1, run))
    return [pd.concat(parts, ignore_index=True) for parts in zip(*made, strict=True)]


RUNS = {("medium", seed): {0: [0], 100: [0], 300 + late: [1], 1000: [1]} for seed, late in enumerate((0, 10))}
RUNS |= {("resample", seed): {1000: [1, 0], 1100: [0, 1], 1500: [0, 1]} for seed in (0, 1)}


@pytest.fixture(scope="module")
def made():
    return tables(RUNS)


def rows(findings):
    return findings.table().set_index(["finding", "condition"])


def test_the_end_is_the_median_over_the_last_tenth_of_the_last_training():
    """Of the steps 1401 and on here, since the run's last training begins at 400."""
    right = {400: [1, 0]} | {step: [0, int(step != 1490)] for step in (900, 1390, 1450, 1490, 1500)}
    items, summary = tables({("resample", 0): right})
    end = at_end(summary, ["condition", "seed", "set"], ["suffix_accuracy", "weighted_loss"]).set_index("set")
    assert end.loc[1, "weighted_loss"] == 1490
    assert end.loc[1, "suffix_accuracy"] == 1  # step 1490 is a spike
    sequences = at_end(items, ["condition", "seed", "set", "rank"], ["suffix_accuracy"])
    assert len(sequences) == 2 * COUNT
    assert (sequences.loc[sequences["set"] == 1, "suffix_accuracy"] == 1).all()


def test_steps_until_an_accuracy_lie_between_recorded_ones_on_their_log_axis(made):
    medium = made[1][made[1]["condition"] == "medium"]
    np.testing.assert_allclose(steps_until(medium), [100 * 3**0.75, 100 * 3.1**0.75])
    never = tables({("medium", 3): {0: [0], 10: [0]}})[1]
    assert steps_until(never).isna().all()
    np.testing.assert_allclose(
        values_at(medium, "suffix_accuracy", [100 * 3**0.25]), [0.25, np.log(3**0.25) / np.log(3.1)]
    )


def test_exposures_are_those_of_the_first_time_and_endless_where_there_is_none(made):
    items = made[0][made[0]["condition"] == "medium"]
    until = exposures_until_known(items)
    assert until.groupby("seed")["exposures"].unique().map(list).to_dict() == {0: [300], 1: [310]}
    never = exposures_until_known(items[items["step"] < 300])
    assert len(never) == len(until)
    assert (never["exposures"] == np.inf).all()


def test_levels_are_of_conditions_without_a_switch(made):
    findings = Findings()
    levels(findings, made[1], made[0])
    table = rows(findings)
    assert set(table.index.get_level_values("condition")) == {"medium"}
    assert table.loc[("suffix accuracy, at the end", "medium"), "value"] == 1
    assert table.loc[("suffix loss, at the end", "medium"), "value"] == pytest.approx(KNOWN)
    assert table.loc[("exposures until 0.9 of the suffix, median of ranks 0-9", "medium"), "seeds"] == "0:300 1:310"
    assert table.loc[("sequences of ranks 10-29 that reach 0.9", "medium"), "value"] == 1
    assert not [name for name, _ in table.index if "100 and up" in name]  # there are 12 sequences


def test_a_set_of_a_few_sequences_has_its_levels_too(made):
    findings = Findings()
    levels(findings, made[1], made[0][made[0]["rank"] < 5])
    assert not [name for name, _ in rows(findings).index if "less ranks" in name or "ranks 10-29" in name]


def test_a_switch_is_measured_on_both_sets(made):
    findings, frozen = Findings(), made[1][made[1]["condition"] == "resample"].assign(condition="frozen")
    items = pd.concat([made[0], made[0][made[0]["condition"] == "resample"].assign(condition="frozen")])
    summary = pd.concat([made[1], frozen[frozen["seed"] == 1]])
    switches(findings, summary, items, [SWITCH, SWITCH | {"name": "frozen"}], lambda name: {"late": 300})
    table = rows(findings)["value"]
    assert table["old set, suffix accuracy at the switch", "resample"] == 1
    assert table["old set, suffix accuracy late", "resample"] == 0
    assert table["old set, suffix accuracy at the end", "resample"] == 0
    assert table["new set, suffix accuracy at the end", "resample"] == 1
    assert table["new set, suffix loss at the switch", "resample"] == pytest.approx(UNKNOWN)
    assert table["new set, accuracy at the switch, all bits", "resample"] == 0
    assert table["new set, steps to suffix accuracy 0.75", "resample"] == pytest.approx(100)
    first = (100 * 3**0.75 + 100 * 3.1**0.75) / 2
    assert table["first set, steps to suffix accuracy 0.75", "medium"] == pytest.approx(first)
    difference = "steps to suffix accuracy 0.75, new set less first set, difference"
    assert table[difference, "resample - first set"] == pytest.approx(100 - first)
    paired = rows(findings).loc[("new set, steps to suffix accuracy 0.75, difference", "frozen - resample")]
    assert (paired["value"], paired["n"]) == (0, 1)  # frozen has seed 1 alone
