"""A machine with two pretended GPUs, which a stand-in for nvidia-smi lists."""

import os
import re

import pytest
from command_line import ROOT, SMOKE, jobs, smoke_job, smoke_jobs, snakemake

TRAINING = smoke_job("_train")
FAMILY = TRAINING.rule.name.removesuffix("_train")


def test_as_many_training_jobs_run_as_gpus_each_with_a_slot_of_its_own(tmp_path, monkeypatch):
    smi = tmp_path / "bin/nvidia-smi"
    smi.parent.mkdir()
    smi.write_text("#!/bin/sh\nprintf 'GPU-A\\nGPU-B\\n'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{smi.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    trainings = [TRAINING.output[0].replace("seed0", f"seed{seed}") for seed in range(3)]
    settings = ["--configfile", "config/smoke.yaml", "--directory", str(tmp_path / "run")]
    snakemake(
        *(path.replace("seed0", f"seed{seed}") for path in TRAINING.input for seed in range(3)),
        "--cores",
        "1",
        *settings,
        root=ROOT,
    )
    printed = snakemake(*trainings, "--cores", "3", "--resources", "gpu=2", *settings, root=ROOT)
    running, most = set(), 0
    for begun, ended in re.findall(rf"^Job (\d+): {FAMILY}: training|^Finished jobid: (\d+)", printed, re.MULTILINE):
        running = running | {begun} if begun else running - {ended}
        most = max(most, len(running))
    assert most == 2
    logs = [path.read_text() for path in (tmp_path / "run/logs").rglob("*.log") if "/train/" in str(path)]
    assert len(logs) == 3
    assert {re.search(r"^slots taken: (.*)$", log, re.MULTILINE).group(1) for log in logs} == {"GPU-A.1", "GPU-B.1"}


@pytest.mark.parametrize(("device", "asked"), [("auto", 0), ("cpu", 0), ("cuda", 1)])
def test_a_training_asks_for_its_gpus_where_it_must_have_them(tmp_path, device, asked):
    for job in jobs(tmp_path, SMOKE, config={"device": device}):
        if job.rule.name.endswith("_train"):
            assert job.resources.gpu == asked


def test_a_gpu_of_this_machine_is_no_limit_of_a_cluster_s(tmp_path):
    assert smoke_jobs()[0].dag.workflow.resource_scopes.is_local("gpu")


def test_a_training_that_is_spread_over_gpus_asks_for_all_of_them(tmp_path):
    trainings = [job for job in smoke_jobs() if job.rule.name.endswith("_train")]
    spread = {job.rule.name.removesuffix("_train") for job in trainings if '"gpus"' in job.params.condition}
    assert spread
    for family in spread:
        config = {"device": "cuda", family: {"defaults": {"gpus": 2}}}
        asked = [job for job in jobs(tmp_path, SMOKE, config=config) if job.rule.name == f"{family}_train"]
        assert {(job.resources.gpu, job.threads) for job in asked} <= {(2, 1), (2, 2)}
