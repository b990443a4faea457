import numpy as np
import pandas as pd
import pytest
from sections import complete

from memorization.extraction.conditions import Extraction
from memorization.extraction.packing import copies_of, pack
from memorization.extraction.recording import exposures_at, extraction_records, extraction_runs, prior_bits
from memorization.provenance import generator
from memorization.records import RECORD, RUN

LENGTH, ROW = 4, 12
ROWS = np.array([0, 1, 2, 4])  # of the windows those that are followed
COPIES = np.array([3, 0, 1, 5, 0, 9])
TRAJECTORY = {
    "step": np.array([0, 2, 7]),
    "rows": ROWS,
    "n_scored": np.array(4),
    "vocabulary": np.array(50),
    "right": np.array([[0, 0, 0, 1], [2, 0, 1, 1], [4, 1, 3, 0]]),
    "nll": np.array([[15.0, 16, 17, 18], [8, 16, 9, 17], [0.5, 20, 3, 21]], np.float32),
    "parameters": np.array(300),
    "trainable": np.array(200),
}


def windows():
    return pd.DataFrame({"window": [f"code_{n:03}" for n in range(6)], "role": ["planted"] * 4 + ["control"] * 2})


@pytest.fixture(scope="module")
def packing():
    """Tokens of windows from 100 on, of the background 0."""
    tokens = 100 + np.arange(24, dtype=np.int32).reshape(6, LENGTH)
    return pack(tokens, COPIES, np.zeros(400, np.int32), ROW, generator("test", 0, "packing"))


def twin(copies, nll):
    """Trajectory and packing of another seed that ends with these losses."""
    return TRAJECTORY | {"nll": np.array([[99.0] * 4, nll], np.float32)}, {"copies": np.array(copies)}


@pytest.mark.parametrize("batch_size", [1, 3])
def test_exposures_are_as_often_as_a_window_stands_in_the_rows_seen(packing, batch_size):
    n_rows = len(packing["rows"])
    steps = -(-n_rows // batch_size)
    for step in (0, 1, steps // 2, steps):
        counts, last = exposures_at(packing, batch_size, step, 6)
        for window in range(6):
            count, seen_at = 0, 0
            for row in range(min(step * batch_size, n_rows)):
                for at in range(ROW - LENGTH + 1):
                    if packing["rows"][row, at : at + LENGTH].tolist() == list(
                        range(100 + 4 * window, 104 + 4 * window)
                    ):
                        count, seen_at = count + 1, row // batch_size + 1
            assert (counts[window], last[window]) == (count, seen_at)
    assert counts.tolist() == COPIES.tolist()


def records(packing, twins=()):
    return extraction_records(TRAJECTORY, packing, twins, windows(), "mamba", "some", 4, batch_size=3)


def test_a_record_is_of_a_followed_window_at_a_recorded_step(packing):
    table = records(packing)
    assert list(table) == list(RECORD)
    assert table["step"].tolist() == np.repeat([0, 2, 7], 4).tolist()
    assert table["item"].tolist() == ["code_000", "code_001", "code_002", "code_004"] * 3
    of_run = table[["family", "arm", "condition", "seed", "n_tokens", "chance"]].drop_duplicates()
    assert of_run.to_numpy().tolist() == [["extraction", "mamba", "some", 4, 4, 1 / 50]]
    assert table["recall"].tolist() == [0, 0, 0, 0.25, 0.5, 0, 0.25, 0.25, 1, 0.25, 0.75, 0]
    assert table["exact"].tolist() == [False] * 8 + [True, False, False, False]
    np.testing.assert_allclose(table["nll_bits"], TRAJECTORY["nll"].ravel() / np.log(2), rtol=1e-6)


def test_windows_that_a_seed_plants_are_of_its_training_and_the_others_are_held_out(packing):
    table = records(packing)
    phase = table.drop_duplicates("item").set_index("item")["phase"]
    assert phase.to_dict() == {"code_000": "train", "code_001": "held_out", "code_002": "train", "code_004": "held_out"}
    for step, part in table.groupby("step"):
        counts, last = exposures_at(packing, 3, step, 6)
        assert part["exposures"].tolist() == counts[ROWS].tolist()
        assert part["last_exposure_step"].tolist() == last[ROWS].tolist()
    assert not table.loc[table["phase"] == "held_out", "exposures"].any()


def test_the_prior_of_a_window_is_its_loss_at_the_end_in_the_first_run_that_never_had_it():
    first, second = twin([0, 1, 1, 0, 0, 0], [1.0, 2, 3, 4]), twin([0, 0, 1, 0, 0, 0], [5.0, 6, 7, 8])
    bits = prior_bits(6, [first, second]) * np.log(2)
    assert bits[[0, 1, 4]] == pytest.approx([1, 6, 4])
    assert np.isnan(bits[[2, 3, 5]]).all()  # both had the one, and the others are not followed
    assert (prior_bits(6, [second, first]) * np.log(2))[0] == pytest.approx(5)


def test_records_have_priors_from_two_twins_on(packing):
    twins = [twin([0, 1, 1, 0, 0, 0], [1.0, 2, 3, 4]), twin([2, 1, 0, 0, 0, 0], [5.0, 6, 7, 8])]
    prior = records(packing, twins).groupby("item")["prior_bits"].unique() * np.log(2)
    assert [values.item() for values in prior] == pytest.approx([1, np.nan, 7, 4], nan_ok=True)
    for few in ([], twins[:1]):
        assert records(packing, few)["prior_bits"].isna().all()


@pytest.mark.parametrize("seeds", [3, 5, [7, 8, 9]])
def test_each_planted_window_has_a_twin_that_never_had_it(seeds):
    family = Extraction(complete()["extraction"] | {"seeds": seeds})
    counts = [1, 2]
    table = pd.DataFrame({"role": "planted", "data_type": "code", "group": np.repeat([0, 1, 2], 2)})
    for seed in family.seeds("neox_s"):
        twins = [each["seed"] for each in family.twins("neox_s", seed)]
        assert len(twins) == 2
        assert seed not in twins
        mine = copies_of(table, seed, counts)
        unseen = [copies_of(table, other, counts) == 0 for other in twins]
        assert (np.sum(unseen, axis=0) == (mine > 0)).all()
    assert [each["seed"] for each in family.twins("neox_s", str(seed))] == twins


def test_a_run_has_its_size_and_its_steps():
    table = extraction_runs(TRAJECTORY, "mamba", "some", 4)
    assert list(table) == list(RUN)
    assert table.iloc[0].tolist() == ["extraction", "mamba", "some", 4, 300, 300, 200, 32 * 200, 7, False]
