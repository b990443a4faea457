"""Rules of the real workflow whose scripts run in this process, which saves seconds a job."""

import runpy
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from command_line import ROOT, SMOKE
from snakemake.api import SnakemakeApi
from snakemake.benchmark import benchmarked
from snakemake.script import PythonScript
from snakemake.settings.enums import Quietness
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

from memorization.plan import VARIABLE


def in_this_process(script: PythonScript, path: str, edit: bool = False) -> None:
    """In the place of ``PythonScript.execute_script``: what Snakemake has written to ``path`` is run here."""
    before = sys.path.copy()  # to which each script adds all that is there
    try:
        with benchmarked(benchmark_record=script.bench_record):
            runpy.run_path(path, run_name="__main__")
    except Exception as error:
        raise subprocess.CalledProcessError(1, path) from error
    finally:
        sys.path[:] = before


def make(folder: Path, overlays: Sequence[Path], targets: Iterable[str]) -> None:
    """Make targets and what they need in a folder, at smoke scale with overlays."""
    with pytest.MonkeyPatch.context() as patch, SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        patch.setenv(VARIABLE, "")  # so that what a run puts there is gone after the test
        patch.setattr(PythonScript, "execute_script", in_this_process)
        patch.setattr(sys, "path", sys.path.copy())  # Snakemake puts its own before a script
        patch.chdir(folder)
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[SMOKE, *overlays], config={"device": "cpu"}),
            snakefile=ROOT / "Snakefile",
            workdir=folder,
        )
        workflow.dag(DAGSettings(targets=set(targets))).execute_workflow()
