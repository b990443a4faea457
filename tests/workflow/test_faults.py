"""What goes wrong on real machines, done to the one frame of training: it is named, and a plain re-run mends it."""

import re
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from command_line import ROOT, Study, command, environment, smoke_job, smoke_jobs, snakemake

TRAINING = smoke_job("_train")  # of one family: all have the same frame
TARGET = next(str(path) for path in TRAINING.output if str(path).endswith(".npz"))
FAULTS = {  # what a sitecustomize.py does to the process that trains
    "killed in the middle": """
        import os, signal
        import memorization.training.fit as fit
        real = fit._run
        def run(step, *rest):
            return real(lambda n: os.kill(os.getpid(), signal.SIGKILL) if n == 20 else step(n), *rest)
        fit._run = run
    """,
    "killed while writing": """
        import os, signal
        real = os.replace
        def replace(part, path):
            os.kill(os.getpid(), signal.SIGKILL) if str(path).endswith("TARGET") else real(part, path)
        os.replace = replace
    """,
}


class Run:
    """A training in a folder of its own, and the command that makes it."""

    def __init__(self, folder: Path):
        self.folder = folder

    def arguments(self) -> list[str]:
        overlay = self.folder.parent / "often.yaml"
        overlay.write_text("progress: {report_seconds: 0.01, checkpoint_seconds: 0.01}")
        return [TARGET, "--cores", "1", *Study(ROOT, self.folder).arguments(overlays=(str(overlay),))]

    def broken(self, fault: str) -> None:
        body = "\n".join(line[8:] for line in FAULTS[fault].splitlines()).replace("TARGET", TARGET)
        place = self.folder.parent
        (place / "sitecustomize.py").write_text(
            "import sys\nif any(part.endswith('train.py') for part in sys.orig_argv):\n    "
            + body.replace("\n", "\n    ")
        )
        found = environment() | {"PYTHONPATH": str(place)}
        ended = subprocess.run(command(*self.arguments()), cwd=ROOT, env=found, capture_output=True, check=False)
        assert ended.returncode == 1

    def log(self) -> str:
        return (self.folder / str(TRAINING.log[0])).read_text()


@pytest.fixture
def run(study, tmp_path) -> Run:
    """Where the data of a training are made, and nothing is trained yet."""
    run = Run(tmp_path / "run")
    for path in map(str, TRAINING.input):
        (run.folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(study.folder / path, run.folder / path)
    return run


@pytest.mark.parametrize("fault", FAULTS)
def test_a_training_that_is_killed_keeps_its_last_good_state_and_ends_in_the_same_bytes(study, run, fault):
    run.broken(fault)
    assert len(list(run.folder.rglob("*.unfinished"))) == 1
    assert not (run.folder / TARGET).exists()
    snakemake(*run.arguments(), root=ROOT)
    assert int(re.search(r"going on after step (\d+)", run.log())[1]) > 0
    for path in map(str, TRAINING.output):
        assert (run.folder / path).read_bytes() == (study.folder / path).read_bytes(), path
    assert not list(run.folder.rglob("*.unfinished"))
    assert not list(run.folder.rglob("*.part"))


def test_a_full_disk_is_named_and_leaves_nothing_half_written(study, run):
    """The kernel refuses to write on, as on a full disk."""
    size = (study.folder / TARGET).stat().st_size - 1  # what Snakemake writes for a job is smaller

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    ended = subprocess.run(
        command(*run.arguments()), cwd=ROOT, env=environment(), preexec_fn=limit, capture_output=True, check=False
    )
    assert ended.returncode == 1
    assert "File too large" in run.log()
    assert re.search(r"while (\S+) was written", run.log())
    assert not (run.folder / TARGET).exists()
    assert not list((run.folder / "results").rglob("*.part"))


def test_damaged_files_are_refused_by_name_and_made_again_where_they_were_deleted(study, tmp_path):
    """An input of a figure: one file of a run."""
    figure = smoke_job("_loss_figure")
    given, target = str(figure.input[0]), str(figure.output.pdf)
    folder = tmp_path / "smoke"
    shutil.copytree(study.folder, folder)
    (folder / target).unlink()
    content = (folder / given).read_bytes()
    (folder / given).write_bytes(content[: len(content) // 2])
    arguments = [target, "--cores", "1", *Study(ROOT, folder).arguments()]
    printed = snakemake(*arguments, root=study.root, check=False)
    assert printed.endswith("exit 1")
    assert re.search(rf"{given}: damaged \(.*\); delete it and run again", printed)
    (folder / given).unlink()
    snakemake(*arguments, root=study.root)
    for path in {target} | {str(path) for job in smoke_jobs() if given in job.output for path in job.output}:
        assert (folder / path).read_bytes() == (study.folder / path).read_bytes(), path
