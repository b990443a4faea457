"""A machine with two pretended GPUs, which a stand-in for nvidia-smi lists."""

import os
import re

from command_line import ROOT, snakemake


def test_as_many_training_jobs_run_as_gpus_each_with_a_slot_of_its_own(tmp_path, monkeypatch):
    smi = tmp_path / "bin/nvidia-smi"
    smi.parent.mkdir()
    smi.write_text("#!/bin/sh\nprintf 'GPU-A\\nGPU-B\\n'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{smi.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    targets = [f"results/zipf/trajectories/small/seed{seed}/step9.npz" for seed in range(4)]
    settings = ["--configfile", "config/smoke.yaml", "--directory", str(tmp_path / "run")]
    sequences = [f"results/zipf/sequences/smoke/seed{seed}.npz" for seed in range(4)]
    snakemake(*sequences, "--cores", "1", *settings, root=ROOT)
    printed = snakemake(*targets, "--cores", "4", "--resources", "gpu=2", *settings, root=ROOT)
    running, most = set(), 0
    for begun, ended in re.findall(r"^Job (\d+): zipf: training|^Finished jobid: (\d+)", printed, re.MULTILINE):
        running = running | {begun} if begun else running - {ended}
        most = max(most, len(running))
    assert most == 2
    logs = [(tmp_path / f"run/logs/zipf/train/small/seed{seed}/step9.log").read_text() for seed in range(4)]
    assert {re.search(r"^slots taken: (.*)$", log, re.MULTILINE).group(1) for log in logs} == {"GPU-A.1", "GPU-B.1"}
