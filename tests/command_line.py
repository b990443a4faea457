"""Runs the real command line on copies of this checkout."""

import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["snakemake.cli"])


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
    """What ``snakemake ARGUMENTS`` prints in a checkout; with ``check`` it must end well.

    Its process is forked from one that has imported Snakemake and nothing else, which takes half of a dry run's time.
    """
    with tempfile.NamedTemporaryFile(prefix="snakemake_", suffix=".txt") as printed:
        process = FORKED.Process(target=_main, args=(arguments, root, environment(), printed.name))
        process.start()
        process.join()
        text = printed.read().decode()
    assert not check or process.exitcode == 0, text
    return text if check else f"{text}\nexit {process.exitcode}"


def _main(arguments: tuple[str, ...], root: Path, environment: dict[str, str], printed: str) -> None:
    with open(printed, "wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.chdir(root)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = [str(root), *(path for path in sys.path if not Path(path).is_relative_to(ROOT / "src"))]
    sys.argv = ["snakemake", *arguments]
    from snakemake.cli import main

    main()


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
