"""A training that is killed goes on where it was."""

import os
import signal
import subprocess
import time

from command_line import ROOT, command, environment, snakemake

STEP = 1500
TARGET = f"results/zipf/trajectories/medium/seed0/step{STEP}.npz"
CHECKPOINT = f"results/zipf/checkpoints/medium/seed0/step{STEP}.safetensors"


def test_a_training_that_is_killed_ends_in_the_bytes_of_an_unbroken_one(tmp_path):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("progress: {report_seconds: 0.2, checkpoint_seconds: 0.2}")

    def arguments(name):
        return [
            TARGET,
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
    run = subprocess.Popen(
        command(*arguments("broken")),
        cwd=ROOT, env=environment(), start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list((broken / CHECKPOINT).parent.glob("*.unfinished")):
        assert time.monotonic() < deadline
        assert run.poll() is None
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert not (broken / TARGET).exists()
    snakemake("--unlock", *arguments("broken"), root=ROOT)
    snakemake(*arguments("broken"), root=ROOT)
    log = (broken / f"logs/zipf/train/medium/seed0/step{STEP}.log").read_text()
    assert "going on after step" in log
    for name in (TARGET, CHECKPOINT):
        assert (broken / name).read_bytes() == (tmp_path / "unbroken" / name).read_bytes()
    assert not list((broken / CHECKPOINT).parent.glob("*.unfinished"))
