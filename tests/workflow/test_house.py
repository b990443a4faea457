"""The rules of the house that a machine can check."""

import ast
import json
import re
import subprocess
import sys

import pytest
import yaml
from command_line import ROOT, SMOKE, environment, jobs, smoke_jobs
from importlinter.application.use_cases import lint_imports
from importlinter.configuration import configure

from memorization.families import FAMILIES

NAMES = [family.name for family in FAMILIES]
SCRIPTS = sorted((ROOT / "workflow/scripts").rglob("*.py"))
RULES = sorted((ROOT / "rules").glob("*.smk"))
TRACKED = subprocess.run(
    ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
).stdout.split()
# What is about all families: the list of them, the pages, what `all` and the overlays make, the main job.
ABOUT_ALL = re.compile(
    r"src/memorization/families\.py|docs/.*|[^/]*\.md|results/README\.md|CITATION\.cff|Makefile"
    r"|config/[a-z_]+\.yaml|config/README\.md|requirements\.lock"
)


@pytest.mark.parametrize("family", NAMES)
def test_a_family_s_name_stands_in_its_own_files_and_in_the_list_alone(family):
    """Its own are those whose path has its name, and no longer one that its name is part of.

    Files of such a longer name use the word for what is theirs: they may not name the family's modules, rules or files.
    """
    named = re.compile(rf"(?<![A-Za-z]){family}(?![A-Za-z])")
    longer = re.compile("|".join(name for name in NAMES if family in name and name != family) or "(?!)")
    places = r"memorization\.|(?:results|tables|figures|logs|scripts)/|rules[./]|(?:config|FILES|FAMILIES)\[[\"']"
    of_the_family = re.compile(rf"(?:{places}){family}(?![A-Za-z])")
    law = re.compile("[Zz]ipf_probabilities")  # of the law, not of a family
    found = []
    for path in TRACKED:
        text = (ROOT / path).read_bytes() if (ROOT / path).is_file() else b""
        if ABOUT_ALL.fullmatch(path) or path.startswith("config/families/") or b"\0" in text:
            continue
        forbidden = of_the_family if longer.search(path) else named
        own = family in path and forbidden is named
        if not own and forbidden.search(law.sub("", text.decode())):
            found.append(path)
    assert not found


@pytest.mark.parametrize("family", NAMES)
def test_a_family_has_its_places(family):
    for place in (
        f"src/memorization/{family}/conditions.py",
        f"workflow/scripts/{family}",
        f"config/families/{family}.yaml",
        f"workflow/schemas/{family}.schema.yaml",
        f"tests/{family}",
        f"docs/{family}.md",
    ):
        assert (ROOT / place).exists(), place


@pytest.mark.parametrize("path", sorted((ROOT / "config").rglob("*.yaml")), ids=lambda path: path.name)
def test_a_configuration_names_its_schema_for_editors(path):
    first = path.read_text().splitlines()[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert (path.parent / named[1]).is_file()
    assert path.parent.name != "families" or (path.parent / named[1]).name == f"{path.stem}.schema.yaml"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: f"{path.parent.name} {path.stem}")
def test_a_script_is_a_shim(script):
    tree = ast.parse(script.read_text())
    assert len(script.read_text().splitlines()) <= 35
    assert re.match("Rules? ", ast.get_docstring(tree))
    logic = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.Try)
    assert not [node for node in ast.walk(tree) if isinstance(node, logic)]


def rules():
    """Every rule that has a job in the smoke study."""
    return sorted({job.rule.name: job.rule for job in smoke_jobs()}.values(), key=lambda rule: rule.name)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_a_rule_says_all_that_it_needs_and_has_a_test(rule):
    assert rule.script
    assert rule.log
    assert rule.benchmark
    assert rule.message
    assert rule.conda_env
    assert {"mem_mb", "runtime"} <= rule.resources.keys()
    assert hasattr(rule.params, "code")
    tests = "".join(path.read_text() for path in (ROOT / "tests/rules").glob("test_*.py"))
    assert f'"{rule.name}"' in tests


def test_a_job_that_is_submitted_again_asks_for_more(tmp_path):
    for job in (job for job in jobs(tmp_path, SMOKE) if not job.rule.norun):
        first = dict(job.resources.items())
        job.attempt = 2
        job.reset_params_and_resources()
        try:
            assert job.resources.mem_mb == 2 * first["mem_mb"], job
            assert job.resources.runtime == 2 * first["runtime"], job
        finally:
            job.attempt = 1
            job.reset_params_and_resources()


def test_a_rule_has_a_job_in_the_smoke_study_or_is_a_target_that_a_page_names_and_every_script_has_a_rule():
    text = "".join(path.read_text() for path in RULES)
    stages = set(re.findall(r"^rule (\w+):", text, re.MULTILINE))
    on_demand, targets = stages - {rule.name for rule in rules()}, (ROOT / "docs/reference/targets.md").read_text()
    tests = "".join(path.read_text() for path in (ROOT / "tests/rules").glob("test_*.py"))
    assert all(f"`{name}`" in targets and f'"{name}"' in tests for name in on_demand), on_demand
    named = {str(path.relative_to(ROOT / "workflow/scripts")) for path in SCRIPTS}
    in_rules = set(re.findall(r'script:\n\s+"\.\./workflow/scripts/([^{"]*)"', text))
    in_loops = {job.params.script for job in smoke_jobs() if hasattr(job.params, "script")}
    assert in_rules | in_loops == named


def test_path_patterns_stand_in_the_rules_alone():
    for path in (ROOT / "src").rglob("*.py"):
        if path.name not in ("commands.py", "audit.py", "findings_command.py"):  # what is done with results by hand
            assert not re.search(r'"results/[^"]*\{', path.read_text()), path


CONTRACTS = f"""
[tool.importlinter]
root_package = "memorization"

[[tool.importlinter.contracts]]
name = "Imports run one way: families, then what they share"
type = "layers"
layers = ["{" | ".join(f"memorization.{name}" for name in NAMES)}", "memorization.random_sequences"]

[[tool.importlinter.contracts]]
name = "Families do not know each other"
type = "independence"
modules = {json.dumps([f"memorization.{name}" for name in NAMES])}

[[tool.importlinter.contracts]]
name = "Only scripts use the frame of a job"
type = "forbidden"
source_modules = {json.dumps([f"memorization.{name}" for name in NAMES])}
forbidden_modules = ["memorization.job"]
"""


@pytest.mark.parametrize("wrong", [False, True])
def test_imports_of_families_run_one_way_and_not_into_each_other(tmp_path, wrong):
    configure()
    contracts = CONTRACTS.replace("memorization.job", "memorization.files") if wrong else CONTRACTS  # which all import
    (tmp_path / "contracts.toml").write_text(contracts)
    assert lint_imports(str(tmp_path / "contracts.toml"), cache_dir=None, no_logo=True) is not wrong


def test_no_key_stands_in_both_profiles():
    default, slurm = (
        yaml.safe_load((ROOT / path).read_text()) for path in ("profiles/default/profile.yaml", "slurm/profile.yaml")
    )
    assert not default.keys() & slurm.keys()
    assert slurm["executor"] == "slurm"


def test_reading_the_workflow_imports_no_torch(tmp_path):
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from command_line import jobs; from pathlib import Path\n"
        f"jobs(Path({str(tmp_path)!r}))\n"
        "print('torch' in sys.modules, 'memorization.families' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "False True"


PAGES = sorted(path for place in ("*", "docs/**/*", "config/*", "results/*") for path in ROOT.glob(f"{place}.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_links_to_is_there(page):
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / link).exists(), link
