"""Processes that tests start, wait for and kill."""

import time
from collections.abc import Callable
from pathlib import Path


def below(pid: int) -> list[int]:
    """The process ids of all that a process has started, and of what these have."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [*map(int, children), *(each for child in children for each in below(int(child)))]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def until(true: Callable[[], object], seconds: float = 120, otherwise: Callable[[], str] = str) -> None:
    """Wait until ``true()``; past ``seconds``, fail with what ``otherwise()`` says."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {otherwise()}"
        time.sleep(0.05)
