"""The conda environments: the versions of the lock file, all that their rules import, and the wiring of --sdm conda."""

import ast
import json
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from command_line import ROOT, command, environment, smoke_job, smoke_jobs
from packaging.requirements import Requirement

from memorization import provenance
from memorization.provenance import imported

ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
ON_CONDA = {"matplotlib": "matplotlib-base", "torch": "pytorch"}  # other names there; the rest is named as on PyPI
LOCK = dict(
    line.split("==") for line in (ROOT / "requirements.lock").read_text().splitlines() if line and line[0] not in "#-"
)
VERSIONS = {ON_CONDA.get(name.lower(), name.lower()): version for name, version in LOCK.items()}


def dependencies(path):
    """Name and version of each dependency of an environment file."""
    parsed = {}
    for line in yaml.safe_load(path.read_text())["dependencies"]:
        assert re.fullmatch(r"[a-z0-9_.-]+=[0-9][0-9a-z.]*", line), line
        name, version = line.split("=")
        parsed[name] = version
    return parsed


def rules():
    """Of each rule with a script: the script, the environment file."""
    for name, job in sorted({job.rule.name: job for job in smoke_jobs()}.items()):
        script = getattr(job.params, "script", None) or job.rule.script.partition("workflow/scripts/")[2]
        conda = Path(str(job.rule.conda_env)).name
        yield pytest.param(ROOT / "workflow/scripts" / script, ROOT / "envs" / conda, id=name)


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_an_environment_has_the_versions_of_the_lock_file(path):
    channels = yaml.safe_load(path.read_text())["channels"]
    assert channels[0] == "conda-forge"
    assert channels[-1] == "nodefaults"
    for name, version in dependencies(path).items():
        assert version == ("3.11" if name == "python" else VERSIONS[name]), name


def test_every_environment_is_used_and_the_one_for_everything_has_what_the_others_have():
    used = {parameter.values[1] for parameter in rules()}
    assert used | {ROOT / "envs/pipeline.yaml"} == set(ENVIRONMENTS)
    everything = dependencies(ROOT / "envs/pipeline.yaml")
    for path in ENVIRONMENTS:
        assert dependencies(path).items() <= everything.items()


def test_the_environment_for_everything_has_what_the_project_says_that_it_needs():
    project = (ROOT / "pyproject.toml").read_text()
    needed = re.search(r"^dependencies = \[\n(.*?)^\]", project, re.MULTILINE | re.DOTALL)[1]
    names = {Requirement(line.strip(' ",')).name.lower() for line in needed.splitlines()}
    assert {ON_CONDA.get(name, name) for name in names} <= dependencies(ROOT / "envs/pipeline.yaml").keys()


@pytest.mark.parametrize(("script", "path"), list(rules()))
def test_an_environment_has_all_that_its_rules_import(script, path, monkeypatch):
    sources = []
    monkeypatch.setattr(provenance, "digest", lambda named: sources.extend(named.values()) or "")
    provenance.code_digest.__wrapped__(str(script))
    tops = {name.split(".")[0] for source in sources for name in imported(ast.parse(source.read_text()))}
    tops -= {*sys.stdlib_module_names, "__main__", "memorization"}
    distributions = packages_distributions()
    needed = {distributions[top][0].lower() for top in tops}
    assert {ON_CONDA.get(name, name) for name in needed} <= dependencies(path).keys()


STAND_IN = """#!{python}
# A conda that knows one local channel: enough of its command line for Snakemake, nothing of its solver.
import json, pathlib, sys
import yaml

arguments, here = sys.argv[1:], pathlib.Path(__file__).parents[1]
if arguments == ["--version"]:
    print("conda 26.1.0")
elif arguments[0] == "info":
    print(json.dumps({{"conda_prefix": str(here), "platform": "linux-64"}}))
elif arguments[0] == "config":
    print(json.dumps({{"get": {{"channel_priority": "strict"}}}}))
elif "create" in arguments:
    given = dict(zip(arguments, arguments[1:]))
    wanted = dict(line.split("=") for line in yaml.safe_load(open(given["--file"]))["dependencies"])
    channel = json.loads((here / "channel/repodata.json").read_text())
    missing = [name for name, version in wanted.items() if version not in channel.get(name, [])]
    if missing:
        sys.exit("PackagesNotFoundError: " + ", ".join(missing))
    target = pathlib.Path(given["--prefix"])
    (target / "bin").mkdir(parents=True)
    (target / "conda-meta").mkdir()
    (target / "conda-meta/history").write_text("".join(sorted(wanted)))
    python = target / "bin/python"
    python.write_text("#!/bin/sh\\nexport MADE_IN=" + str(target) + "\\nexec {python} \\"$@\\"\\n")
    python.chmod(0o755)
elif arguments[0] != "clean":
    sys.exit("unexpected: " + " ".join(arguments))
"""


@pytest.fixture
def conda(tmp_path):
    """The folder of a stand-in conda over a local channel that has the versions of the lock file."""
    home = tmp_path / "conda"
    (home / "bin").mkdir(parents=True)
    (home / "channel").mkdir()
    channel = {name: [version] for name, version in VERSIONS.items()} | {"python": ["3.11"]}
    (home / "channel/repodata.json").write_text(json.dumps(channel))
    (home / "bin/conda").write_text(STAND_IN.format(python=sys.executable))
    (home / "bin/conda").chmod(0o755)
    (home / "bin/activate").write_text('export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n')
    return home


def run(home, folder, *arguments, root=ROOT):
    found = environment()
    return subprocess.run(
        command(
            *arguments,
            "--sdm",
            "conda",
            "--cores",
            "1",
            "--configfile",
            "config/smoke.yaml",
            "--directory",
            str(folder),
        ),
        cwd=root,
        env=found | {"PATH": f"{home / 'bin'}{os.pathsep}{found['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_rule_runs_in_the_environment_that_it_names_with_the_package_of_its_checkout(conda, checkout, tmp_path):
    target = str(smoke_job("random_sequences").output[0])
    module = checkout / "src/memorization/data/sequences.py"
    module.write_text(module.read_text() + "\nOF_THIS_CHECKOUT = True\n")  # a job that finds another is refused
    result = run(conda, tmp_path / "run", target, root=checkout)
    assert result.returncode == 0, result.stderr
    assert "envs/analysis.yaml" in result.stderr
    made = list((tmp_path / "run/.snakemake/conda").glob("*/conda-meta/history"))
    assert [path.read_text() for path in made] == ["".join(sorted(dependencies(ROOT / "envs/analysis.yaml")))]
    assert f"source {conda}/bin/activate" in result.stderr or "Activating conda environment" in result.stderr
    assert (tmp_path / "run" / target).exists()


def test_a_version_that_the_channel_lacks_is_named_before_any_job(conda, tmp_path):
    channel = json.loads((conda / "channel/repodata.json").read_text())
    (conda / "channel/repodata.json").write_text(json.dumps(channel | {"numpy": ["1.0"]}))
    result = run(conda, tmp_path / "run", str(smoke_job("random_sequences").output[0]))
    assert result.returncode == 1
    assert "PackagesNotFoundError: numpy" in result.stderr
    assert not (tmp_path / "run/results").exists()
