"""A target for each family and stage: what it asks for, against what Snakemake plans for the family's own target."""

import tempfile
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
from command_line import ROOT, SMOKE, jobs, smoke_jobs

from memorization.families import FAMILIES

NAMES = [family.name for family in FAMILIES]
FOLDERS = sorted({tuple(Path(path).parts[1:3]) for job in smoke_jobs() for path in job.output})
STAGES = [(family, folder) for family, folder in FOLDERS if family in NAMES]
RULES = {job.rule.name for job in smoke_jobs()}
TARGETS = {f"{family}_{stage}": (family, stage) for family, stage in STAGES if f"{family}_{stage}" not in RULES}


@cache
def planned() -> dict[str, object]:
    """The jobs of all families' targets and of all their stages', by output, or by the target's name."""
    kinds = [f"{name}_{kind}" for name in NAMES for kind in ("tables", "figures")]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs(Path(folder), SMOKE, targets=[*NAMES, *kinds, *TARGETS]):
            found |= dict.fromkeys(map(str, job.output), job) | ({job.rule.name: job} if job.rule.norun else {})
    return found


@cache
def made(family: str) -> dict[str, set[str]]:
    """By folder, the files that the jobs make which a family's target needs."""
    waiting, seen, found = [family], set(), defaultdict(set)
    while waiting:
        job = planned()[waiting.pop()]
        if job not in seen:
            seen.add(job)
            waiting += [str(path) for path in job.input if str(path) in planned()]
            for path in map(str, job.output):
                found["/".join(Path(path).parts[1:3])].add(path)
    return found


@pytest.mark.parametrize("target", TARGETS)
def test_a_stage_s_target_asks_for_the_files_of_its_folder_that_the_family_s_target_makes(target):
    family, stage = TARGETS[target]
    assert made(family)[f"{family}/{stage}"]
    assert set(map(str, planned()[target].input)) == made(family)[f"{family}/{stage}"]


@pytest.mark.parametrize("family", NAMES)
def test_tables_and_figures_are_all_of_the_family_s_target(family):
    inputs = {name: set(map(str, planned()[name].input)) for name in (family, f"{family}_tables", f"{family}_figures")}
    assert {Path(path).parts[1] for path in inputs[f"{family}_tables"]} == {"tables"}
    assert {Path(path).parts[1] for path in inputs[f"{family}_figures"]} == {"figures"}
    pages = {path for path in inputs[family] if Path(path).parts[1] not in ("tables", "figures")}
    assert inputs[f"{family}_tables"] | inputs[f"{family}_figures"] == inputs[family] - pages


@pytest.mark.parametrize("family", NAMES)
def test_the_page_of_targets_names_the_stages(family):
    page = (ROOT / "docs/reference/targets.md").read_text()
    assert all(f"`{target}`" in page for target, (of, _) in TARGETS.items() if of == family)
