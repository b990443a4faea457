"""Ratios against peers and against the plain way, medians of runs taken in turns; writes docs/performance.md.

Each row is measured in one process on one thread, so that its two sides see the same machine.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import date

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from modules import modules
from page import machine, write
from planning import planning_table

ROWS = [row for module in modules().values() for row in module.ROWS]
CURVES = [curve for module in modules().values() for curve in getattr(module, "CURVES", [])]
REPEATS = 7
HEAD = """# Performance

Written by `make bench`: ratios of times in one process on one thread, medians of {repeats} runs of either side,
taken in turns. A ratio is their time over ours: above 1x ours is faster. Measured on {date} with Python {python} on
{machine}. In brackets: the lowest and the highest ratio.

| what | against | ratio | at least | ours (ms) | theirs (ms) |
|---|---|---|---|---|---|
"""


def seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def milliseconds(run: Callable[[], None]) -> float:
    """The median of a few runs."""
    run()
    return statistics.median(seconds(run) for _ in range(REPEATS)) * 1000


def main() -> None:
    lines, failed = [], []
    for what, against, least, make in ROWS:
        ours, theirs = make()
        seconds(ours), seconds(theirs)  # warm up
        times = [(seconds(ours), seconds(theirs)) for _ in range(REPEATS)]
        mine, peer = (statistics.median(side) * 1000 for side in zip(*times, strict=True))
        ratios = sorted(theirs_took / ours_took for ours_took, theirs_took in times)
        spread = f"{peer / mine:.2f}x [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
        wanted = f"{least}x" if peer / mine >= least else f"{least}x, **not met**"
        lines.append(f"| {what} | {against} | {spread} | {wanted} | {mine:.1f} | {peer:.1f} |")
        print(lines[-1], flush=True)
        if peer / mine < least:
            failed.append(what)
    head = HEAD.format(repeats=REPEATS, date=date.today(), python=platform.python_version(), machine=machine())
    curves = [curve(milliseconds) for curve in CURVES]
    planning, missed = planning_table()
    write(ratios="\n\n".join([head + "\n".join(lines), *curves, planning]))
    if failed or missed:
        raise SystemExit(f"not as wanted: {', '.join(failed + missed)}")


if __name__ == "__main__":
    main()
