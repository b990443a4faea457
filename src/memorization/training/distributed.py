"""One training in several processes, each on a GPU of its own: torchrun starts them, DDP averages their gradients.

``train_in`` is for the process of the job, all else for the processes that it starts; where a training has but one
process, ``shard`` is all of a batch and nothing is averaged.
"""

import importlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from memorization.training import worker
from memorization.training.devices import compute_deterministically
from memorization.training.fit import TrainingError
from memorization.training.slots import held

TIMEOUT = timedelta(hours=1)  # of a process that waits for another, which may be writing or evaluating
TORCHRUN = """
import os
from torch.distributed.run import main
os.environ["MEMORIZATION_TORCHRUN"] = str(os.getpid())
main()
"""


def train_in(gpus: int, train: Callable, **arguments):
    """``train(**arguments)`` in this process, or, of several ``gpus``, in as many processes.

    Several carry the checkpoint of the unfinished job to the last step, and this process goes on from it as from any
    other, with no step left to make.

    Parameters
    ----------
    gpus : how many
    train : a function of a module; it takes ``device``, ``progress`` (``checkpoint_seconds`` of it), ``keep_last`` as
        in ``fit.fit``, and whatever else JSON can hold; its learner calls its model by ``data_parallel``, computes
        ``shard`` of a batch, and sums what it sums by ``all_reduce_sum``

    Returns
    -------
    What ``train`` returns here.
    """
    if gpus > 1:
        launch({"module": train.__module__, "function": train.__qualname__, "arguments": arguments}, gpus)
    return train(**arguments)


def launch(task: dict, world_size: int) -> None:
    """Do a task (``take_part``) in several processes of this machine and wait for all of them.

    They print where this process prints. torchrun, which starts them, holds this process's GPU slots too and ends with
    it; they hold none, but end with torchrun.

    Raises
    ------
    TrainingError
        If one of them failed; the others are stopped.
    """
    torchrun = [sys.executable, "-c", TORCHRUN, "--standalone", "--nproc-per-node", str(world_size)]
    ended = subprocess.run(
        [*torchrun, "-m", worker.__name__, json.dumps(task)],
        env={"TORCH_CPP_LOG_LEVEL": "ERROR"} | os.environ,  # or DDP warns of what ``data_parallel`` wants
        stdout=sys.stdout,
        stderr=sys.stdout,
        pass_fds=held(),
        preexec_fn=partial(worker.end_with, os.getpid()),
        check=False,
    )
    if ended.returncode:
        raise TrainingError(f"one of {world_size} processes failed; above stands why")


def take_part(task: dict) -> None:
    """Be one of the processes of a training: all of them compute what is recorded, the first one writes it."""
    train = getattr(importlib.import_module(task["module"]), task["function"])
    arguments = task["arguments"]
    compute_deterministically(threads=1)
    first = init_process_group(arguments["device"]) == 0
    if not first:
        arguments["progress"] |= {"checkpoint_seconds": math.inf}
    train(**arguments, keep_last=first)
    destroy_process_group()


def init_process_group(device: str) -> int:
    """Become one of the processes of a training; its rank, of which 0 writes and prints.

    Parameters
    ----------
    device : ``cuda``, of which the process takes the GPU of its rank, or ``cpu``
    """
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=TIMEOUT)
    if dist.get_rank():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    return dist.get_rank()


def destroy_process_group() -> None:
    """Leave the other processes, when all of them are done."""
    dist.barrier()
    dist.destroy_process_group()


def data_parallel(model: nn.Module) -> nn.Module:
    """The model as training calls it: its gradients are means over the processes."""
    if not dist.is_initialized():
        return model
    # It looks for unused parameters although there are none: otherwise its first step would sum gradients in another
    # order than later ones, and a training that goes on in the middle end in other bytes than an unbroken one.
    return DistributedDataParallel(model, find_unused_parameters=True)


def shard(*arrays):
    """This process's rows of arrays of equal length: every world-size-th; there may be none."""
    mine = slice(dist.get_rank(), None, dist.get_world_size()) if dist.is_initialized() else slice(None)
    return [array[mine] for array in arrays]


def world_size() -> int:
    """How many processes this training has."""
    return dist.get_world_size() if dist.is_initialized() else 1


def all_reduce_sum(value: Tensor) -> Tensor:
    """The sum of a tensor over the processes."""
    if dist.is_initialized():
        dist.all_reduce(value)
    return value
