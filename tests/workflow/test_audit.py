"""The audit of a study: every file that is not what it would be made as is named, with why."""

import json
import re
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import yaml
from command_line import SMOKE, smoke_job, smoke_jobs
from safetensors.numpy import load_file

from memorization import audit as module
from memorization.__main__ import main
from memorization.files import DamagedFile, read_arrays, read_made_by, write_arrays
from memorization.made_by_notes import read_note
from memorization.training.checkpoints import read_tensors, write_tensors

EVALUATION = smoke_job("_evaluate")
FAMILY = EVALUATION.rule.name.removesuffix("_evaluate")
TABLE = str(EVALUATION.output.runs)
TRAINING = next(job for job in smoke_jobs() if str(EVALUATION.input[-1]) in job.output)
TRAJECTORY = str(EVALUATION.input[-1])
POOLED = f"results/tables/{FAMILY}_runs.parquet"
CHECKPOINT = next(path for path in map(str, TRAINING.output) if path.endswith(".safetensors"))
FIGURE = next(job for job in smoke_jobs() if CHECKPOINT in job.input and job.rule.name.endswith("_figure"))
FIGURES = [*map(str, FIGURE.output)]
CONVERTED = {"converted": "flat"}


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
    if path.suffix == ".parquet":
        pd.read_parquet(path).to_parquet(path)
    else:
        path.write_text(
            json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "made_by"})
        )


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


@pytest.mark.parametrize("name", ["config.json", "examples.json"])
def test_a_json_file_that_was_saved_again_is_a_row_and_the_list_goes_on(capsys, folder, name):
    path = TEXTS[name]
    saved_again(folder / path)
    status, lines = audit(capsys, folder, "--", path)
    assert status == 1
    assert re.search(r"files: .*[12] damaged$", lines[-1])  # a tokenizer takes the note of the file beside it
    assert f"{path}: damaged: not made by this workflow, or saved again by another tool" in lines


def test_what_the_note_stands_in_is_missing_and_the_list_goes_on(capsys, folder):
    """The files beside it that have none of their own are rows."""
    paths = {
        str(path): beside
        for job in smoke_jobs()
        for path in job.output
        for beside in [
            {".csv": f"{Path(path).stem}.parquet", ".txt": f"{Path(path).stem}.parquet"}.get(Path(path).suffix)
        ]
        if beside
    } | {TEXTS["tokenizer.json"]: "config.json"}
    for path, beside in paths.items():
        (folder / path).with_name(beside).unlink(missing_ok=True)
    status, lines = audit(capsys, folder)
    assert status == 1
    for path, beside in paths.items():
        assert f"{path}: damaged: {beside} beside it, which says what made it, is missing" in lines
        assert f"{Path(path).with_name(beside)}: missing" in lines


def test_a_converted_checkpoint_is_not_what_the_rule_made(folder):
    """As the command ``convert`` notes it, in the place of the rule's."""
    write_tensors(folder / CHECKPOINT, read_tensors(folder / CHECKPOINT), read_made_by(folder / CHECKPOINT) | CONVERTED)
    assert str(findings(folder)[CHECKPOINT]) == f'{CHECKPOINT}: stale: converted: "flat" in the file, nothing now'


def test_what_does_not_fit_into_memory_is_a_row(folder, monkeypatch):
    monkeypatch.setitem(module.READERS, ".npz", Mock(side_effect=MemoryError))
    assert str(findings(folder)[TRAJECTORY]) == f"{TRAJECTORY}: damaged: it does not fit into memory"


def test_what_the_configuration_names_is_linked_by_paths_relative_to_the_folder(tmp_path):
    """And nothing else of it: what runs made there is not looked at when jobs are planned."""
    directory = tmp_path / "studies/mine"
    for name in ("a.npy", "../shared/b.npy", "results/imported/c.npy", "model/config.json", "logs/x", "d.npy"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(name)
    before = sorted(tmp_path.rglob("*"))
    named = ["a.npy", "../shared/b.npy", "results/imported/c.npy", "model/config.json", "./model", "none.npy"]
    others = ["", ".", "..", "/etc", "x" * 10**4, "a\0", "../" * 50 + "etc"]
    place = module._linked(tmp_path / "plan", directory, [*named, *others])
    assert {name for name in named if (place / name).exists()} == {*named} - {"none.npy"}
    assert {path.name for path in place.iterdir()} == {"a.npy", "results", "model"}
    assert [path.name for path in (place / "results").rglob("*")] == ["imported", "c.npy"]
    assert (place / "../shared/b.npy").read_text() == "../shared/b.npy"
    shutil.rmtree(tmp_path / "plan")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_that_no_rule_makes_is_no_target_although_it_is_there(capsys, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/old.pdf").touch()
    assert main(["audit", "--directory", str(tmp_path), "--", "results/old.pdf"]) == 1
    assert "results/old.pdf" in capsys.readouterr().err


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


def downstream_of(made: set[str]) -> set[str]:
    """What the smoke study makes of some files, however indirectly; a pooled table of the input of its own name."""
    while True:
        more = {
            str(path)
            for job in smoke_jobs()
            for name, path in job.output.items()
            if made & {*(job.input[name] if job.params.get("script") == "pool_runs.py" else job.input)}
        } & {file.path for file in planned_files()}
        if more <= made:
            return made
        made = made | more


@cache
def planned_files() -> list[module.Planned]:
    """Of a family, what its pooled tables and a figure of its weights are made of."""
    return module.planned_files([POOLED, FIGURES[0]], [SMOKE], Path())


def findings(folder: Path, planned: list[module.Planned] | None = None) -> dict[str, module.Finding]:
    """Of those files, what is not fresh, by path."""
    found = module.audit(planned or planned_files(), folder)
    return {finding.path: finding for finding in found if finding.state != "fresh"}


def test_edited_code_and_all_that_is_downstream_of_it_and_nothing_else(folder):
    made = {*map(str, TRAINING.output)}
    planned = [replace(file, code="0" * 12) if file.path in made else file for file in planned_files()]
    found = findings(folder, planned)
    for path in made:
        assert str(found[path]) == f'{path}: stale: code: "{TRAINING.params.code}" in the file, "{"0" * 12}" now'
    assert found.keys() == downstream_of(made)
    assert {found[path].state for path in found.keys() - made} == {"downstream"}
    causes = {cause for path in found.keys() - made for cause in found[path].causes}
    assert causes == made


def test_contents_of_another_run_are_named_by_all_that_was_made_from_others(folder):
    """As after a training that was made again elsewhere: it says the same of itself but for its contents."""
    arrays, made_by = read_arrays(folder / TRAJECTORY), read_made_by(folder / TRAJECTORY)
    name = next(name for name, values in arrays.items() if np.issubdtype(values.dtype, np.floating))
    write_arrays(folder / TRAJECTORY, arrays | {name: arrays[name] + 1}, made_by)
    found = findings(folder)
    assert found.keys() == downstream_of({TRAJECTORY}) - {TRAJECTORY}
    now = read_made_by(folder / TRAJECTORY)["sha256"]
    why = f"made from other contents of {TRAJECTORY} ({made_by['sha256'][:12]}, now {now[:12]})"
    assert {(finding.state, finding.why) for finding in found.values()} == {("of another run", why)}


@pytest.mark.parametrize("change", [-1, 1])
def test_a_seed_more_or_less_changes_the_inputs_of_what_pools_seeds(capsys, folder, tmp_path, change):
    section = yaml.safe_load(SMOKE.read_text())[FAMILY]
    condition = next(each for each in section["conditions"] if each["name"] == EVALUATION.wildcards.condition)
    condition["seeds"] += change
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(yaml.safe_dump({FAMILY: {"conditions": section["conditions"]}}))
    status, lines = audit(capsys, folder, str(overlay), "--", POOLED)
    assert status == 1
    other = TABLE.replace("seed0", f"seed{condition['seeds'] - (change > 0)}")
    assert (f"{other}: missing" in lines) == (change > 0)
    assert f"{POOLED}: stale: inputs: made {'without' if change > 0 else 'also from'} {other}" in lines


DATA = (TRAJECTORY, TABLE, CHECKPOINT)


@pytest.mark.parametrize("name", [*DATA, *FIGURES], ids=lambda name: Path(name).suffix)
@pytest.mark.parametrize("damage", ["cut off", "a byte short", "empty", "of another kind", "a folder"])
def test_a_file_of_any_kind_that_is_not_whole_is_named_with_what_is_made_from_it(folder, name, damage):
    path, content = folder / name, (folder / name).read_bytes().rstrip(b"\n")
    broken = {"cut off": content[: len(content) // 2], "a byte short": content[:-1], "empty": b""}
    path.unlink()
    path.mkdir() if damage == "a folder" else path.write_bytes(broken.get(damage, b"something else"))
    found = findings(folder)
    assert found[name].state == "damaged"
    assert found[name].why
    assert "\n" not in str(found[name])
    assert found.keys() == downstream_of({name})
    for path in found.keys() - {name}:
        assert str(found[path]) == f"{path}: downstream: made from {name}, which is damaged"


TEXTS = {  # one of each kind
    "page" if Path(path).suffix == ".html" else Path(path).name: str(path)
    for job in smoke_jobs()
    for path in job.output
    if Path(path).suffix in (".html", ".json", ".txt")
}
NOTED = {kind: path for kind, path in TEXTS.items() if not kind.endswith(".txt")}


@pytest.mark.parametrize("name", TEXTS.values(), ids=TEXTS)
def test_a_text_that_is_altered_is_damaged_if_it_follows_from_other_results(folder, name):
    (job,) = (job for job in smoke_jobs() if name in map(str, job.output))
    file = next(planned for planned in module._outputs(job) if planned.path == name)
    path, content = folder / name, (folder / name).read_bytes()
    assert module.audit([file], folder)[0].state == "fresh"
    broken = {"empty": b"", "other bytes": b"\xff\n", "cut off": content[: len(content) // 2]}
    if path.name != "config.json":  # of which only the form and the note are looked at
        at = next(n for n in range(len(content) // 2, 0, -1) if content[n : n + 1].isdigit())
        broken |= {"another digit": content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]}
    if path.suffix == ".txt":
        broken |= {"a line less": content[: content.rstrip(b"\n").rindex(b"\n") + 1]}
    for damage, altered in broken.items():
        path.write_bytes(altered)
        (finding,) = module.audit([file], folder)
        assert finding.state == "damaged" or (finding.state == "stale" and damage == "another digit"), damage
        assert finding.why


@pytest.mark.parametrize("name", NOTED.values(), ids=NOTED)
def test_a_page_or_a_json_file_that_is_cut_off_is_damaged(folder, name):
    content = (folder / name).read_text()
    assert read_note(folder / name)[0]["rule"] == next(
        job.rule.name for job in smoke_jobs() if name in map(str, job.output)
    )
    (folder / name).write_text(content[: len(content) * 2 // 3])
    with pytest.raises(DamagedFile, match="damaged"):
        read_note(folder / name)


def contents(path: Path) -> dict | None:
    """All that a file of data holds; None of a figure, which has no digest."""
    if path.suffix == ".parquet":
        return {name: column.tolist() for name, column in pd.read_parquet(path).items()}
    if path.suffix == ".npz":
        return {name: values.tobytes() for name, values in np.load(path).items() if name != "made_by"}
    return (
        {name: values.tobytes() for name, values in load_file(path).items()} if path.suffix == ".safetensors" else None
    )


@pytest.mark.parametrize("name", [*DATA, *FIGURES], ids=lambda name: Path(name).suffix)
def test_whatever_byte_is_flipped_is_named_or_changes_nothing_that_counts(folder, name):
    (file,) = (file for file in planned_files() if file.path == name)
    path, content, expected, seen = folder / name, (folder / name).read_bytes(), contents(folder / name), 0
    positions = range(0, len(content), 1 + len(content) // 150)
    for n in positions:
        path.write_bytes(content[:n] + bytes([content[n] ^ 1 << n % 8]) + content[n + 1 :])
        (finding,) = module.audit([file], folder)
        seen += finding.state != "fresh"
        assert finding.state in ("fresh", "damaged", "stale")
        assert finding.state != "fresh" or contents(path) == expected, n
    assert seen > len(positions) * {".png": 0.99, ".pdf": 0.3, ".svg": 0.0}.get(path.suffix, 0.25)


@pytest.mark.parametrize("made_by", [{}, {"made_from": {"x": {}}}, {"made_from": []}, {"made_from_earlier": [1]}])
def test_a_file_that_says_something_else_of_itself_is_no_fresh_one(folder, made_by):
    write_arrays(folder / TRAJECTORY, read_arrays(folder / TRAJECTORY), made_by)
    assert findings(folder)[TRAJECTORY].state == ("damaged" if made_by else "stale")


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        (1.0, 1, []),
        ({"a": [1, {"b": 2.0}]}, {"a": [1, {"b": 2}]}, []),
        (1, True, ["p: 1 in the file, true now"]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}}, ["p.a.b: 1 in the file, 3 now"]),
        ({"a": 1}, {"b": 1}, ["p.a: 1 in the file, nothing now", "p.b: nothing in the file, 1 now"]),
        ([1, 2], [1, 2, "x"], ['p[2]: nothing in the file, "x" now']),
        ([1, {"a": 1}], [1, {"a": None}], ["p[1].a: 1 in the file, null now"]),
        ("x" * 100, None, [f'p: "{"x" * 59}… in the file, null now']),
    ],
)
def test_a_difference_is_named_by_its_place_with_both_values(then, now, said):
    assert list(module._unequal("p", then, now)) == said


def test_of_many_differences_the_first_are_named_and_the_rest_counted(folder):
    (file,) = (file for file in planned_files() if file.path == TRAJECTORY)
    others = {key: f"another {value}" for key, value in file.params["condition"].items()}
    (finding,) = module.audit([replace(file, params=file.params | {"condition": others})], folder)
    assert finding.why.count(" in the file, ") == module.SHOWN
    assert finding.why.endswith(f", and {len(others) - module.SHOWN} more")


def test_targets_folder_and_overlays_are_read_as_snakemake_reads_them(capsys, folder, monkeypatch):
    """The folder is the present one by default; an overlay's path is relative to that, not to --directory."""
    shutil.copy(SMOKE, folder.parent / "overlay.yaml")
    monkeypatch.chdir(folder.parent)
    for name in FIGURES:
        (folder / name).unlink()
    assert main(["audit", POOLED, "-d", "study", "--configfile", "overlay.yaml"]) == 0
    assert main(["audit", "--configfile", "overlay.yaml", "--directory", "study", FIGURES[0]]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert {f"{name}: missing" for name in FIGURES} <= {*lines}
    monkeypatch.chdir(folder)
    assert main(["audit", "--configfile", "../overlay.yaml", "--", POOLED, f"./{TABLE}"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "No rule to produce nothing"),
        (["--configfile", "none.yaml"], "No such file or directory: 'none.yaml'"),
        (["--directory", "none"], "none: no such folder"),
    ],
)
def test_what_is_not_there_to_be_asked_for_is_one_line(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert main(["audit", *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert said in line
    assert not list(tmp_path.iterdir())
