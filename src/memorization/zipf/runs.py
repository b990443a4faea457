"""A condition's training with a seed, in the process of its job or in several on the GPUs of a machine."""

import json
import math
import sys
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from memorization.data.sequences import Batches, read_sets
from memorization.random_sequences.training import sizes, train
from memorization.training.checkpoints import Unfinished, read_tensors
from memorization.training.devices import compute_deterministically
from memorization.training.distributed import destroy_process_group, init_process_group, launch
from memorization.zipf.training import Transformer


def train_run(**arguments) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    """``train_here`` with the same arguments, in as many processes as the condition has ``gpus``.

    Where these are several, they carry the checkpoint of the unfinished job to the last step, and this process goes
    on from it as from any other, with no step left to make.
    """
    if arguments["condition"]["gpus"] > 1:
        launch("memorization.zipf.runs", arguments, arguments["condition"]["gpus"])
    return train_here(**arguments)


def train_here(
    condition: dict,
    sequences: Sequence[str],
    begin: Sequence[str],
    seed: int,
    step: int,
    evaluation: dict,
    unfinished: str,
    progress: dict,
    device: str,
    keep_last: bool = False,
) -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    """Train a condition to a step in this process, alone or as one of several.

    Parameters
    ----------
    condition : settings of ``Transformer``; batch_size, dataset, gpus
    sequences : files of the sets, in their order
    begin : the file of the checkpoint that a switch goes on from; empty from the beginning
    seed, step : of the run, and where its training ends
    evaluation, keep_last : as in ``random_sequences.training.train``
    unfinished : the path of the job's checkpoint
    progress : ``report_seconds``, ``checkpoint_seconds``
    device : ``cpu`` or ``cuda``

    Returns
    -------
    As ``random_sequences.training.train``, with the model's sizes among the arrays.
    """
    sets, probabilities = read_sets(sequences)
    learner = Transformer(condition, sets.shape[2], seed, device)
    state, trajectory = train(
        learner,
        sets,
        Batches(probabilities, condition["batch_size"], condition["dataset"], seed),
        last=step,
        evaluation=evaluation,
        unfinished=Unfinished(unfinished, progress["checkpoint_seconds"]),
        report_seconds=progress["report_seconds"],
        begin=next(map(read_tensors, begin), None),
        keep_last=keep_last,
    )
    return state, trajectory | sizes(learner.model)


def main(arguments: dict) -> None:
    """Be one of the processes of a training: all of them compute what is recorded, the first one writes it."""
    compute_deterministically(threads=1)
    first = init_process_group(arguments["device"]) == 0
    if not first:
        arguments["progress"] |= {"checkpoint_seconds": math.inf}
    train_here(**arguments, keep_last=first)
    destroy_process_group()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
