"""What Snakemake itself takes, and whether a made study's run left its cores idle: a table for docs/performance.md.

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
REPEATS = 5
HEAD = f"""What Snakemake takes, with its start: medians of {REPEATS} dry runs, in brackets the lowest and the highest.
And how much of the time of a run of the default study its cores had a job: by wall seconds, whatever the job did.

"""
STAMP = re.compile(r"^\[(\w{3} \w{3} +\d+ \d{2}:\d{2}:\d{2} \d{4})\]$", re.MULTILINE)


def seconds(*arguments: str) -> list[float]:
    """The seconds that each of a few dry runs takes, its process included; from the lowest."""
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "all", *arguments]
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return sorted(times)


def planned(what: str, most: float, *arguments: str) -> tuple[str, str, str, bool]:
    """A row of dry runs that should take at most so many seconds; and whether they do."""
    times = seconds(*arguments)
    median = statistics.median(times)
    return what, f"{median:.1f} s [{times[0]:.1f}, {times[-1]:.1f}]", f"at most {most} s", median <= most


def planning_table() -> tuple[str, list[str]]:
    """Rows of planning, and of the longest run in the study's folder; and what in them is not as wanted."""
    with tempfile.TemporaryDirectory() as empty:
        rows = [
            planned("everything to do, planned", 4, "--directory", empty),
            planned("`config/paper.yaml`, planned", 10, "--directory", empty, "--configfile", "config/paper.yaml"),
        ]
    if (STUDY / "results/tables").is_dir():
        rows.append(planned("nothing to do, everything made", 4, "--directory", str(STUDY)))
        jobs, cores, share = longest_run(STUDY)
        what = f"{jobs} jobs of a run on {cores} cores: share of the run's time in which its cores had a job"
        rows.append((what, f"{share:.0%}", "at least 85%", share >= 0.85))
    cells = [(what, measured, wanted if met else f"{wanted}, **not met**") for what, measured, wanted, met in rows]
    lines = [f"| {' | '.join(row)} |" for row in [("what", "measured", "wanted"), ("---",) * 3, *cells]]
    return HEAD + "\n".join(lines), [what for what, *_, met in rows if not met]


def longest_run(study: Path) -> tuple[int, int, float]:
    """Of the longest run of a study: its jobs with a timing, its cores, the share of its time in which these had a job.

    By wall seconds: Snakemake samples CPU seconds every 30 s, which is too seldom for short jobs.
    """
    log = max((study / ".snakemake/log").glob("*.log"), key=lambda path: path.stat().st_size)
    text = log.read_text(errors="replace")
    start = datetime.strptime(re.search(r"Date: (\S+ \S+)", text)[1], "%Y-%m-%d %H:%M:%S").timestamp()
    end = max(datetime.strptime(stamp, "%a %b %d %H:%M:%S %Y").timestamp() for stamp in STAMP.findall(text))
    cores, busy = int(re.search(r"Provided cores: (\d+)", text)[1]), []
    for path in (study / "logs").rglob("*.timing.tsv"):
        if start <= path.stat().st_mtime <= end + 1:
            busy.append(float(path.read_text().splitlines()[1].split("\t")[0]))
    return len(busy), cores, sum(busy) / (cores * (end - start))
