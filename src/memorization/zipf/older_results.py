"""Results in the form of the older research scripts: a pair of pickles for each run.

``<name>.pkl`` is a dict with ``args``, the options of the run, and ``logs``, a list with a dict for each evaluation:
``epoch``; ``num_apppearances`` (sic) (K,), how often each sequence of the present set was in a batch; ``appearances``,
the ranks of each batch of the epoch; ``test_metrics`` with ``sequence_rank``, ``logsoftmaxloss`` (nats per bit) and
``accuracy``. ``<name>_sequences.pkl`` is a dict with ``sequences``, a list of (K, N) bits for each set, and
``switch_start_iter``, the epoch at which each set began.
"""

import pickle
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd

from memorization.data.sequences import largest_exponent, zipf_probabilities
from memorization.files import atomic_write
from memorization.pickles import RefusedPickle, read_pickle
from memorization.random_sequences.measures import by_sequence
from memorization.zipf.conditions import ARMS

SEQUENCES = "_sequences.pkl"
KEPT = ("set", "exposures", "last_exposure_step")  # what our exports have in addition, for each entry
MEASURES = ("suffix_loss", "suffix_accuracy")
EARLIER_NAMES = {  # of columns, before this workflow renamed them
    "presentations": "exposures",
    "last_presentation": "last_exposure_step",
    "model": "architecture",
}
SHARE = {"high": 1, "note": ", shares and not percent"}
LARGEST = 2**62  # int64 holds it, and no measure comes near it


class ResultsError(ValueError):
    """Results that the older scripts cannot have written; the message names the file and the mistake."""


def pairs(folder: str | Path) -> list[Path]:
    """The files ``<name>.pkl`` that have a ``<name>_sequences.pkl`` beside them, in ``folder`` and below it."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ResultsError(f"{folder}: no such folder")
    found = [path for path in sorted(folder.rglob("*.pkl")) if sequences_of(path).is_file()]
    if not found:
        raise ResultsError(f"{folder}: no <name>.pkl with a <name>{SEQUENCES} beside it")
    return found


def read_results(path: Path, condition: str) -> pd.DataFrame:
    """The rows of ``zipf_by_sequence`` in a pair of pickles.

    The older scripts recorded a subsample and numbered it 0, 1, 2 …: if numbers without gaps are fewer than the
    sequences, they are true ranks divided by the stride. The scripts did not predict the first bit: loss and accuracy
    are means over the others, and floor, ceiling and length here are too. In files of ``write_results`` they are over
    all bits. What a pair does not have is NaN (measures of the suffix) or -1 (the exposures and the last exposure).

    Parameters
    ----------
    path : ``<name>.pkl``
    condition : of the rows, if ``args`` does not name one

    Raises
    ------
    ResultsError
        If a key is missing, lengths of arrays differ, a number is out of its range, rows or sequences repeat, or an
        array is larger than what the file has of it.
    RefusedPickle
        If a pickle holds more than arrays and plain values.
    """
    record, stored = read_pickle(path), read_pickle(sequences_of(path))
    try:
        return _read(record, stored, path, condition)
    except (ResultsError, RefusedPickle):
        raise
    except MemoryError as error:
        raise ResultsError(f"{path}, or its {SEQUENCES}: does not fit into memory") from error
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        why = " ".join(str(error).split())
        raise ResultsError(f"{path}, or its {SEQUENCES}: not as the older scripts wrote it ({why})") from error


def _read(record, stored, path: Path, condition: str) -> pd.DataFrame:
    sets = _sets(stored, sequences_of(path))
    where = f"{sequences_of(path)}: switch_start_iter"
    starts = [
        _numbers(_array(start, where).flat[0], where, whole=True).item()
        for start in _get(stored, "switch_start_iter", sequences_of(path))
    ]
    if len(starts) != len(sets) or starts != sorted(starts) or starts[0] != 0:
        raise ResultsError(
            f"{sequences_of(path)}: switch_start_iter: {starts}; allowed: a rising start for each of the {len(sets)} "
            f"sets, the first 0"
        )
    args, logs = _get(record, "args", path), _get(record, "logs", path)
    args = args if isinstance(args, dict) else vars(args)
    uniform = args.get("sequence_sampling_distribution") == "uniform"
    exponent, seed = args.get("exponent", 0.0 if uniform else 1.0), args.get("seed")
    exponent = _numbers(exponent, f"{path}: args: exponent", high=largest_exponent(sets.shape[1])).item()
    run = {
        "condition": args.get("condition") or condition,
        "architecture": args["model"] if args.get("model") in ARMS else "decoder",
        "seed": _numbers(0 if seed is None else seed, f"{path}: args: seed", whole=True).item(),
    }
    if not isinstance(run["condition"], str):
        raise ResultsError(f"{path}: args: condition: {type(run['condition']).__name__}; allowed: text")
    probabilities, tables, entries = zipf_probabilities(sets.shape[1], exponent), [], {}
    for number, log in enumerate(logs):
        if not log.get("test_metrics"):
            continue
        tables.append(_rows(log, sets, starts, probabilities, run, path))
        step = tables[-1]["step"].iloc[0]
        other = entries.setdefault(step, number)
        if other != number:
            epochs = f"epochs {logs[other]['epoch']} and {log['epoch']}"
            raise ResultsError(f"{path}: logs[{other}], logs[{number}]: {epochs}, both step {step}; allowed: each once")
    if not tables:
        raise ResultsError(f"{path}: logs: no entry has test_metrics")
    return pd.concat(tables, ignore_index=True)


def write_results(path: Path, table: pd.DataFrame, sets: np.ndarray, starts: Iterable[int], exponent: float) -> None:
    """Write a run as a pair of pickles, with a step for each epoch. ``read_results`` makes the same table of it.

    Parameters
    ----------
    path : ``<name>.pkl``
    table : rows of ``zipf_by_sequence`` of one run
    sets : (sets, count, length) of 0 and 1
    starts : the first step of each set
    exponent : of the frequencies; the file says uniform for 0 and else zipf, since the older scripts know no other
    """
    run = table.iloc[0]
    args = {"condition": run["condition"], "model": run["architecture"], "seed": int(run["seed"])}
    args |= {"K": sets.shape[1], "len_context": sets.shape[2]}
    args |= {"sequence_sampling_distribution": "zipf" if exponent else "uniform", "exponent": exponent}
    logs = []
    for step, rows in table.groupby("step", sort=True):
        present = rows[rows["set"] == rows["set"].max()]
        appearances = np.zeros(sets.shape[1])
        appearances[present["rank"]] = present["exposures"]
        metrics = {"sequence_rank": "rank", "logsoftmaxloss": "loss", "accuracy": "accuracy"}
        metrics = {name: rows[column].to_numpy() for name, column in metrics.items()}
        metrics |= {name: rows[name].to_numpy() for name in (*KEPT, *MEASURES)}
        logs.append({"epoch": int(step), "num_apppearances": appearances, "test_metrics": metrics})
    stored = {"sequences": list(sets), "switch_start_iter": list(map(int, starts))}
    path.parent.mkdir(parents=True, exist_ok=True)
    for target, content in ((path, {"args": args, "logs": logs}), (sequences_of(path), stored)):
        with atomic_write(target) as part, open(part, "wb") as file:
            pickle.dump(content, file)


def _rows(log: dict, sets: np.ndarray, starts: list[int], probabilities: np.ndarray, run: dict, path: Path):
    epoch, n_sequences = _numbers(_get(log, "epoch", path), f"{path}: epoch", whole=True).item(), sets.shape[1]
    where, present = f"{path}: epoch {epoch}", sum(start <= epoch for start in starts) - 1
    columns = _columns(log["test_metrics"], n_sequences, present, where)
    rank, loss, accuracy = (columns[name] for name in ("sequence_rank", "logsoftmaxloss", "accuracy"))
    ours = "set" in columns
    if not ours:
        evaluated = (rank > 0) | (np.arange(len(rank)) == 0)  # the others were never filled and are 0
        rank, loss, accuracy = rank[evaluated], loss[evaluated], accuracy[evaluated]
        if (rank == np.arange(len(rank))).all():
            rank = rank * next(stride for stride in count(1) if -(-n_sequences // stride) <= len(rank))
    number = columns.get("set", np.full(len(rank), present))
    again = pd.DataFrame({"set": number, "rank": rank}).duplicated()
    if again.any():
        raise ResultsError(f"{where}: sequence_rank: {rank[again][0]} occurs twice; allowed: each sequence once")
    appearances = np.full(n_sequences, -1)
    if "num_apppearances" in log:
        appearances = _numbers(log["num_apppearances"], f"{where}: num_apppearances", whole=True)
    if appearances.shape != (n_sequences,):
        raise ResultsError(f"{where}: num_apppearances: {appearances.shape}; allowed: ({n_sequences},), as sequences")
    batches = max(1, len(log.get("appearances", ())))
    entries = {
        "step": np.full(len(rank), epoch * batches),
        "rank": rank,
        "set": number,
        "exposures": columns.get("exposures", appearances[rank]),
        "last_exposure_step": columns.get("last_exposure_step", np.full(len(rank), -1)),
        "nll": np.repeat(loss[:, None], sets.shape[2], axis=1),
    }
    table = by_sequence(entries, sets[: present + 1], probabilities, run, first=0 if ours else 1)
    suffix = {name: columns.get(name, np.full(len(rank), np.nan)) for name in MEASURES}
    start = np.array(starts)[table["set"]] * batches
    return table.assign(loss=loss, accuracy=accuracy, **suffix, switch_start_step=start)


def _columns(metrics: dict, n_sequences: int, present: int, where: str) -> dict[str, np.ndarray]:
    """The arrays in ``test_metrics``, all of one length and in their ranges; the first three are always there.

    Parameters
    ----------
    present : number of the present set
    where : file and entry, for messages
    """
    ranges = {
        "sequence_rank": {"high": n_sequences - 1, "whole": True},
        "logsoftmaxloss": {},
        "accuracy": SHARE,
        "set": {"high": present, "whole": True},
        "exposures": {"whole": True},
        "last_exposure_step": {"whole": True},
        "suffix_loss": {"gaps": True},
        "suffix_accuracy": SHARE | {"gaps": True},
    }
    metrics = {EARLIER_NAMES.get(name, name): values for name, values in metrics.items() if np.ndim(values) == 1}
    columns = {
        name: _numbers(_get(metrics, name, where), f"{where}: {name}", **allowed)
        for name, allowed in ranges.items()
        if name in metrics or name not in (*KEPT, *MEASURES)
    }
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1 or not lengths["sequence_rank"]:
        lengths = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ResultsError(f"{where}: test_metrics: lengths {lengths}; allowed: one length, 1 or more")
    return columns


def _sets(stored: dict, path: Path) -> np.ndarray:
    sets = [_array(sequences, f"{path}: sequences") for sequences in _get(stored, "sequences", path)]
    if not sets or any(each.ndim != 2 or each.shape != sets[0].shape for each in sets):
        raise ResultsError(f"{path}: sequences: {[each.shape for each in sets]}; allowed: arrays (K, N) of one shape")
    values = set(np.unique(sets))
    if not (values <= {0, 1} or values <= {-1, 1}):
        raise ResultsError(f"{path}: sequences: values other than bits; allowed: 0 and 1, or -1 and 1")
    bits = (np.stack(sets) > 0).astype(np.uint8)
    for number, sequences in enumerate(bits):
        _, first, which = np.unique(sequences, axis=0, return_index=True, return_inverse=True)
        again = np.flatnonzero(first[which] != np.arange(len(sequences)))
        if len(again):
            equal = f"{first[which][again[0]]} and {again[0]} of set {number} are equal"
            raise ResultsError(f"{path}: sequences: {equal}; allowed: distinct ones in a set")
    return bits


def _numbers(values, where: str, high: float = np.inf, whole: bool = False, gaps: bool = False, note: str = ""):
    """Numbers from 0 to ``high`` as int64 (``whole``) or float64, NaN with ``gaps``; an error names the first other."""
    array = _array(values, where)
    is_number = array.dtype.kind in "iuf"
    numbers = array.astype(np.float64) if is_number else np.empty(0)
    wrong = ~((numbers >= 0) & (numbers <= min(high, LARGEST)))
    if whole:
        wrong |= numbers != np.floor(numbers)
    if gaps:
        wrong &= ~np.isnan(numbers)
    if not is_number or wrong.any():
        kind, end = "whole numbers" if whole else "numbers", "on" if high == np.inf else f"to {high}"
        found = array[wrong].flat[0] if is_number else array.dtype.type.__name__
        raise ResultsError(f"{where}: {found}; allowed: {kind} from 0 {end}{note}")
    return array.astype(np.int64 if whole else np.float64)


def _array(values, where: str) -> np.ndarray:
    """An array; an error if it repeats numbers: an expanded tensor of a small file may fill any memory."""
    array = np.asarray(values)
    own = array.itemsize + sum((n - 1) * abs(step) for n, step in zip(array.shape, array.strides, strict=True))
    if array.nbytes > own:
        raise ResultsError(f"{where}: {array.shape}, of which the file has {own} bytes; allowed: all of its numbers")
    return array


def _get(mapping, key: str, path: Path | str):
    if not isinstance(mapping, dict) or key not in mapping:
        raise ResultsError(f"{path}: {key}: missing")
    return mapping[key]


def sequences_of(path: Path) -> Path:
    """The second file of the pair whose first is ``path``."""
    return path.with_name(path.stem + SEQUENCES)
