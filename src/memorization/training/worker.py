"""What torchrun starts: a part of a training, in a process that ends when torchrun does, from its first moment on.

``python -m memorization.training.worker TASK``, the task of ``distributed.take_part`` as JSON, with torchrun's process
id in ``MEMORIZATION_TORCHRUN``. It imports nothing that takes time before: torch takes seconds, in which torchrun may
be killed.
"""

import ctypes
import json
import os
import signal
import sys


def end_with(parent: int) -> None:
    """End this process as soon as its parent is gone, which has this process id; now if it is gone already.

    Elsewhere than on Linux, it ends only if the parent is gone already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    end_with(int(os.environ["MEMORIZATION_TORCHRUN"]))
    from memorization.training.distributed import take_part

    take_part(json.loads(sys.argv[1]))
