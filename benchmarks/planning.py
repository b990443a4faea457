"""What Snakemake itself takes, and how well a made study has used its cores: a table for docs/performance.md.

``STUDY`` in the environment names the folder of a made default study; this checkout by default.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
STUDY = Path(os.environ.get("STUDY", ROOT))
REPEATS = 3
STAMP = re.compile(r"^\[(\w{3} \w{3} +\d+ \d{2}:\d{2}:\d{2} \d{4})\]$", re.MULTILINE)


def seconds(*arguments: str) -> float:
    """The median of the seconds that a dry run takes, its process included."""
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "all", *arguments]
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def planning_table() -> str:
    """Rows of planning, and of the longest run in the study's folder."""
    with tempfile.TemporaryDirectory() as empty:
        rows = [("everything to do, planned", f"{seconds('--directory', empty):.1f} s", "")]
        paper = seconds("--directory", empty, "--configfile", "config/paper.yaml")
        rows += [("`config/paper.yaml`, planned", f"{paper:.1f} s", "at most 10 s")]
    if (STUDY / "results/tables").is_dir():
        rows += [("nothing to do, everything made", f"{seconds('--directory', str(STUDY)):.1f} s", "at most 4 s")]
        rows += [
            (f"{jobs} jobs of a run on {cores} cores: share of the cores in use", f"{share:.0%}", "at least 85%")
            for jobs, cores, share in [longest_run(STUDY)]
        ]
    head = "What Snakemake takes, with its start; how much of its cores a run of the default study has used.\n\n"
    lines = [f"| {' | '.join(row)} |" for row in [("what", "measured", "wanted"), ("---",) * 3, *rows]]
    return head + "\n".join(lines)


def longest_run(study: Path) -> tuple[int, int, float]:
    """Of the longest run of a study: its jobs with a timing, its cores, the share of them that these jobs had."""
    log = max((study / ".snakemake/log").glob("*.log"), key=lambda path: path.stat().st_size)
    text = log.read_text(errors="replace")
    start = datetime.strptime(re.search(r"Date: (\S+ \S+)", text)[1], "%Y-%m-%d %H:%M:%S").timestamp()
    end = max(datetime.strptime(stamp, "%a %b %d %H:%M:%S %Y").timestamp() for stamp in STAMP.findall(text))
    cores, busy = int(re.search(r"Provided cores: (\d+)", text)[1]), []
    for path in (study / "logs").rglob("*.timing.tsv"):
        if start <= path.stat().st_mtime <= end + 1:
            busy.append(float(path.read_text().splitlines()[1].split("\t")[0]))
    return len(busy), cores, sum(busy) / (cores * (end - start))
