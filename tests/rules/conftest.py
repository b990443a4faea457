"""Runs one rule of the real workflow, in this process, in a folder of its own."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from in_process import in_this_process
from snakemake.api import SnakemakeApi
from snakemake.script import PythonScript
from snakemake.settings.enums import Quietness
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

from memorization.files import write_arrays, write_table
from memorization.plan import VARIABLE
from memorization.training.checkpoints import write_tensors

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run_rule(tmp_path, monkeypatch):
    """``run_rule(rule, target, inputs={path: file})`` makes ``target`` by ``rule`` alone, at smoke scale.

    Its script runs in this process, on the CPU, which saves seconds: ``as_in_a_run=True`` starts a process for it, as
    every run does. ``checkout`` is a path of the workflow.
    """
    monkeypatch.setenv(VARIABLE, "")  # so that what a run puts there is gone after the test

    def run(
        rule: str,
        target: str,
        inputs: Mapping[str, Path] | None = None,
        config: dict | None = None,
        cores: int = 1,
        as_in_a_run: bool = False,
        checkout: Path = ROOT,
    ) -> Path:
        for path, source in (inputs or {}).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, tmp_path / path)
        with (
            monkeypatch.context() as patch,
            SnakemakeApi(OutputSettings(quiet={Quietness.ALL}, show_failed_logs=True)) as api,
        ):
            if not as_in_a_run:
                patch.setattr(PythonScript, "execute_script", in_this_process)
                patch.setattr(sys, "path", sys.path.copy())  # Snakemake puts its own before a script
                config = {"device": "cpu"} | (config or {})  # a slot on a GPU would be held until all tests are done
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=cores),
                config_settings=ConfigSettings(configfiles=[checkout / "config/smoke.yaml"], config=config or {}),
                snakefile=checkout / "Snakefile",
                workdir=tmp_path,
            )
            dag = DAGSettings(targets={target}, allowed_rules={rule}, forcetargets=True)
            workflow.dag(dag).execute_workflow()
        return tmp_path / target

    return run


@pytest.fixture
def draw(run_rule, tmp_path):
    """``draw(rule, figure, inputs)`` makes a figure in its three formats by ``rule`` alone; the text of its svg."""

    def run(rule: str, figure: str, inputs: Mapping[str, Path], **options) -> str:
        path = tmp_path / "results/figures" / figure
        svg = run_rule(rule, f"results/figures/{figure}.svg", inputs, **options).read_text()
        assert svg.startswith("<?xml")
        assert rule in svg  # it says what made it
        assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        return svg

    return run


@pytest.fixture
def given(tmp_path):
    """``given(path, content)`` -> {path: file} for ``run_rule``; content is a table, or arrays or tensors by name."""

    def write(path: str, content) -> dict[str, Path]:
        file = tmp_path / "given" / path.replace("/", "_")
        file.parent.mkdir(exist_ok=True)
        writer = {".parquet": write_table, ".npz": write_arrays, ".safetensors": write_tensors}[file.suffix]
        writer(str(file), content, {})
        return {path: file}

    return write
