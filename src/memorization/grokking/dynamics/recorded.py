"""Fingerprints of trainings elsewhere, read from files: a row of readings a snapshot.

Imported when the Snakefile is read: nothing here may import torch.
"""

from pathlib import Path

import numpy as np

READINGS, STEP = "readings", "step"  # arrays of an npz
ALLOWED = f"a .npy file, or a .npz file with an array {READINGS}"


def read_recorded(path: str | Path, record_every: int | None = None) -> dict[str, np.ndarray]:
    """The fingerprint of a run, in the form of a trajectory.

    Parameters
    ----------
    path : a .npy file with an array (T, n), T snapshots of n readings; or a .npz file with that as ``readings``, and
        perhaps the steps of the snapshots, (T,), as ``step``. No pickle in it is read
    record_every : steps from one snapshot to the next, from step 0 on, where the file does not say

    Returns
    -------
    ``fingerprint_step`` (T,); the readings (T, n) float64, as those of either split, since there is one probe.

    Raises
    ------
    ValueError
        One line that names the file.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: there is no such file; allowed: {ALLOWED}")
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            stored = {READINGS: loaded} if isinstance(loaded, np.ndarray) else loaded
            arrays = {name: np.asarray(stored[name]) for name in (READINGS, STEP) if name in stored}
    except Exception as error:  # the library raises several kinds
        raise ValueError(f"{path}: cannot be read as an array of numbers; allowed: {ALLOWED}") from error
    if READINGS not in arrays:
        raise ValueError(f"{path}: has no array {READINGS}; it has {', '.join(stored) or 'none'}")
    readings = arrays[READINGS]
    if readings.dtype.kind not in "iuf" or readings.ndim != 2 or len(readings) < 2 or readings.shape[1] < 2:
        raise ValueError(
            f"{path}: its array is {readings.dtype} of shape {readings.shape}; allowed: real numbers of shape (T, n), "
            "two snapshots of two readings or more"
        )
    if not np.isfinite(readings).all():
        raise ValueError(f"{path}: some readings are no finite numbers")
    steps = _steps(arrays.get(STEP), len(readings), record_every, path)
    return {"fingerprint_step": steps} | dict.fromkeys(("train", "val"), readings.astype(np.float64))


def check_recorded(
    path: str | Path, record_every: int | None, spacing: int, window: tuple[int, int], length: int
) -> None:
    """Refuse fingerprints that cannot be read, or compared with those of trainings here.

    Parameters
    ----------
    path, record_every : as of ``read_recorded``
    spacing : steps from one snapshot of a training here to the next
    window : the first and the last step that are compared
    length : snapshots of a stretch

    Raises
    ------
    ValueError
        One line that names the file.
    """
    recorded, (first, last) = read_recorded(path, record_every), window
    steps, readings = recorded["fingerprint_step"], recorded["val"]
    every = steps[1] - steps[0]
    if every != spacing or steps[0] % spacing:
        raise ValueError(
            f"{path}: a snapshot every {every} steps, from step {steps[0]} on; allowed: at multiples of "
            f"fingerprint.record_every, {spacing}, as of the conditions that it is compared with"
        )
    if steps[0] > first or steps[-1] < last:
        raise ValueError(
            f"{path}: snapshots of steps {steps[0]} to {steps[-1]}; allowed: those of dmd.window, {first} to {last}, "
            "or more"
        )
    if len(steps) < length:
        raise ValueError(f"{path}: {len(steps)} snapshots; allowed: residual.length, {length}, or more")
    seen = readings[(steps >= first) & (steps <= last)]
    if (seen[:-1] == seen[0]).all():
        raise ValueError(f"{path}: its readings do not change in dmd.window, and have no dynamics")


def _steps(steps: np.ndarray | None, count: int, record_every: int | None, path: str | Path) -> np.ndarray:
    if steps is None:
        if record_every is None:
            raise ValueError(f"{path}: has no array {STEP}; allowed: one in a .npz file, or record_every beside it")
        return record_every * np.arange(count)
    is_whole = steps.dtype.kind in "iu" and steps.shape == (count,)
    steps = steps.astype(np.int64) if is_whole else np.zeros(count, np.int64)
    every = steps[1] - steps[0]
    if every <= 0 or steps[0] < 0 or (np.diff(steps) != every).any():
        raise ValueError(
            f"{path}: {STEP} is not evenly spaced; allowed: {count} whole numbers from 0 on that rise evenly"
        )
    if record_every not in (None, every):
        raise ValueError(f"{path}: {STEP} rises by {every}, but record_every is {record_every}")
    return steps
