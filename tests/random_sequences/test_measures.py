import numpy as np
import pandas as pd
import pytest

from memorization.data.sequences import following_set, sample_sequences
from memorization.random_sequences.measures import by_sequence, evaluate, sequence_records, sequence_runs, summary
from memorization.records import RECORD

SEQUENCES = np.array([[0, 0, 0, 1], [0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], np.uint8)
P = np.array([0.4, 0.3, 0.2, 0.1])
RUN = {"condition": "some", "architecture": "decoder", "seed": 5}
RIGHT, WRONG = 0.1, 2.0  # nats


@pytest.fixture
def table():
    nll = np.array(
        [[RIGHT, WRONG, RIGHT, RIGHT], [WRONG, WRONG, RIGHT, WRONG], [WRONG, RIGHT, RIGHT, RIGHT], [RIGHT] * 4]
    )
    trajectory = {
        "step": np.full(4, 9),
        "set": np.zeros(4, int),
        "rank": np.array([0, 1, 2, 3]),
        "exposures": np.array([4, 3, 2, 0]),
        "last_exposure_step": np.array([9, 8, 7, 0]),
        "nll": nll.astype(np.float32),
    }
    return by_sequence(trajectory, SEQUENCES[None], P, RUN)


def test_losses_and_accuracies_over_all_bits_and_the_suffix(table):
    assert table["suffix_length"].tolist() == [0, 2, 3, 0]  # prefixes 0001, 01, 1, 0000
    assert table["loss"].tolist() == pytest.approx([0.575, 1.525, 0.575, 0.1], abs=1e-6)
    assert table["accuracy"].tolist() == [0.75, 0.25, 0.75, 1.0]
    assert table["suffix_loss"].tolist() == pytest.approx([np.nan, 1.05, 0.1, np.nan], nan_ok=True)
    assert table["suffix_accuracy"].tolist() == pytest.approx([np.nan, 0.5, 1.0, np.nan], nan_ok=True)


def test_a_tie_is_half_right():
    entries = {name: np.zeros(1, int) for name in ("step", "set", "rank", "exposures", "last_exposure_step")}
    nll = np.array([[-np.log(np.float32(0.5)), RIGHT, WRONG, RIGHT]], np.float32)
    table = by_sequence(entries | {"nll": nll}, SEQUENCES[None], P, RUN)
    assert table["accuracy"].tolist() == [(0.5 + 1 + 0 + 1) / 4]


def test_bayes_references(table):
    np.testing.assert_allclose(table["floor"], -np.log(P) / 4)
    # The Bayes predictor says 0, 0, 0, 1; of rank 1 it misses the second bit, of rank 2 the first, of 3 the last.
    assert table["ceiling"].tolist() == [1.0, 0.75, 0.75, 0.75]


def test_the_ceiling_of_uniform_draws_counts_ties_as_guesses():
    sequences, p = sample_sequences(64, 12, np.random.default_rng(0)), np.full(64, 1 / 64)
    nll = np.ones((64, 12), np.float32)
    trajectory = dict.fromkeys(("step", "set", "exposures", "last_exposure_step"), np.zeros(64, int))
    table = by_sequence(trajectory | {"rank": np.arange(64), "nll": nll}, sequences[None], p, RUN)
    best = 0.0  # of always choosing the likelier bit: sum over prefixes of the larger mass
    for n in range(12):
        for prefix in {tuple(sequence[:n]) for sequence in sequences.tolist()}:
            alike = (sequences[:, :n] == np.array(prefix, np.uint8)).all(axis=1)
            ones = p[alike & (sequences[:, n] == 1)].sum()
            best += max(ones, p[alike].sum() - ones)
    assert p @ table["ceiling"] == pytest.approx(best / 12)


def test_summary_has_the_weighted_loss_its_floor_and_means_over_the_sample(table):
    weighted = pd.DataFrame({"set": [0], "step": [9], "weighted_loss": [0.42]})
    row = summary(table, weighted, P, 2, [0.0], list(RUN)).iloc[0]
    assert (row["condition"], row["seed"], row["step"], row["weighted_loss"]) == ("some", 5, 9, 0.42)
    assert row["floor"] == pytest.approx(-(P * np.log(P)).sum() / 4)
    assert row["suffix_accuracy"] == 1.0  # rank 2; rank 0 has no suffix, 1 and 3 are not of the sample
    assert summary(table, weighted, P, 1, [0.0], list(RUN))["suffix_accuracy"].tolist() == [0.75]


@pytest.mark.parametrize("stride", [1, 3, 4, 10, 25])
def test_sequences_that_a_switch_kept_count_by_their_share_whatever_the_stride(stride):
    """Every 50th is kept, as are those of the sample where the stride and 50 have common factors."""
    count, length = 500, 20
    first = sample_sequences(count, length, np.random.default_rng(0))[None]
    sets = np.stack([*first, following_set(first, "forget", np.random.default_rng(1))])
    before, after = (
        {"step": np.full(count, step), "set": np.full(count, number), "rank": np.arange(count)}
        | dict.fromkeys(("exposures", "last_exposure_step"), np.ones(count, int))
        | {"weighted_step": np.array([step]), "weighted_loss": np.array([0.5])}
        for step, number in ((5, 0), (9, 1))
    )
    kept = np.arange(count) % 50 == 0
    before["nll"] = np.full((count, length), RIGHT, np.float32)
    after["nll"] = np.where(kept[:, None], RIGHT, WRONG).repeat(length, axis=1).astype(np.float32)
    _, totals = evaluate([before, after], sets, np.full(count, 1 / count), stride, RUN)
    assert totals["suffix_accuracy"].tolist() == pytest.approx([1.0, kept.mean()])
    assert totals["loss"].tolist() == pytest.approx([RIGHT, 0.02 * RIGHT + 0.98 * WRONG], rel=1e-6)


def test_bits_before_the_first_that_is_scored_are_in_no_measure():
    entries = {name: np.zeros(1, int) for name in ("step", "set", "exposures", "last_exposure_step")}
    nll = np.array([[WRONG, WRONG, RIGHT, RIGHT]], np.float32)
    row = by_sequence(entries | {"rank": np.array([2]), "nll": nll}, SEQUENCES[None], P, RUN, first=2).iloc[0]
    assert (row["length"], row["suffix_length"]) == (2, 2)  # its prefix is unique from bit 1 on
    assert (row["accuracy"], row["suffix_accuracy"], row["ceiling"]) == (1, 1, 1)
    assert row["loss"] == pytest.approx(RIGHT)
    assert row["floor"] == 0


def trajectory(step, number, rank, weighted, loss=RIGHT):
    """One recorded (step, set, rank) an entry, as training writes it."""
    rows = {"step": np.array(step), "set": np.array(number), "rank": np.array(rank)}
    counts = {name: np.arange(len(step)) for name in ("exposures", "last_exposure_step")}
    nll = np.full((len(step), 4), loss, np.float32)
    weighted = {"weighted_step": np.array(list(weighted)), "weighted_loss": np.array(list(weighted.values()))}
    return rows | counts | {"nll": nll} | weighted


def test_a_run_with_a_switch_has_two_phases_and_each_sequence_once_a_step():
    others = np.array([[0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 1, 1], [1, 0, 1, 0]], np.uint8)  # keeps rank 0
    sets = np.stack([SEQUENCES, others, 1 - others])
    first = trajectory([5, 5, 9, 9, 9], [0, 0, 1, 1, 0], [1, 2, 0, 2, 2], {5: 0.6, 9: 0.5})
    first["set"] = np.array([0, 1, 1, 1, 0])
    second = trajectory([9, 9, 9], [0, 1, 2], [2, 2, 2], {9: 0.4}, loss=WRONG)
    table, totals = evaluate([first, second], sets, P, 1, RUN)
    found = table[["step", "set", "rank", "first_set", "phase"]].to_records(index=False).tolist()
    assert found == [
        (5, 0, 1, 0, "before_switch"),
        (5, 1, 2, 1, "after_switch"),
        (9, 1, 0, 0, "after_switch"),
        (9, 0, 2, 0, "before_switch"),
        (9, 1, 2, 1, "before_switch"),
        (9, 2, 2, 2, "after_switch"),
    ]
    at_the_switch = table[(table["step"] == 9) & (table["set"] == 1) & (table["rank"] == 2)]
    assert at_the_switch["loss"].tolist() == pytest.approx([WRONG])  # of the training after the switch
    # Suffixes are those of the set that a sequence is in.
    assert table["suffix_length"].tolist() == [2, 2, 2, 3, 2, 2]
    weighted = totals.set_index(["set", "phase", "step"])["weighted_loss"]
    assert weighted[(1, "after_switch", 5)] == 0.6
    assert weighted[(2, "after_switch", 9)] == 0.4
    assert np.isnan(weighted[(0, "before_switch", 9)])
    assert np.isnan(weighted[(1, "before_switch", 9)])  # though its training ended with it
    for rows in (table, totals):
        assert rows.groupby("set")["switch_start_step"].unique().map(list).to_dict() == {0: [0], 1: [5], 2: [9]}
    items = sequence_records(table, "toy", "transformer")
    assert items["item"].tolist() == [
        "set0/rank1",
        "set1/rank2",
        "set0/rank0",
        "set0/rank2",
        "set1/rank2",
        "set2/rank2",
    ]
    assert not items.duplicated(["item", "step"]).any()


def test_records_are_of_the_suffix(table):
    rows = sequence_records(table, "toy", "transformer")
    assert list(rows) == list(RECORD)
    assert rows["item"].tolist() == ["set0/rank1", "set0/rank2"]
    assert rows["n_tokens"].tolist() == [2, 3]
    assert rows["recall"].tolist() == [0.5, 1.0]
    assert rows["exact"].tolist() == [False, True]
    assert rows["exposures"].tolist() == [3, 2]
    assert rows["nll_bits"].tolist() == pytest.approx([2.1 / np.log(2), 0.3 / np.log(2)])
    assert rows["prior_bits"].tolist() == [2, 3]
    assert set(rows["phase"]) == {"train"}
    assert set(rows["arm"]) == {"transformer"}


def test_a_run_counts_its_trainable_state_and_its_queue():
    trajectory = {"parameters": np.array(1000), "trainable": np.array(800), "step": np.array([0, 9])}
    row = sequence_runs(trajectory, RUN, "toy", "transformer", memory_bits=64).iloc[0]
    assert (row["parameters"], row["trainable"], row["state_bits"], row["steps"]) == (1000, 800, 25_664, 9)
