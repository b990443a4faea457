"""Runs the real command line on copies of this checkout."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def copy_of_checkout(to: Path) -> Path:
    """What git tracks and what it does not ignore, as it stands: what a clone of the next commit would be."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, to / name)
    return to


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", *arguments]


def snakemake(*arguments: str, root: Path, check: bool = True) -> str:
    """What ``snakemake ARGUMENTS`` prints in a checkout; with ``check`` it must end well."""
    result = subprocess.run(
        command(*arguments),
        cwd=root,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert not check or result.returncode == 0, result.stdout
    return result.stdout if check else f"{result.stdout}\nexit {result.returncode}"


def ended(process: subprocess.Popen, seconds: float = 240) -> str:
    """What a process prints until it ends, and its exit status; it is killed if it has not by then."""
    try:
        printed, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        printed, _ = process.communicate()
    return f"{printed}\nexit {process.returncode}"


def environment() -> dict[str, str]:
    """This process's, without the package's path: a checkout must find its own."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def planned(*arguments: str, root: Path) -> dict[str, int]:
    """How many jobs of each rule ``snakemake -n ARGUMENTS`` would run."""
    stats = re.findall(r"^(\w+)\s+(\d+)$", snakemake("-n", *arguments, root=root), re.MULTILINE)
    return {rule: int(count) for rule, count in stats if rule != "total"}


class Study:
    """A checkout and the folder of a smoke run made from it by the real command line."""

    def __init__(self, root: Path, folder: Path):
        self.root, self.folder = root, folder

    def arguments(self, *targets: str, overlays: tuple[str, ...] = ()) -> list[str]:
        return [*targets, "--configfile", "config/smoke.yaml", *overlays, "--directory", str(self.folder)]

    def planned(self, *overlays: str, targets: tuple[str, ...] = ("all",), root: Path | None = None) -> dict[str, int]:
        """How many jobs of each rule are stale, targets themselves not counted."""
        jobs = planned(*self.arguments(*targets, overlays=overlays), root=root or self.root)
        return {rule: count for rule, count in jobs.items() if rule not in ("all", *targets)}
