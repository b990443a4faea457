"""As snakedeploy deploys it: a module by github(…) and tag. A local clone stands in for GitHub's."""

import shutil
import subprocess

import pytest
import yaml
from command_line import ROOT, copy_of_checkout, smoke_job, snakemake

FAMILY = str(smoke_job("random_sequences").output[0]).split("/")[1]
DATASET = yaml.safe_load((ROOT / f"config/families/{FAMILY}.yaml").read_text())[FAMILY]["datasets"][0]["name"]
TARGET = f"results/{FAMILY}/sequences/{DATASET}/seed0.npz"
SNAKEFILE = """
configfile: "config/config.yaml"

module memorization:
    snakefile:
        github("owner/memorization", path="{path}", tag="v1.0.0")
    config:
        config

use rule * from memorization
"""


def git(*arguments: str, folder) -> None:
    who = ("-c", "user.name=test", "-c", "user.email=test@test")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A user's cache in which Snakemake has cloned this checkout before."""
    folder = tmp_path_factory.mktemp("deployed")
    checkout = copy_of_checkout(folder / "checkout")
    git("init", "--quiet", folder=checkout)
    git("add", "--all", "--force", folder=checkout)
    git("commit", "--quiet", "--message", "all", folder=checkout)
    git("tag", "-a", "v1.0.0", "--message", "a release", folder=checkout)
    clone = folder / "snakemake/snakemake/source-cache/snakemake-git-cache/github.com/owner/memorization"
    git("clone", "--quiet", "--bare", str(checkout), str(clone), folder=folder)
    shutil.rmtree(checkout)  # nothing is read from there
    return folder


@pytest.mark.parametrize("path", ["Snakefile", "workflow/Snakefile"])
def test_a_deployed_workflow_makes_its_files_with_its_own_package(cache, tmp_path, monkeypatch, path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # a clone from elsewhere would fail
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow/Snakefile").write_text(SNAKEFILE.format(path=path))
    printed = snakemake("--cores", "1", TARGET, root=tmp_path)
    assert "1 of 1 steps" in printed
    assert (tmp_path / TARGET).exists()
    (unpacked,) = (cache / "snakemake/snakemake/source-cache/snakemake-git-cache/github.com/owner").glob("*.unpacked/*")
    assert (unpacked / "src/memorization/families.py").is_file()
    settings = tmp_path / "config/config.yaml"
    settings.write_text(settings.read_text().replace("device: auto", "device: any"))
    printed = snakemake("-n", TARGET, root=tmp_path, check=False)
    assert f"{unpacked}/rules/common.smk" in printed
    assert "device: 'any' is not allowed" in printed


def test_the_catalog_finds_what_standardized_usage_asks_for():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["software-stack-deployment"]["conda"] is True
    profile = yaml.safe_load((ROOT / "profiles/default/profile.yaml").read_text())
    triggers = " ".join(["--rerun-triggers", *profile["rerun-triggers"]])
    assert triggers in usage["mandatory-flags"]["flags"]
    assert profile["conda-not-block-search-path-envvars"]
    assert "--conda-not-block-search-path-envvars" in usage["mandatory-flags"]["flags"]
    assert (ROOT / "workflow/Snakefile").is_file()
    assert (ROOT / "config/README.md").is_file()
