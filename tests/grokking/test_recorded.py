"""Fingerprints of trainings elsewhere: what is read, and what is refused."""

import io
import re

import numpy as np
import pytest

from memorization.grokking.dynamics.fingerprint import embed
from memorization.grokking.dynamics.recorded import check_recorded, read_recorded

READINGS = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
STEPS = 10 * np.arange(30)
WINDOW, LENGTH = (0, 250), 20


def saved(path, arrays=None, array=None):
    """An npz of arrays, or a npy of one."""
    if arrays is None:
        np.save(path, array)
    else:
        np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("way", ["npy", "npz", "npz with steps", "npz with more"])
def test_the_array_is_that_of_a_trajectory(tmp_path, way):
    path = tmp_path / f"mine.{way[:3]}"
    more = {"step": STEPS} if "steps" in way else {"run": np.array(["of years ago"], object)} if "more" in way else {}
    saved(path, None if way == "npy" else {"readings": READINGS} | more, READINGS)
    recorded = read_recorded(path, None if "steps" in way else 10)
    np.testing.assert_array_equal(recorded["fingerprint_step"], STEPS)
    for split in ("train", "val"):
        _, _, snapshots = embed(recorded, {"probe_split": split, "n_quantiles": 3})
        assert snapshots.shape == (30, 3)
        np.testing.assert_allclose(snapshots[:, 1], np.median(READINGS.astype(float), axis=1))
    check_recorded(path, None if "steps" in way else 10, 10, WINDOW, LENGTH)


def test_whole_numbers_and_unsigned_steps_are_read_alike(tmp_path):
    counts = np.arange(60).reshape(30, 2)
    path = saved(tmp_path / "mine.npz", {"readings": counts, "step": np.arange(4, 34, dtype=np.uint16)})
    recorded = read_recorded(path)
    assert recorded["val"].dtype == np.float64
    np.testing.assert_array_equal(recorded["val"], counts)
    assert recorded["fingerprint_step"].tolist() == list(range(4, 34))


def with_step(step):
    return {"readings": READINGS, "step": step}


def with_one(value):
    readings = READINGS.copy()
    readings[3, 1] = value
    return readings


UNEVEN = np.r_[STEPS[:-1], 291]
REFUSED = {  # arrays of an npz, or one array of a npy; record_every; the message
    "numbers apart by rows": (
        np.array([[1, 2], [3]], object),
        10,
        "cannot be read as an array of numbers; allowed: a .npy",
    ),
    "text": (READINGS.astype(str), 10, "its array is <U32 of shape (30, 4); allowed: real numbers of shape (T, n)"),
    "complex numbers": (READINGS.astype(complex), 10, "its array is complex128 of shape (30, 4)"),
    "one reading": (
        READINGS[:, :1],
        10,
        "its array is float32 of shape (30, 1); allowed: real numbers of shape (T, n)",
    ),
    "one dimension": (READINGS[:, 0], 10, "its array is float32 of shape (30,)"),
    "one snapshot": (READINGS[:1], 10, "its array is float32 of shape (1, 4)"),
    "not a number": (with_one(np.nan), 10, "some readings are no finite numbers"),
    "infinite": (with_one(np.inf), 10, "some readings are no finite numbers"),
    "another name": ({"x": READINGS, "step": STEPS}, None, "has no array readings; it has x, step"),
    "no steps": (READINGS, None, "has no array step; allowed: one in a .npz file, or record_every beside it"),
    "uneven steps": (with_step(UNEVEN), None, "step is not evenly spaced; allowed: 30 whole numbers from 0 on"),
    "steps that stand": (with_step(0 * STEPS), None, "step is not evenly spaced"),
    "falling steps": (with_step(STEPS[::-1]), None, "step is not evenly spaced"),
    "negative steps": (with_step(STEPS - 10), None, "step is not evenly spaced"),
    "fractions of steps": (with_step(STEPS / 4), None, "step is not evenly spaced"),
    "fewer steps": (with_step(STEPS[1:]), None, "step is not evenly spaced"),
    "other steps than said": (with_step(STEPS), 5, "step rises by 10, but record_every is 5"),
    "another spacing": (
        READINGS,
        5,
        "a snapshot every 5 steps, from step 0 on; allowed: at multiples of fingerprint.rec",
    ),
    "other places": (with_step(STEPS + 3), None, "a snapshot every 10 steps, from step 3 on; allowed: at multiples of"),
    "a late start": (
        with_step(STEPS + 10),
        None,
        "snapshots of steps 10 to 300; allowed: those of dmd.window, 0 to 250",
    ),
    "an early end": (READINGS[:25], 10, "snapshots of steps 0 to 240; allowed: those of dmd.window, 0 to 250, or more"),
    "no change": (np.ones((30, 4)), 10, "its readings do not change in dmd.window, and have no dynamics"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_fingerprint_is_one_line(tmp_path, name):
    content, every, message = REFUSED[name]
    arrays = content if isinstance(content, dict) else None
    path = saved(tmp_path / ("mine.npy" if arrays is None else "mine.npz"), arrays, content)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {message}')}") as error:
        check_recorded(path, every, 10, WINDOW, LENGTH)
    assert "\n" not in str(error.value)


def test_too_few_snapshots_for_a_stretch_are_refused(tmp_path):
    path = saved(tmp_path / "mine.npy", array=READINGS)
    check_recorded(path, 10, 10, WINDOW, 30)
    with pytest.raises(ValueError, match=r"mine.npy: 30 snapshots; allowed: residual.length, 31, or more"):
        check_recorded(path, 10, 10, WINDOW, 31)


def npz():
    file = io.BytesIO()
    np.savez_compressed(file, readings=READINGS)
    return file.getvalue()


@pytest.mark.parametrize("content", [b"", b"no array", npz()[:-40], npz()[:200] + b"\0" * 40 + npz()[240:]])
def test_what_is_no_file_of_arrays_is_one_line(tmp_path, content):
    path = tmp_path / "mine.npz"
    with pytest.raises(ValueError, match=r"mine.npz: there is no such file; allowed: a .npy file, or a .npz file with"):
        read_recorded(path, 10)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"mine.npz: cannot be read as an array of numbers; allowed: ") as error:
        read_recorded(path, 10)
    assert "\n" not in str(error.value)
