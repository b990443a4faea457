"""Only what is stale is made again, in every family."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml
from command_line import ROOT, SMOKE, copy_of_checkout, jobs, smoke_jobs, snakemake, stale

from memorization.families import FAMILIES, complete, configured

FAMILY = [family.name for family in FAMILIES]
TRAINED = [name for name in FAMILY if (ROOT / f"rules/{name}.smk").exists()]
CONFIGURED = configured(complete(yaml.safe_load(SMOKE.read_text())))


def rules_of(family: str, *endings: str) -> set[str]:
    return {
        job.rule.name
        for job in smoke_jobs()
        if job.rule.name.startswith(f"{family}_") and job.rule.name.endswith(endings or ("",))
    }


def plan(folder: Path, config: dict) -> tuple[list, list]:
    """All jobs of a study with another configuration, and those of them that would run; no targets."""
    planned = [job for job in jobs(folder, SMOKE, config=config) if not job.rule.norun]
    return planned, [job for job in planned if job.dag.needrun(job)]


def behind(changed: list, planned: list) -> list:
    """What must be made again: the jobs that are changed themselves, and all that read what such jobs make."""
    again, before = set(changed), None
    while before != len(again):
        before, made = len(again), {path for job in again for path in job.output}
        again |= {job for job in planned if made.intersection(job.input)}
    return list(again)


def named(found: list) -> list[str]:
    """Jobs by their rule and first output, to be compared."""
    return sorted(f"{job.rule.name}: {job.output[0]}" for job in found)


def of_others(family: str, found: list) -> set[str]:
    """Rules among jobs that are another family's, but for tables and figures of one that only compares the others."""
    own = {job.rule.name for job in found if job.rule.name.startswith(f"{family}_")}
    shared = {job.rule.name for job in found if job.wildcards.get("family") == family}  # random sequences, for it
    comparing = [CONFIGURED[name] for name in {*FAMILY} - {*TRAINED}]
    tables = {f"{each.name}_{table.name}_table" for each in comparing for table in each.tables}
    figures = {f"{each.name}_{figure.name}_figure" for each in comparing for figure in each.figures}
    return {job.rule.name for job in found} - own - shared - tables - figures


def test_nothing_is_stale_after_a_run(study):
    assert stale(study.folder, SMOKE) == {}


def test_a_clone_elsewhere_with_touched_files_comments_and_reordered_yaml_makes_nothing_stale(study, checkout):
    for script in (*checkout.rglob("*.py"), *checkout.rglob("*.smk")):
        script.touch()
    for module in (checkout / "src").rglob("*.py"):
        module.write_text("# why\n" + module.read_text())
    smoke = yaml.safe_load((checkout / "config/smoke.yaml").read_text())
    smoke = {section: dict(reversed(keys.items())) for section, keys in reversed(smoke.items())}
    (checkout / "config/smoke.yaml").write_text(yaml.safe_dump(smoke, sort_keys=False))
    printed = snakemake("-n", *type(study)(checkout, study.folder).arguments(), root=checkout)
    assert "Nothing to be done" in printed


def test_inputs_that_were_touched_make_nothing_stale(study, tmp_path):
    copy = tmp_path / "smoke"
    shutil.copytree(study.folder, copy)
    for job in smoke_jobs():
        for path in job.input:
            (copy / path).touch()
    assert stale(copy, SMOKE) == {}


@pytest.mark.parametrize("family", TRAINED)
def test_one_more_seed_trains_that_seed_alone(study, family):
    conditions, seeds = CONFIGURED[family].section["conditions"], CONFIGURED[family].seeds
    section = {"conditions": [each | {"seeds": 1 + len(seeds(each["name"]))} for each in conditions]}
    planned, again = plan(study.folder, {family: section})
    there = {path for job in smoke_jobs() for path in job.output}
    new = [job for job in planned if there.isdisjoint(job.output)]
    assert {int(job.wildcards.seed) for job in new} == {1 + seeds(each["name"])[-1] for each in conditions}
    trained = [job.wildcards.condition for job in new if job.rule.name == f"{family}_train"]
    assert Counter(trained) == Counter(each["name"] for each in conditions)
    assert named(again) == named(behind(new, planned))
    assert f"{family}_runs_table" in {job.rule.name for job in again}
    assert not of_others(family, again)


@pytest.mark.parametrize("family", FAMILY)
def test_a_figure_s_settings_draw_that_figure_and_nothing_else(study, family):
    for figure in CONFIGURED[family].figures:
        changed = {family: {"figures": {figure.name: another(CONFIGURED[family].section["figures"][figure.name])}}}
        assert stale(study.folder, SMOKE, config=changed) == {f"{family}_{figure.name}_figure": 1}


def another(settings: dict) -> dict:
    """One of the settings of a figure with another value."""
    if "palette" in settings:
        return {"palette": {"colorblind": "deep", "mako_r": "cividis"}.get(settings["palette"], "magma")}
    key = next(key for key, value in settings.items() if isinstance(value, list))
    return {key: [0.5, 99]}


def test_the_style_draws_all_figures_and_trains_nothing(study):
    figures = Counter(job.rule.name for job in smoke_jobs() if job.rule.name.endswith("_figure"))
    assert stale(study.folder, SMOKE, config={"style": {"dpi": 100}}) == figures


@pytest.mark.parametrize("family", TRAINED)
def test_what_says_how_a_job_runs_makes_nothing_stale(study, family):
    how = {"device": "cpu", "gpu_share": 2, "progress": {"report_seconds": 1, "checkpoint_seconds": 1}}
    requests = {"defaults": {"runtime": 7, "mem_mb": 777}, "outputs": {"runtime": 8, "mem_mb": 88}}
    assert stale(study.folder, SMOKE, config=how | {family: requests}) == {}


@pytest.mark.parametrize("family", TRAINED)
def test_one_number_of_one_condition_trains_that_condition(study, family):
    first, *others = CONFIGURED[family].section["conditions"]
    section = {"conditions": [first | {"learning_rate": 0.002}, *others]}
    planned, again = plan(study.folder, {family: section})
    trainings = [job for job in planned if job.rule.name == f"{family}_train"]
    changed = [job for job in trainings if job.wildcards.condition == first["name"]]
    assert changed
    assert named(again) == named(behind(changed, planned))
    assert not of_others(family, again)


@pytest.mark.parametrize("family", TRAINED)
def test_code_makes_stale_what_runs_it_and_no_more(study, tmp_path_factory, family):
    """What draws a family's figures is edited: it draws some of them anew, no other family's, and trains nothing."""
    checkout = copy_of_checkout(tmp_path_factory.mktemp("edited"))
    of_family = checkout / f"src/memorization/{family}"
    for module in [*of_family.rglob("figures.py"), *of_family.rglob("figures/*.py")]:
        module.write_text(module.read_text() + "\nEDITED = True\n")
    printed = snakemake("-n", *type(study)(checkout, study.folder).arguments(), root=checkout)
    planned = {job.rule.name for job in smoke_jobs() if f"\n{job.rule.name} " in printed}
    assert planned
    assert planned <= rules_of(family, "_figure")


def test_code_that_all_trainings_share_trains_all_of_them(study, checkout):
    frame = checkout / "src/memorization/training/fit.py"
    frame.write_text(frame.read_text() + "\nEDITED = True\n")
    printed = snakemake("-n", *type(study)(checkout, study.folder).arguments(), root=checkout)
    for family in TRAINED:
        assert f"\n{family}_train " in printed
    assert "random_sequences " not in printed.partition("Reasons:")[0].partition("job  ")[2]


def test_a_parameter_of_an_analysis_trains_nothing(study):
    """Sections that are no parameter of a training are read by the rules behind it."""
    for family in TRAINED:
        params = {key: job.params for job in smoke_jobs() for key in [job.rule.name] if key == f"{family}_train"}
        assert set(params[f"{family}_train"].keys()) <= {"condition", "evaluation", "fingerprint", "scored", "code"}


def test_paths_of_all_jobs_stand_apart():
    made = Counter(path for job in smoke_jobs() for path in job.output)
    assert set(made.values()) == {1}
    assert all(Path(path).parts[0] == "results" for path in made)
