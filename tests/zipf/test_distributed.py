"""Trainings in two processes, on a CPU by gloo, against the same in one."""

import os

import numpy as np
import pytest
import torch

from memorization.data.sequences import Batches, following_set, sample_sequences, zipf_probabilities
from memorization.files import read_arrays, write_arrays
from memorization.provenance import generator
from memorization.training.checkpoints import read_tensors, write_tensors
from memorization.training.devices import set_up
from memorization.training.distributed import launch, train_in
from memorization.zipf.training import Transformer, train_run

CONDITION = {
    "architecture": "decoder", "n_layers": 1, "n_heads": 2, "d_model": 16, "positions": "learned", "init_std": 0.1,
    "optimizer": "adamw", "learning_rate": 1e-3, "decay": 0, "freeze": "none", "precision": "float32",
    "batch_size": 30, "dataset": "test",
}  # fmt: skip
COUNT, LENGTH = 20, 10


@pytest.fixture
def arguments(tmp_path):
    """``arguments(folder, …)`` of ``train_run``, each training with a folder of its own."""
    set_up("cpu", threads=1)
    p = zipf_probabilities(COUNT, 1.0)
    sequences = sample_sequences(COUNT, LENGTH, generator("test", 0, "sequences"))
    write_arrays(tmp_path / "sequences.npz", {"sequences": sequences, "probabilities": p}, {})

    def given(folder, steps=25, **change):
        (tmp_path / folder).mkdir(exist_ok=True)
        return {
            "condition": CONDITION,
            "sequences": [str(tmp_path / "sequences.npz")],
            "before": [],
            "seed": 0,
            "steps": steps,
            "evaluation": {"n_records": 4, "n_late": 1, "head": 0, "train_stride": 1},
            "unfinished": str(tmp_path / folder / "x.a.unfinished"),
            "progress": {"report_seconds": 3600, "checkpoint_seconds": 3600},
            "device": "cpu",
        } | change

    return given


def largest_difference(one, other):
    assert one.keys() == other.keys()
    return max(np.abs(np.asarray(one[name], float) - np.asarray(other[name], float)).max() for name in one)


def test_two_processes_train_like_one_and_go_on_after_a_switch(arguments, tmp_path, capfd):
    before, _ = train_run(**arguments("first", steps=10))
    write_tensors(tmp_path / "before", before, {})
    first = read_arrays(tmp_path / "sequences.npz")
    second = following_set(first["sequences"][None], "resample", np.random.default_rng(1))
    write_arrays(tmp_path / "second.npz", {"sequences": second, "probabilities": first["probabilities"]}, {})
    switched = {"before": [str(tmp_path / "before")], "condition": CONDITION | {"freeze": "attention_qkv"}}
    switched["sequences"] = [str(tmp_path / name) for name in ("sequences.npz", "second.npz")]
    capfd.readouterr()
    state, trajectory = train_run(**arguments("one", **switched))
    (alone,) = [line for line in capfd.readouterr().out.splitlines() if "step 25" in line]
    two_state, two_trajectory = train_in(2, train_run, **arguments("two", **switched))
    assert 0 < largest_difference(two_state, state) <= 1e-6
    assert largest_difference(two_trajectory, trajectory) <= 1e-6
    report, going_on = [line for line in capfd.readouterr().out.splitlines() if "step 25" in line]
    assert report.split()[:4] == alone.split()[:4]  # of the whole batch, and printed once
    assert going_on.startswith("going on after step 25, from")


IN_FLOAT64 = """
import numpy as np, torch
from memorization.data.sequences import Batches
from memorization.training.checkpoints import write_tensors
from memorization.zipf.training import Transformer

def train(cases, device, progress, keep_last):
    torch.set_default_dtype(torch.float64)
    for case in cases:
        learner = Transformer(case["condition"], len(case["sequences"][0]), 0, device)
        batches = Batches(np.array(case["probabilities"]), case["size"], "test", 0)
        for n in range(1, 31):
            loss = learner.step(n, np.array(case["sequences"], np.uint8), batches.ranks(n))
        if keep_last:
            write_tensors(case["path"], learner.state() | {"loss": loss}, {})
"""


def test_in_float64_they_agree_to_rounding_even_where_one_has_no_sequence(tmp_path, monkeypatch):
    (tmp_path / "in_float64.py").write_text(IN_FLOAT64)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    cases = []
    for count, size, freeze in ((3, 2, "none"), (COUNT, 30, "all_but_mlp")):
        p, condition = zipf_probabilities(count, 1.0), CONDITION | {"freeze": freeze}
        sequences = sample_sequences(count, LENGTH, generator("test", 0, "sequences"))
        given = {"condition": condition, "probabilities": list(p), "sequences": sequences.tolist(), "size": size}
        cases.append(given | {"path": str(tmp_path / freeze)})
    arguments = {"cases": cases, "device": "cpu", "progress": {}}
    launch({"module": "in_float64", "function": "train", "arguments": arguments}, world_size=2)
    for case in cases:
        sequences = np.array(case["sequences"], np.uint8)
        batches = Batches(np.array(case["probabilities"]), case["size"], "test", 0)
        assert (min(len(set(batches.ranks(n))) for n in range(1, 31)) == 1) == (len(sequences) == 3)
        torch.set_default_dtype(torch.float64)
        try:
            learner = Transformer(case["condition"], LENGTH, 0, "cpu")
            for n in range(1, 31):
                loss = learner.step(n, sequences, batches.ranks(n))
        finally:
            torch.set_default_dtype(torch.float32)
        two = read_tensors(case["path"])
        assert two["model.head.weight"].dtype == torch.float64
        # Rounding, which 30 steps amplify to 1e-13 on one CPU and 1.3e-12 on another; a wrong weight would be 1e-3.
        assert largest_difference(two, learner.state() | {"loss": loss}) <= 1e-11
