"""The rules of the house that a machine can check."""

import ast
import re
import subprocess
import sys

import pytest
import yaml
from command_line import ROOT, environment

SCRIPTS = sorted((ROOT / "workflow/scripts").rglob("*.py"))
RULES = sorted((ROOT / "rules").glob("*.smk"))
FAMILIES = [path.stem for path in RULES if path.stem != "common"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_a_shim(script):
    tree = ast.parse(script.read_text())
    assert len(script.read_text().splitlines()) <= 30
    assert ast.get_docstring(tree).startswith("Rule ")
    logic = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.Try)
    assert not [node for node in ast.walk(tree) if isinstance(node, logic)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_its_five_places(family):
    for place in (f"workflow/scripts/{family}", f"src/memorization/{family}", f"tests/{family}", f"docs/{family}.md"):
        assert (ROOT / place).exists(), place
    assert (ROOT / f"workflow/schemas/{family}.schema.yaml").exists()


def rules():
    text = "".join(path.read_text() for path in RULES)
    found = re.findall(r"^rule (\w+):\n((?:    .*\n|\n)+)", text, re.MULTILINE)
    return [pytest.param(name, body, id=name) for name, body in found if "script:" in body]


@pytest.mark.parametrize(("name", "body"), rules())
def test_a_rule_says_all_that_it_needs_and_has_a_test(name, body):
    for directive in ("output", "params", "log", "benchmark", "threads", "resources", "conda", "message"):
        assert re.search(rf"^    {directive}:", body, re.MULTILINE), directive
    assert "code=code_digest(" in body
    for resource in ("mem_mb=", "runtime="):
        assert resource in body
    tests = "".join(path.read_text() for path in (ROOT / "tests/rules").glob("test_*.py"))
    assert f'"{name}"' in tests
    environment_file = re.search(r'conda:\n\s+"\.\./(.*)"', body).group(1)
    assert (ROOT / environment_file).exists()


def test_a_script_stands_for_every_rule():
    named = set(re.findall(r'script:\n\s+"\.\./(.*)"', "".join(path.read_text() for path in RULES)))
    assert named == {str(path.relative_to(ROOT)) for path in SCRIPTS}


def test_no_key_stands_in_both_profiles():
    default, slurm = (
        yaml.safe_load((ROOT / path).read_text()) for path in ("profiles/default/profile.yaml", "slurm/profile.yaml")
    )
    assert not default.keys() & slurm.keys()
    assert slurm["executor"] == "slurm"


def in_a_new_process(code):
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


READ = """
import sys
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings
with SnakemakeApi(OutputSettings(dryrun=True)) as api:
    workflow = api.workflow(
        resource_settings=ResourceSettings(cores=4, resources={resources}),
        config_settings=ConfigSettings(config={config}),
        snakefile=Path("Snakefile"),
        workdir=Path({folder!r}),
    )
    workflow.dag(DAGSettings(targets={targets!r})).execute_workflow(executor="dryrun")
    {then}
"""


def test_reading_the_workflow_imports_no_torch(tmp_path):
    then = 'print("torch" in sys.modules, "memorization.zipf.conditions" in sys.modules)'
    code = READ.format(config={}, resources={}, folder=str(tmp_path), targets={"zipf"}, then=then)
    assert in_a_new_process(code).splitlines()[-1] == "False True"


@pytest.mark.parametrize(
    ("device", "limit", "gpus"),
    [("auto", {}, 0), ("auto", {"gpu": 4}, 2), ("cpu", {"gpu": 4}, 0), ("cuda", {}, 2), ("cuda", {"gpu": 4}, 2)],
)
def test_training_asks_for_its_gpus_where_it_must_have_them(tmp_path, device, limit, gpus):
    then = """
    dag = api._workflow_api._workflow.dag
    (job,) = [job for job in dag.jobs if job.rule.name == "zipf_train"]
    print(job.resources["gpu"], job.threads, dag.workflow.resource_scopes.is_local("gpu"))
"""
    config = {"device": device, "zipf": {"defaults": {"gpus": 2}}}
    target = "results/zipf/trajectories/small/seed0/step9.npz"
    code = READ.format(config=config, resources=limit, folder=str(tmp_path), targets={target}, then=then)
    assert in_a_new_process(code).splitlines()[-1] == f"{gpus} 2 True"


PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("results/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_links_to_is_there(page):
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / link).exists(), link
