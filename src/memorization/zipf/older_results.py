"""Results in the form of the older research scripts: a pair of pickles a run.

``<name>.pkl`` is a dict with ``args``, the options of the run, and ``logs``, a list of a dict an evaluation: ``epoch``;
``num_apppearances`` (sic) (K,), how often each sequence of the present set was in a batch; ``appearances``, the ranks
of each batch of the epoch; ``test_metrics`` with ``sequence_rank``, ``logsoftmaxloss`` (nats per bit)
and ``accuracy``. ``<name>_sequences.pkl`` is a dict with ``sequences``, a list of (K, N) bits, one a set, and
``switch_start_iter``, the epoch at which each began.
"""

import pickle
from collections.abc import Iterable
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd

from memorization.data.sequences import zipf_probabilities
from memorization.files import atomic_write
from memorization.pickles import RefusedPickle, read_pickle
from memorization.random_sequences.measures import by_sequence
from memorization.zipf.conditions import ARMS

SEQUENCES = "_sequences.pkl"
KEPT = ("set", "exposures", "last_exposure_step")  # what our exports tell besides, of each entry
MEASURES = ("suffix_loss", "suffix_accuracy")


class ResultsError(ValueError):
    """Results that cannot be read as the older scripts wrote them; its message names the file and what is missing."""


def pairs(folder: str | Path) -> list[Path]:
    """The files ``<name>.pkl`` that have a ``<name>_sequences.pkl`` beside them, in ``folder`` and below it."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ResultsError(f"{folder}: no such folder")
    found = [path for path in sorted(folder.rglob("*.pkl")) if _sequences_of(path).is_file()]
    if not found:
        raise ResultsError(f"{folder}: no <name>.pkl with a <name>{SEQUENCES} beside it")
    return found


def read_results(path: Path, condition: str) -> pd.DataFrame:
    """The rows of ``zipf_by_sequence`` that a pair of pickles tells.

    The older scripts recorded a subsample and numbered it 0, 1, 2 …: numbers without gaps that are fewer than the
    sequences are true ranks divided by the stride. They did not predict the first bit: loss and accuracy are means
    over the others, and so are floor, ceiling and length here. In what ``write_results`` has written they are of all.
    What a pair does not tell is NaN (measures of the suffix) or -1 (the last exposure).

    Parameters
    ----------
    path : ``<name>.pkl``
    condition : of the rows, where ``args`` does not name one

    Raises
    ------
    ResultsError
        If a key is missing or arrays do not fit each other.
    RefusedPickle
        If a pickle holds more than arrays and plain values.
    """
    record, stored = read_pickle(path), read_pickle(_sequences_of(path))
    try:
        return _read(record, stored, path, condition)
    except (ResultsError, RefusedPickle):
        raise
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        why = " ".join(str(error).split())
        raise ResultsError(f"{path}, or its {SEQUENCES}: not as the older scripts wrote it ({why})") from error


def _read(record, stored, path: Path, condition: str) -> pd.DataFrame:
    sets = _sets(stored, _sequences_of(path))
    starts = [int(np.ravel(np.asarray(start))[0]) for start in _get(stored, "switch_start_iter", _sequences_of(path))]
    if len(starts) != len(sets) or starts != sorted(starts) or starts[0] != 0:
        raise ResultsError(
            f"{_sequences_of(path)}: switch_start_iter: {starts}; allowed: a rising start for each of the {len(sets)} "
            f"sets, the first 0"
        )
    args, logs = _get(record, "args", path), _get(record, "logs", path)
    args = args if isinstance(args, dict) else vars(args)
    uniform = args.get("sequence_sampling_distribution") == "uniform"
    exponent = args.get("exponent", 0.0 if uniform else 1.0)
    try:
        probabilities = zipf_probabilities(sets.shape[1], exponent)
    except (TypeError, ValueError):
        raise ResultsError(f"{path}: args: exponent: {exponent}; allowed: a number from 0 on") from None
    run = {
        "condition": args.get("condition", condition),
        "model": args["model"] if args.get("model") in ARMS else "decoder",
        "seed": int(args.get("seed") or 0),
    }
    tables = [_rows(log, sets, starts, probabilities, run, path) for log in logs if log.get("test_metrics")]
    if not tables:
        raise ResultsError(f"{path}: logs: no entry has test_metrics")
    return pd.concat(tables, ignore_index=True)


def write_results(path: Path, table: pd.DataFrame, sets: np.ndarray, starts: Iterable[int], exponent: float) -> None:
    """A run as a pair of pickles, from which ``read_results`` makes the same table again; an epoch is a step.

    Parameters
    ----------
    path : ``<name>.pkl``
    table : rows of ``zipf_by_sequence`` of one run
    sets : (sets, count, length) of 0 and 1
    starts : the step at which each set began
    exponent : of the frequencies; 0 is called uniform, anything else zipf, for the older scripts, which know no other
    """
    run = table.iloc[0]
    args = {"condition": run["condition"], "model": run["model"], "seed": int(run["seed"])}
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
    for target, content in ((path, {"args": args, "logs": logs}), (_sequences_of(path), stored)):
        with atomic_write(target) as part, open(part, "wb") as file:
            pickle.dump(content, file)


def _rows(log: dict, sets: np.ndarray, starts: list[int], probabilities: np.ndarray, run: dict, path: Path):
    metrics, epoch = log["test_metrics"], int(_get(log, "epoch", path))
    columns = {name: np.asarray(values) for name, values in metrics.items() if np.ndim(values) == 1}
    rank = _get(columns, "sequence_rank", path).astype(np.int64)
    loss, accuracy = (_get(columns, name, path).astype(np.float64) for name in ("logsoftmaxloss", "accuracy"))
    if not len(rank) == len(loss) == len(accuracy) or not set(rank) <= set(range(sets.shape[1])):
        raise ResultsError(f"{path}: epoch {epoch}: test_metrics do not fit each other or the sequences")
    present = sum(start <= epoch for start in starts) - 1
    ours = "set" in columns
    if not ours:
        evaluated = (rank > 0) | (np.arange(len(rank)) == 0)  # the others are zeros that were never filled
        rank, loss, accuracy = rank[evaluated], loss[evaluated], accuracy[evaluated]
        if (rank == np.arange(len(rank))).all():
            rank = rank * next(stride for stride in count(1) if -(-sets.shape[1] // stride) <= len(rank))
    appearances = np.asarray(log.get("num_apppearances", np.full(sets.shape[1], -1)))
    batches = max(1, len(log.get("appearances", ())))
    entries = {
        "step": np.full(len(rank), epoch * batches),
        "rank": rank,
        "set": columns.get("set", np.full(len(rank), present)),
        "exposures": columns.get("exposures", appearances[rank].astype(np.int64)),
        "last_exposure_step": columns.get("last_exposure_step", np.full(len(rank), -1)),
        "nll": np.repeat(loss[:, None], sets.shape[2], axis=1),
    }
    table = by_sequence(entries, sets[: present + 1], probabilities, run, first=0 if ours else 1)
    told = {name: columns.get(name, np.full(len(rank), np.nan)) for name in MEASURES}
    start = np.array(starts)[table["set"]] * batches
    return table.assign(loss=loss, accuracy=accuracy, **told, switch_start_step=start)


def _sets(stored: dict, path: Path) -> np.ndarray:
    sets = [np.asarray(sequences) for sequences in _get(stored, "sequences", path)]
    if not sets or any(each.ndim != 2 or each.shape != sets[0].shape for each in sets):
        raise ResultsError(f"{path}: sequences: {[each.shape for each in sets]}; allowed: arrays (K, N) of one shape")
    bits = np.stack(sets)
    if not set(np.unique(bits)) <= {-1, 0, 1}:
        raise ResultsError(f"{path}: sequences: values other than bits; allowed: 0 and 1, or -1 and 1")
    return (bits > 0).astype(np.uint8)


def _get(mapping, key: str, path: Path):
    if not isinstance(mapping, dict) or key not in mapping:
        raise ResultsError(f"{path}: {key}: missing")
    return mapping[key]


def _sequences_of(path: Path) -> Path:
    return path.with_name(path.stem + SEQUENCES)
