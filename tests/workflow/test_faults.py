"""What goes wrong on real machines, done to a training of every family: it is named, and a plain re-run mends it."""

import re
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command_line import ROOT, command, environment, snakemake

TRAININGS = {  # a family joins by naming a training of the smoke configuration, of 60 steps or more: condition, file
    "zipf": ("medium", "seed0/step60"),
    "associative_memory": ("heads_2", "seed0/step60"),
    "grokking": ("wd_1", "seed0"),
}
FAULTS = {  # what a sitecustomize.py does to the process that trains
    "killed while writing": """
        import os, signal
        real = os.replace
        def replace(part, path):
            os.kill(os.getpid(), signal.SIGKILL) if str(path).endswith("TARGET") else real(part, path)
        os.replace = replace
    """,
    "out of memory": """
        import torch
        import memorization.training.loop as loop
        real = loop.run
        def run(step, *rest):
            def fails(n):
                if n == 40:
                    raise torch.OutOfMemoryError("out of memory in batch 40")
                return step(n)
            return real(fails, *rest)
        loop.run = run
    """,
    "not a number": """
        import torch
        import memorization.training.loop as loop
        real = loop.run
        loop.run = lambda step, *rest: real(lambda n: step(n) * (float("nan") if n >= 40 else 1), *rest)
    """,
}
SAID = {  # at the end of the log, and by Snakemake
    "killed while writing": None,
    "out of memory": r"OutOfMemoryError: out of memory in batch 40",
    "not a number": r"TrainingError: step 4\d: the loss is nan",
}


class Run:
    """A training in a folder of its own: where its files are, and the command that makes them."""

    def __init__(self, family: str, folder: Path):
        self.family, self.folder = family, folder
        training = "/".join(TRAININGS[family])
        self.target = f"results/{family}/trajectories/{training}.npz"
        self.log = folder / f"logs/{family}/train/{training}.log"

    def arguments(self) -> list[str]:
        overlay = self.folder.parent / "overlay.yaml"
        overlay.write_text("progress: {report_seconds: 0.01, checkpoint_seconds: 0.01}")
        return [
            self.target,
            "--cores",
            "1",
            "--configfile",
            "config/smoke.yaml",
            str(overlay),
            "--directory",
            str(self.folder),
        ]

    def again(self) -> str:
        return snakemake(*self.arguments(), root=ROOT)

    def broken(self, folder: Path, fault: str) -> str:
        """Run with a fault in the process that trains; what is printed."""
        body = "\n".join(line[8:] for line in FAULTS[fault].splitlines()).replace("TARGET", self.target)
        (folder / "sitecustomize.py").write_text(
            "import sys\nif any(part.endswith('train.py') for part in sys.orig_argv):\n    "
            + body.replace("\n", "\n    ")
        )
        found = environment() | {"PYTHONPATH": str(folder)}
        result = subprocess.run(
            command(*self.arguments()), cwd=ROOT, env=found, capture_output=True, text=True, check=False
        )
        assert result.returncode == 1
        return result.stderr

    def results(self) -> dict[str, bytes]:
        made = sorted((self.folder / "results").rglob("*.*"))
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in made}

    def unfinished(self) -> list[Path]:
        return list(self.folder.rglob("*.unfinished"))


@pytest.fixture(scope="module", params=TRAININGS)
def unbroken(request, tmp_path_factory) -> Run:
    run = Run(request.param, tmp_path_factory.mktemp(request.param) / "unbroken")
    run.again()
    return run


@pytest.mark.parametrize("fault", FAULTS)
def test_a_training_that_fails_says_why_keeps_its_last_good_state_and_ends_in_the_same_bytes(unbroken, tmp_path, fault):
    run = Run(unbroken.family, tmp_path / "broken")
    printed = run.broken(tmp_path, fault)
    assert not (run.folder / run.target).exists()
    assert not list(run.folder.rglob("*.part")) or fault == "killed while writing"
    assert run.unfinished()
    log = run.log.read_text()
    assert f"condition={TRAININGS[run.family][0]} seed=0" in log.splitlines()[0]
    if SAID[fault]:
        assert re.search(SAID[fault], log.splitlines()[-1])
        assert re.search(SAID[fault], printed)  # show-failed-logs
    run.again()
    going_on = re.search(r"going on after step (\d+)", run.log.read_text())
    assert 0 < int(going_on[1]) < (1000 if fault == "killed while writing" else 40)
    assert run.results() == unbroken.results()
    assert not run.unfinished()
    assert not list(run.folder.rglob("*.part"))


def test_a_full_disk_leaves_nothing_half_written(unbroken, tmp_path):
    """The kernel refuses to write on, as on a full disk, somewhere inside of the largest result."""
    run = Run(unbroken.family, tmp_path / "broken")
    size = max(len(content) for content in unbroken.results().values())

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

    result = subprocess.run(
        command(*run.arguments()),
        cwd=ROOT,
        env=environment(),
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "File too large" in run.log.read_text()
    assert not (run.folder / run.target).exists()
    assert not list((run.folder / "results").rglob("*.part"))
    run.again()
    assert run.results() == unbroken.results()


def test_a_damaged_unfinished_checkpoint_is_named_and_not_gone_on_from(unbroken, tmp_path):
    run = Run(unbroken.family, tmp_path / "broken")
    run.broken(tmp_path, "out of memory")
    (kept,) = run.unfinished()
    content = bytearray(kept.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    kept.write_bytes(content)
    run.again()
    log = run.log.read_text()
    assert re.search(r"\.unfinished: damaged \(.*\).*: starting from the beginning", log)
    assert "going on after" not in log
    assert run.results() == unbroken.results()


def test_damaged_inputs_are_refused_by_name_and_made_again_where_they_were_deleted(unbroken, tmp_path):
    run = Run(unbroken.family, tmp_path / "broken")
    run.again()
    (run.folder / run.target).unlink()
    for given in (run.folder / f"results/{run.family}").glob("*/*/*.npz"):
        whole = given.read_bytes()
        half = len(whole) // 2
        for damage in (whole[:half], whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :]):
            given.write_bytes(damage)
            printed = snakemake(*run.arguments(), root=ROOT, check=False)
            assert printed.endswith("exit 1")
            assert re.search(rf"{given.name}: damaged \(.*\); delete it and run again", printed)
            assert not (run.folder / run.target).exists()
        given.unlink()
    run.again()
    assert run.results() == unbroken.results()


def test_a_second_run_at_once_is_told_of_the_first_and_changes_nothing(unbroken, tmp_path):
    run = Run(unbroken.family, tmp_path / "twice")
    first = subprocess.Popen(
        command(*run.arguments()), cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(run.folder.glob(".snakemake/locks/*")):
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.01)
    printed = snakemake(*run.arguments(), root=ROOT, check=False)
    assert first.wait() == 0
    assert printed.endswith("exit 1")
    assert "Directory cannot be locked" in printed
    assert run.results() == unbroken.results()
