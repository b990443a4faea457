"""The audit of a study: every file that is not what it would be made as is named, with why."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from command_line import SMOKE, smoke_job, smoke_jobs

from memorization.__main__ import main

EVALUATION = smoke_job("_evaluate")
FAMILY = EVALUATION.rule.name.removesuffix("_evaluate")
TABLE = str(EVALUATION.output.runs)
TRAINING = next(job for job in smoke_jobs() if str(EVALUATION.input[-1]) in job.output)
TRAJECTORY = str(EVALUATION.input[-1])
POOLED = f"results/tables/{FAMILY}_runs.parquet"


@pytest.fixture
def folder(study, tmp_path) -> Path:
    """A study as a colleague hands it on: without .snakemake."""
    shutil.copytree(study.folder / "results", tmp_path / "study/results")
    return tmp_path / "study"


def audit(capsys, folder: Path, *more: str) -> tuple[int, list[str]]:
    status = main(["audit", "--directory", str(folder), "--configfile", str(SMOKE), *more])
    captured = capsys.readouterr()
    return status, (captured.out + captured.err).splitlines()


def test_a_whole_study_is_fresh_and_nothing_is_written(capsys, folder):
    before = sorted(folder.rglob("*"))
    status, lines = audit(capsys, folder)
    count = sum(len(job.output) for job in smoke_jobs())
    assert (status, lines[-1]) == (0, f"{count} files: {count} fresh")
    assert sorted(folder.rglob("*")) == before


def test_a_changed_number_is_named_with_both_values_and_what_is_made_of_it_too(capsys, folder, tmp_path):
    section = yaml.safe_load(SMOKE.read_text())[FAMILY]
    section["conditions"][0]["learning_rate"] = 0.002
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(yaml.safe_dump({FAMILY: {"conditions": section["conditions"]}}))
    status, lines = audit(capsys, folder, str(overlay), "--", POOLED)
    assert status == 1
    of_trajectory = next(line for line in lines if line.startswith(f"{TRAJECTORY}: stale: "))
    assert re.search(r"params\.condition\.learning_rate: \S+ in the file, 0\.002 now", of_trajectory)
    assert any(line.startswith(f"{POOLED}: downstream: made from ") for line in lines)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def saved_again(path: Path) -> None:
    pd.read_parquet(path).to_parquet(path)


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        (TABLE, cut_off, "damaged"),
        (TRAJECTORY, flipped, "damaged"),
        (TABLE, saved_again, "damaged: not made by this workflow, or saved again by another tool"),
        (TABLE, Path.unlink, "missing"),
    ],
)
def test_what_is_not_whole_or_not_there_is_named(capsys, folder, name, damage, said):
    damage(folder / name)
    status, lines = audit(capsys, folder, "--", POOLED)
    assert status == 1
    assert any(line.startswith(f"{name}: {said}") for line in lines), lines


def test_a_file_of_another_run_is_named(capsys, folder):
    other = TABLE.replace("seed0", "seed1")
    shutil.copy(folder / other, folder / TABLE)
    status, lines = audit(capsys, folder, "--", POOLED)
    assert status == 1
    assert any(line.startswith(f"{TABLE}: stale: wildcards.seed: ") for line in lines), lines


def test_what_cannot_be_audited_is_one_line(capsys, folder, tmp_path):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("device: gpu")
    status, lines = audit(capsys, folder, str(overlay))
    assert status == 1
    assert lines == ["memorization: device: 'gpu' is not allowed; allowed: auto, cpu, cuda"]
    assert audit(capsys, tmp_path / "nowhere")[0] == 1
