"""Runs Snakemake on this checkout and on copies of it: in this process, forked, or by the command."""

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from snakemake.api import SnakemakeApi
from snakemake.settings.enums import Quietness
from snakemake.settings.enums import RerunTrigger as Trigger
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

ROOT = Path(__file__).parents[1]
SMOKE = ROOT / "config/smoke.yaml"
TRIGGERS = frozenset({Trigger.MTIME, Trigger.INPUT, Trigger.PARAMS, Trigger.SOFTWARE_ENV})  # profiles/default
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
    It waits at its end for one second, not for the five of profiles/default.
    """
    arguments = "--max-jobs-per-timespan", "100/1s", *arguments
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
    """This process's, without the package's path and without a plan: a checkout must find its own."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MEMORIZATION_PLAN")}


def jobs(
    folder: Path, *overlays: Path, targets: Iterable[str] = ("all",), config: dict | None = None, stale: bool = False
) -> list:
    """The jobs that this checkout has for targets in a folder, in this process; with ``stale``, those to run.

    Raises
    ------
    WorkflowError
        If the configuration or a target is refused.
    """
    before = Path.cwd()
    try:
        with SnakemakeApi(OutputSettings(quiet={Quietness.ALL}, dryrun=True)) as api:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=1),
                config_settings=ConfigSettings(configfiles=list(overlays), config=config or {}),
                snakefile=ROOT / "Snakefile",
                workdir=folder,
            )
            settings = DAGSettings(targets=set(targets), rerun_triggers=TRIGGERS, max_checksum_file_size=10**9)
            workflow.dag(settings).execute_workflow(executor="dryrun")
            dag = workflow._workflow.dag
            return list(dag.needrun_jobs(exclude_finished=False) if stale else dag.jobs)
    finally:
        os.chdir(before)


def stale(folder: Path, *overlays: Path, targets: Iterable[str] = ("all",), config: dict | None = None) -> Counter:
    """How many jobs of each rule would run; targets themselves are not counted."""
    rules = (job.rule for job in jobs(folder, *overlays, targets=targets, config=config, stale=True))
    return Counter(rule.name for rule in rules if not rule.norun)


@cache
def smoke_jobs() -> list:
    """All jobs of the smoke study."""
    with tempfile.TemporaryDirectory() as folder:
        found = [job for job in jobs(Path(folder), SMOKE) if not job.rule.norun]
    for job in found:  # now: functions of rules look at names that the next workflow of this process has otherwise
        _ = job.params, job.resources, job.log, job.benchmark, job.input, job.output
    return found


def smoke_job(ending: str, family: str = "") -> object:
    """The first job of the smoke study whose rule's name begins with a family's and ends so, such as ``_train``."""
    found = [job for job in smoke_jobs() if job.rule.name.endswith(ending) and job.rule.name.startswith(family)]
    return min(found, key=lambda job: (job.rule.name, *map(str, job.output)))


class Study:
    """A checkout and the folder of a smoke run made from it by the real command line."""

    def __init__(self, root: Path, folder: Path):
        self.root, self.folder = root, folder

    def arguments(self, *targets: str, overlays: tuple[str, ...] = ()) -> list[str]:
        return [*targets, "--configfile", "config/smoke.yaml", *overlays, "--directory", str(self.folder)]
