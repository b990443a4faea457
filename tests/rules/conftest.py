"""Runs one rule of the real workflow, in this process, in a folder of its own."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from snakemake.api import SnakemakeApi
from snakemake.settings.enums import Quietness
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run_rule(tmp_path):
    """``run_rule(rule, target, inputs={path: file})`` makes ``target`` by ``rule`` alone, at smoke scale."""

    def run(
        rule: str, target: str, inputs: Mapping[str, Path] | None = None, config: dict | None = None, cores: int = 1
    ) -> Path:
        for path, source in (inputs or {}).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, tmp_path / path)
        with SnakemakeApi(OutputSettings(quiet={Quietness.ALL}, show_failed_logs=True)) as api:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=cores),
                config_settings=ConfigSettings(configfiles=[ROOT / "config/smoke.yaml"], config=config or {}),
                snakefile=ROOT / "Snakefile",
                workdir=tmp_path,
            )
            dag = DAGSettings(targets={target}, allowed_rules={rule}, forcetargets=True)
            workflow.dag(dag).execute_workflow()
        return tmp_path / target

    return run
