"""docs/bring_your_own.md: each of its blocks, on tiny things of one's own, at smoke scale."""

import json
import pickle
import re
import shlex

import numpy as np
import pytest
import torch
import yaml
from command_line import ROOT, SMOKE, jobs
from in_process import make

from memorization.__main__ import main
from memorization.data.byte_pairs import train_byte_pairs
from memorization.files import read_made_by, read_table
from memorization.models.language_model import build
from memorization.records import RECORD
from memorization.training.checkpoints import read_tensors

BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / "docs/bring_your_own.md").read_text(), re.DOTALL | re.MULTILINE)
OVERLAYS = {next(iter(yaml.safe_load(text))): text for kind, text in BLOCKS if kind == "yaml"}  # by section
COMMANDS = [shlex.split(text) for kind, text in BLOCKS if not kind]
OVERLAY = pytest.mark.parametrize("section", OVERLAYS)
SHAPE = {
    "n_layers": 1, "d_model": 16, "n_heads": 2, "rotary_share": 0.25, "state_size": 4, "max_length": 2048,
    "init_std": 0.2, "scan": "own", "architecture": "neox",
}  # fmt: skip
VOCABULARY = 280


def texts() -> list[str]:
    rng, words = np.random.default_rng(0), ["amber", "birch", "coral", "delta", "ember"]
    return [" ".join(f"{words[rng.integers(5)]} {rng.integers(10**6)}" for _ in range(60)) for _ in range(100)]


def put_model(folder):
    build(SHAPE, VOCABULARY).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(train_byte_pairs(texts(), VOCABULARY), "utf-8")


def put_texts(path):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts()), "utf-8")


def put_fingerprint(path):
    readings = np.random.default_rng(len(path.name)).standard_normal((70, 4)).cumsum(axis=0)
    if path.suffix == ".npy":
        np.save(path, readings)
    else:
        np.savez(path, readings=readings, step=2 * np.arange(70))


def put_checkpoint(path, mapping, section, folder):
    """That of the same condition, trained from new weights, under names that the page's mapping takes away."""
    new = yaml.safe_load(OVERLAYS[section])
    (condition,) = new[section]["conditions"]
    del condition["pretrained"]
    overlay = written(new, folder / "new.yaml")
    (train,) = (job for job in jobs(folder / "new", SMOKE, overlay) if job.rule.name.endswith("_train"))
    make(folder / "new", [overlay], train.output)
    (weights,) = (folder / "new" / name for name in train.output if name.endswith(".safetensors"))
    before = mapping.removesuffix("*")
    torch.save({f"{before}{name}": tensor for name, tensor in read_tensors(weights).items()}, path)


def put_things(section, folder):
    """Write what an overlay names; the digests of these files are among the parameters of a job."""
    overlay = yaml.safe_load(OVERLAYS[section])[section]
    for data in overlay.get("datasets", []):
        put_texts(folder / data["path"])
    for entry in overlay.get("recorded", []):
        for name in entry["fingerprints"]:
            put_fingerprint(folder / name)
    for each in overlay["pretrained"] if "pretrained" in overlay else overlay.get("conditions", []):
        if "model" in each:
            put_model(folder / each["model"])
        else:
            (mapping,) = each["pretrained"]["mappings"]["component_mappings"]
            put_checkpoint(folder / each["pretrained"]["path"], mapping, section, folder)
    return written(yaml.safe_load(OVERLAYS[section]), folder / "mine.yaml")


def written(overlay, path):
    path.write_text(yaml.safe_dump(overlay))
    return path


@OVERLAY
def test_a_block_plans_all_that_there_is_of_it_and_its_first_jobs_run(tmp_path, section, capsys):
    overlay = put_things(section, tmp_path)
    planned = [job for job in jobs(tmp_path, SMOKE, overlay) if not job.rule.norun]
    assert all(job.rule.name.startswith(f"{section}_") for job in planned)
    assert any(job.rule.name.endswith("_figure") for job in planned)
    mine = [job for job in planned if "mine" in dict(job.wildcards.items()).values()]
    outputs = {path for job in mine for path in job.output}
    first = [job for job in mine if not outputs.intersection(job.input)]
    assert 0 < len(first) < len(mine)
    make(tmp_path, [overlay], [path for job in first for path in job.output])
    noted = set()
    for job in first:
        (settings,) = (of for of in read_made_by(tmp_path / job.output[0])["params"].values() if "contents" in of)
        noted |= {*settings["contents"]}
    files = re.findall(r"\w+\.(?:jsonl|pt|npy|npz)", OVERLAYS[section])
    assert files
    assert {*files} <= noted
    capsys.readouterr()
    assert main(["audit", "--directory", str(tmp_path), "--configfile", str(SMOKE), str(overlay)]) == 1
    *rows, last = capsys.readouterr().out.splitlines()
    assert last.startswith(f"{sum(len(job.output) for job in planned)} files: ")
    missing = {row.removesuffix(": missing") for row in rows}
    assert missing <= {path for job in planned for path in job.output if job not in first}


def test_a_target_of_the_page_trains_nothing(tmp_path):
    (command,) = (
        each for each in COMMANDS if any(word.startswith("results/") and word.endswith(".parquet") for word in each)
    )
    (target,) = (word for word in command if word.endswith(".parquet"))
    section = target.split("/")[1]
    overlay = put_things(section, tmp_path)
    planned = jobs(tmp_path, SMOKE, overlay, targets=[target])
    assert {job.rule.name for job in planned} == {f"{section}_recorded", f"{section}_spectrum"}
    make(tmp_path, [overlay], [target])
    assert set(read_table(tmp_path / target)["condition"]) == {"mine"}


def test_pickles_of_older_scripts_become_tables(tmp_path, monkeypatch, capsys):
    (command,) = (each for each in COMMANDS if each[:3] == ["python", "-m", "memorization"])
    _, _, _, name, folder, _, to = command
    monkeypatch.chdir(tmp_path)
    rng, count = np.random.default_rng(0), 12
    measures = {"sequence_rank": np.arange(count), "logsoftmaxloss": rng.random(count), "accuracy": rng.random(count)}
    log = {"epoch": 0, "num_apppearances": np.zeros(count), "appearances": [rng.integers(0, count, 4)]}
    sets = {"sequences": [torch.from_numpy(rng.permutation(2**6)[:count, None] >> np.arange(6) & 1)]}
    older = tmp_path / folder
    older.mkdir(parents=True)
    record = {
        "args": {"seed": 3, "sequence_sampling_distribution": "uniform"},
        "logs": [log | {"test_metrics": measures}],
    }
    (older / "mine.pkl").write_bytes(pickle.dumps(record))
    (older / "mine_sequences.pkl").write_bytes(pickle.dumps(sets | {"switch_start_iter": [[0] * count]}))
    assert main([name, folder, "--to", to]) == 0
    assert "1 runs, 12 rows" in capsys.readouterr().out
    (by_sequence,), (records,) = ((tmp_path / to).glob(f"*_{kind}.parquet") for kind in ("by_sequence", "records"))
    assert set(read_table(by_sequence)["condition"]) == {"mine"}
    assert list(read_table(records)) == list(RECORD)
