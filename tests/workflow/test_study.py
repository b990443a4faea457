"""The smoke study of all families by the real command line: what it makes, and what its files say of themselves."""

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from command_line import ROOT, SMOKE, jobs, smoke_jobs

from memorization.csv_files import csv_text
from memorization.families import FAMILIES, complete, configured
from memorization.figure_files import read_figure_made_by
from memorization.files import read_made_by, read_table
from memorization.records import RECORD, RUN

FAMILY = pytest.mark.parametrize(
    "family", configured(complete(yaml.safe_load(SMOKE.read_text()))).values(), ids=lambda family: family.name
)
TRAINED = pytest.mark.parametrize(
    "family", [family.name for family in FAMILIES if (ROOT / f"rules/{family.name}.smk").exists()]
)


def of(family: str) -> list:
    return [job for job in smoke_jobs() if any(f"/{family}/" in f"/{path}" for path in job.output)]


@FAMILY
def test_every_table_and_figure_is_made_in_all_of_its_formats(study, family):
    for table in family.tables:
        for name in table.files:
            assert len(read_table(study.folder / f"results/tables/{family.name}_{name}.parquet")), name
        if table.has_csv:
            for name in table.files:
                beside = study.folder / f"results/tables/{family.name}_{name}"
                assert beside.with_suffix(".csv").read_text() == csv_text(read_table(f"{beside}.parquet"))
    for figure in family.figures:
        for form, begins in (("pdf", b"%PDF"), ("png", b"\x89PNG"), ("svg", b"<?xml")):
            path = study.folder / f"results/figures/{family.name}_{figure.name}.{form}"
            assert path.read_bytes().startswith(begins)
            assert read_figure_made_by(path)["rule"] == f"{family.name}_{figure.name}_figure"


@TRAINED
def test_records_and_runs_have_the_columns_of_all_families_and_every_run(study, family):
    records, runs = (
        read_table(study.folder / f"results/tables/{family}_{name}.parquet") for name in ("records", "runs")
    )
    assert list(records) == list(RECORD)
    assert list(runs) == list(RUN)
    trained = {
        (job.wildcards.condition, int(job.wildcards.seed)) for job in of(family) if job.rule.name == f"{family}_train"
    }
    for table in (records, runs):
        assert set(table[["condition", "seed"]].itertuples(index=False, name=None)) == trained
        assert set(table["family"]) == {family}
    assert records["recall"].between(0, 1).all()
    assert (records["last_exposure_step"] <= records["step"]).all()
    assert not records.duplicated(["condition", "seed", "step", "item"]).any()
    assert len(trained) > records["condition"].nunique()  # a condition has several seeds


def test_the_page_on_tables_has_every_column_and_no_other(study):
    """A section is about one table, or about the tables of that name of several families."""
    text = (ROOT / "docs/reference/tables.md").read_text()
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE))
    columns = {}
    for family in configured(complete(yaml.safe_load(SMOKE.read_text()))).values():
        for name in (name for table in family.tables for name in table.files):
            section = f"{family.name}_{name}" if f"{family.name}_{name}" in sections else name
            table = read_table(study.folder / f"results/tables/{family.name}_{name}.parquet")
            columns.setdefault(section, set()).update(table)
    for section, expected in columns.items():
        rows = sections[section].partition("| column | meaning |\n|---|---|\n")[2].partition("\n\n")[0]
        cells = "".join(row.split(" | ")[0] for row in rows.splitlines())
        assert set(re.findall(r"`(\w+)`", cells)) == expected, section


@pytest.mark.parametrize("job", smoke_jobs(), ids=lambda job: f"{job.rule.name} {job.wildcards}")
def test_a_result_says_what_made_it(study, job):
    for path in job.output:
        if Path(path).suffix not in (".npz", ".parquet", ".safetensors"):
            continue
        made_by = read_made_by(study.folder / path)
        assert made_by["rule"] == job.rule.name
        assert made_by["wildcards"] == dict(job.wildcards.items())
        assert made_by["code"] == job.params.code
        direct = direct_inputs(job, path)
        assert made_by["made_from"].keys() == {*direct}
        for noted in (*made_by["made_from"].values(), *made_by["made_from_earlier"].values()):
            assert re.fullmatch("[0-9a-f]{64}", noted["sha256"] if isinstance(noted, dict) else noted)
        for given, entry in made_by["made_from"].items():
            assert entry["sha256"] == read_made_by(study.folder / given)["sha256"]
            assert "made_from" not in entry
        earlier = {each for given in direct for each in every_input(given)} - {*direct}
        assert made_by["made_from_earlier"].keys() - {*direct} == earlier


def every_input(path: str) -> set[str]:
    """All that a file of the smoke study is made of, however indirectly."""
    (job,) = [job for job in smoke_jobs() if path in job.output]
    direct = direct_inputs(job, path)
    return {*direct, *(each for given in direct for each in every_input(given))}


def direct_inputs(job, path: str) -> list[str]:
    """What a file of a job is made of: a pooled table of the input of its own name alone."""
    (name,) = [name for name, output in job.output.items() if output == path] or [None]
    return job.input[name] if job.rule.name.endswith("_runs_table") else job.input


def test_a_figure_does_not_carry_the_history_of_all_that_it_is_made_of(study):
    for path in (study.folder / "results/figures").glob("*.svg"):
        assert len(str(read_figure_made_by(path))) < 20_000, path


@TRAINED
def test_a_family_s_smoke_study_is_small(family):
    """What is started costs, not what it does."""
    assert len(of(family)) <= 48


def test_the_log_names_condition_seed_and_step(study):
    printed = (study.folder / "printed.txt").read_text()
    for job in smoke_jobs():
        if job.rule.name.endswith("_train"):
            assert f"training {job.wildcards.condition}, seed {job.wildcards.seed}" in printed


@pytest.mark.parametrize("overlay", sorted(path.name for path in (ROOT / "config").glob("*.yaml")))
@TRAINED
def test_an_overlay_runs_its_own_conditions_alone(tmp_path, overlay, family):
    config = complete(yaml.safe_load((ROOT / f"config/{overlay}").read_text()))
    kind = configured(config)[family]
    planned = jobs(tmp_path, ROOT / f"config/{overlay}", targets=[f"results/tables/{family}_runs.parquet"])
    trained = Counter(job.wildcards.condition for job in planned if job.rule.name == f"{family}_train")
    for name in kind.names:
        assert trained[name] >= len(kind.seeds(name)) * len(getattr(kind, "trainings", lambda _: [0])(name))
    assert set(trained) == set(kind.names)


@TRAINED
def test_the_default_has_at_least_three_seeds_of_every_condition(family):
    kind = configured(complete({}))[family]
    assert all(len(kind.seeds(name)) >= 3 for name in kind.names)
