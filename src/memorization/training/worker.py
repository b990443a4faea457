"""What torchrun starts: a module, in a process that ends when torchrun does, from its first moment on.

``python -m memorization.training.worker MODULE JSON``, with torchrun's process id in ``MEMORIZATION_TORCHRUN``. It
imports nothing that takes time: torch takes seconds, in which torchrun may be killed.
"""

import ctypes
import os
import runpy
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
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
