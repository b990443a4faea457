"""The frame of a script, given Snakemake's object as Snakemake makes it."""

import json
import sys
from itertools import pairwise
from types import SimpleNamespace

import pandas as pd
import pytest
from snakemake.iocontainers import InputFiles, Log, OutputFiles, Params, Snakemake, Wildcards

from memorization.files import read_made_by, read_table
from memorization.job import Job, job
from memorization.plan import VARIABLE, CodeChanged, export_plan
from memorization.provenance import canonical, code_digest

CONFIG = {"progress": {"report_seconds": 10}, "device": "auto", "gpu_share": 1}
RULE = "toy_rule"


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The file of the script that runs, planned with its rule; in the folder of a run."""
    path = tmp_path / "script.py"
    path.write_text("from memorization.job import job\n")
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__file__=str(path)))
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.chdir(tmp_path)
    export_plan({}, {RULE: "as planned"}, {RULE: code_digest(str(path))})
    return path


def named(kind, entries):
    """Snakemake's list of files by name, several where they are a list."""
    files = kind()
    for name, paths in entries.items():
        first = len(files)
        files.extend(paths if isinstance(paths, list) else [paths])
        files._set_name(name, first, end=len(files) if isinstance(paths, list) else None)
    return files


def given(inputs=None, outputs=None, params=None, wildcards=None, threads=1):
    return Snakemake(
        named(InputFiles, inputs or {}),
        named(OutputFiles, outputs or {}),
        Params(fromdict={"code": "planned"} | (params or {})),
        Wildcards(fromdict=wildcards or {}),
        threads,
        {},
        Log(toclone=["job.log"]),
        CONFIG,
        RULE,
        None,
    )


def write(path, inputs=(), **options):
    """A table, as a job makes it of its inputs."""
    Job(given({"inputs": list(inputs)}, **options)).write_table(pd.DataFrame({"from": [path]}), path)
    return read_made_by(path)


def test_a_result_says_what_made_it(script):
    params = {"dataset": canonical({"name": "toy"}), "stride": 3, "kind": "plain", "script": "some.py"}
    made_by = write("a.parquet", params=params, wildcards={"condition": "small", "seed": "4"})
    assert made_by["rule"] == RULE
    assert made_by["code"] == code_digest(str(script))
    assert made_by["params"] == {"dataset": {"name": "toy"}, "stride": 3, "kind": "plain"}
    assert made_by["wildcards"] == {"condition": "small", "seed": "4"}
    assert made_by["threads"] == 1
    assert {"python", "numpy", "pandas"} <= made_by["versions"].keys()
    assert (made_by["made_from"], made_by["made_from_earlier"]) == ({}, {})


def test_it_keeps_what_its_inputs_say_and_of_what_came_before_the_digests_alone(script):
    first = write("a.parquet")
    other = write("b.parquet")
    second = write("c.parquet", ["a.parquet", "b.parquet"])
    third = write("d.parquet", ["c.parquet", "a.parquet"])
    last = write("e.parquet", ["d.parquet"])
    assert second["made_from"].keys() == {"a.parquet", "b.parquet"}
    assert second["made_from_earlier"] == {}
    digests = {"a.parquet": first["sha256"], "b.parquet": other["sha256"]}
    assert third["made_from"].keys() == {"c.parquet", "a.parquet"}
    assert third["made_from_earlier"] == digests
    assert last["made_from"].keys() == {"d.parquet"}
    assert last["made_from_earlier"] == digests | {"c.parquet": second["sha256"]}
    about = {key: value for key, value in third.items() if not key.startswith("made_from")}
    assert last["made_from"] == {"d.parquet": about}


def test_of_a_long_chain_each_result_adds_a_path_and_a_digest(script):
    write("0.parquet")
    sizes = [len(json.dumps(write(f"{n}.parquet", [f"{n - 1}.parquet"]))) for n in range(1, 20)]
    assert max(later - earlier for earlier, later in pairwise(sizes[1:])) < 120


def test_pooled_tables_have_the_rows_of_the_inputs_of_their_name_and_are_made_from_these_alone(script):
    for name in ("a", "b", "c"):
        write(f"{name}.parquet")
    inputs = {"by_item": ["a.parquet", "b.parquet"], "totals": ["c.parquet"]}
    Job(given(inputs, {"by_item": "items.parquet", "totals": "totals.parquet"})).pool_tables()
    assert read_table("items.parquet")["from"].tolist() == ["a.parquet", "b.parquet"]
    assert read_table("totals.parquet")["from"].tolist() == ["c.parquet"]
    assert read_made_by("items.parquet")["made_from"].keys() == {"a.parquet", "b.parquet"}
    assert read_made_by("totals.parquet")["made_from"].keys() == {"c.parquet"}


def test_an_unfinished_job_is_found_by_all_that_it_depends_on(script):
    def path(content="same", params=None, threads=1):
        (script.parent / "in").write_text(content)
        return Job(given({"inputs": ["in"]}, params=params, threads=threads)).unfinished("out.npz")

    plain = path()
    assert plain == path()
    assert plain.startswith("out.npz.")
    assert plain.endswith(".unfinished")
    others = [path(content="other"), path(params={"steps": 3}), path(threads=2)]
    script.write_text("from memorization.job import job\nedited = True\n")
    code_digest.cache_clear()
    export_plan({}, {RULE: "as planned"}, {RULE: code_digest(str(script))})
    assert len({plain, *others, path()}) == 5


def test_what_a_job_prints_is_in_its_log_which_ends_with_why_it_failed(script, capsys):
    def fail():
        with job(given(wildcards={"seed": "4"})) as this:
            print("some progress", this.seed)
            raise KeyError("a reason")

    with pytest.raises(KeyError):
        fail()
    lines = (script.parent / "job.log").read_text().splitlines()
    assert lines[:2] == [f"{RULE} seed=4 code={code_digest(str(script))}", "some progress 4"]
    assert lines[-1] == "KeyError: 'a reason'"
    assert capsys.readouterr().out == ""


def test_a_job_whose_code_was_edited_makes_nothing(script):
    script.write_text("edited = True\n")
    code_digest.cache_clear()
    with pytest.raises(CodeChanged, match=f"^{RULE}: its code was edited"), job(given()):
        raise AssertionError("it ran")
    assert (script.parent / "job.log").read_text().splitlines()[-1].startswith("memorization.plan.CodeChanged: ")
