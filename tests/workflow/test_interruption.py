"""A training that is killed goes on where it was."""

import os
import signal
import subprocess
import time

import pytest
from command_line import ROOT, command, environment, snakemake

STEP = 1500
CONDITIONS = {"zipf": "medium", "associative_memory": "heads_2"}


@pytest.mark.parametrize("family", CONDITIONS)
def test_a_training_that_is_killed_ends_in_the_bytes_of_an_unbroken_one(tmp_path, family):
    run = f"{CONDITIONS[family]}/seed0/step{STEP}"
    target, checkpoint = f"results/{family}/trajectories/{run}.npz", f"results/{family}/checkpoints/{run}.safetensors"
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("progress: {report_seconds: 0.2, checkpoint_seconds: 0.2}")

    def arguments(name):
        return [
            target,
            "--cores",
            "1",
            "--configfile",
            "config/smoke.yaml",
            str(overlay),
            "--directory",
            str(tmp_path / name),
        ]

    snakemake(*arguments("unbroken"), root=ROOT)
    broken = tmp_path / "broken"
    process = subprocess.Popen(
        command(*arguments("broken")),
        cwd=ROOT, env=environment(), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list((broken / checkpoint).parent.glob("*.unfinished")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (broken / target).exists()
    snakemake("--unlock", *arguments("broken"), root=ROOT)
    snakemake(*arguments("broken"), root=ROOT)
    log = (broken / f"logs/{family}/train/{run}.log").read_text()
    assert "going on after step" in log
    for name in (target, checkpoint):
        assert (broken / name).read_bytes() == (tmp_path / "unbroken" / name).read_bytes()
    assert not list((broken / checkpoint).parent.glob("*.unfinished"))
