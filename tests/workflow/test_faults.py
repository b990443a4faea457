"""What goes wrong on real machines, done to a training of every family: it is named, and a plain re-run mends it."""

import itertools
import re
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command_line import ROOT, Study, command, environment, snakemake

TRAININGS = {  # a family joins by naming a training of the smoke configuration, of 60 steps or more: condition, file
    "zipf": ("medium", "seed0/step60"),
    "associative_memory": ("heads_2", "seed0/step60"),
    "grokking": ("wd_1", "seed0"),
}
READ = {  # files that are damaged, and what is made of each and of no other of them: a family joins by naming some
    "trainings and analyses": {
        "zipf/sequences/smoke/seed0_resample1.npz": "zipf/trajectories/resample_all_but_mlp/seed0/step60.npz",
        "zipf/checkpoints/small/seed1/step40.safetensors": "zipf/trajectories/resample_all_but_mlp/seed1/step60.npz",
        "zipf/evaluations/large_lr/seed0/by_sequence.parquet": "figures/zipf_accuracy_large_lr.pdf",
        "associative_memory/sequences/smoke/seed0_resample1.npz": (
            "associative_memory/trajectories/resample/seed0/step60.npz"
        ),
        "associative_memory/checkpoints/heads_2/seed1/step40.safetensors": (
            "associative_memory/trajectories/resample/seed1/step60.npz"
        ),
        "associative_memory/evaluations/heads_1/seed0/by_sequence.parquet": (
            "figures/associative_memory_accuracy_heads_1.pdf"
        ),
        "grokking/trajectories/wd_0/seed0.npz": "grokking/embeddings/wd_0/seed0.npz",
        "tables/grokking_perturbation.parquet": "figures/grokking_perturbation.pdf",
    },
    "what all of a family is made of": {
        "grokking/equations/addition_31/seed0.npz": "grokking/trajectories/wd_1/seed0.npz"
    },
}
FAULTS = {  # what a sitecustomize.py does to each process that trains
    "the machine goes down": """
        import os, pathlib, signal, time
        import memorization.training.loop as loop
        real, training = loop.run, pathlib.Path("FOLDER/training")
        training.mkdir(exist_ok=True)
        def down(deadline):
            (training / str(os.getpid())).touch()
            while len(list(training.iterdir())) < COUNT and time.monotonic() < deadline:
                time.sleep(0.05)
            os.killpg(0, signal.SIGKILL)
        def run(step, *rest):
            return real(lambda n: down(time.monotonic() + 60) if n == 40 else step(n), *rest)
        loop.run = run
    """,
    "killed while writing": """
        import os, signal
        real = os.replace
        def replace(part, path):
            os.kill(os.getpid(), signal.SIGKILL) if str(path).endswith(TARGETS) else real(part, path)
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
    "out of memory": r"OutOfMemoryError: out of memory in batch 40",
    "not a number": r"TrainingError: step 4\d: the loss is nan",
}


class Run:
    """The trainings in a folder of their own: where their files are, and the command that makes them."""

    def __init__(self, folder: Path):
        self.folder = folder
        trainings = {family: "/".join(training) for family, training in TRAININGS.items()}
        self.targets = {family: f"results/{family}/trajectories/{name}.npz" for family, name in trainings.items()}
        self.logs = {family: folder / f"logs/{family}/train/{name}.log" for family, name in trainings.items()}

    @classmethod
    def to_come(cls, unbroken: "Run", folder: Path) -> "Run":
        """Where the data are made, and nothing is trained yet."""
        shutil.copytree(unbroken.folder, folder)
        for condition, _ in TRAININGS.values():
            for made in folder.glob(f"results/*/*/{condition}"):
                shutil.rmtree(made)
        return cls(folder)

    def arguments(self, checkpoint_seconds: float = 0.01) -> list[str]:
        overlay = self.folder.parent / f"{checkpoint_seconds}.yaml"
        overlay.write_text(f"progress: {{report_seconds: 0.01, checkpoint_seconds: {checkpoint_seconds}}}")
        cores = ("--keep-going", "--cores", str(len(TRAININGS)))  # all at once
        return [*self.targets.values(), *cores, *Study(ROOT, self.folder).arguments(overlays=(str(overlay),))]

    def again(self) -> str:
        return snakemake(*self.arguments(), root=ROOT)

    def broken(self, fault: str) -> str:
        """Run with a fault in each process that trains; what is printed."""
        folder = self.folder.parent
        body = "\n".join(line[8:] for line in FAULTS[fault].splitlines())
        given = {"TARGETS": tuple(self.targets.values()), "FOLDER": folder, "COUNT": len(TRAININGS)}
        for name, value in given.items():
            body = body.replace(name, str(value))
        (folder / "sitecustomize.py").write_text(
            "import sys\nif any(part.endswith('train.py') for part in sys.orig_argv):\n    "
            + body.replace("\n", "\n    ")
        )
        found = environment() | {"PYTHONPATH": str(folder)}
        result = subprocess.run(
            command(*self.arguments()),
            cwd=ROOT, env=found, capture_output=True, text=True, check=False, start_new_session=True,
        )  # fmt: skip
        if fault == "the machine goes down":
            assert result.returncode == -signal.SIGKILL
            snakemake("--unlock", *self.arguments(), root=ROOT)
        else:
            assert result.returncode == 1
        return result.stderr

    def results(self) -> dict[str, bytes]:
        made = sorted((self.folder / "results").rglob("*.*"))
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in made}

    def unfinished(self) -> list[Path]:
        return list(self.folder.rglob("*.unfinished"))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Run:
    run = Run(tmp_path_factory.mktemp("faults") / "unbroken")
    run.again()
    return run


@pytest.fixture
def run(unbroken, tmp_path) -> Run:
    return Run.to_come(unbroken, tmp_path / "run")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_training_that_fails_says_why_keeps_its_last_good_state_and_ends_in_the_same_bytes(unbroken, run, fault):
    printed = run.broken(fault)
    assert not list(run.folder.rglob("*.part")) or "kill" in FAULTS[fault]
    assert len(run.unfinished()) == len(TRAININGS)
    for family, (condition, _) in TRAININGS.items():
        assert not (run.folder / run.targets[family]).exists()
        log = run.logs[family].read_text()
        assert f"condition={condition} seed=0" in log.splitlines()[0]
        if fault in SAID:
            assert re.search(SAID[fault], log.splitlines()[-1])
            assert log.splitlines()[-1] in printed  # show-failed-logs
    run.again()
    for log in run.logs.values():
        going_on = re.search(r"going on after step (\d+)", log.read_text())
        assert 0 < int(going_on[1]) < (1000 if fault == "killed while writing" else 40)
    assert run.results() == unbroken.results()
    assert not run.unfinished()
    assert not list(run.folder.rglob("*.part"))


@pytest.mark.parametrize("checkpoint_seconds", [0.01, 3600])
def test_a_full_disk_is_named_and_leaves_nothing_half_written(unbroken, run, checkpoint_seconds):
    """The kernel refuses to write on, as on a full disk: inside of the unfinished checkpoint, or of the results."""
    made = {name: len(content) for name, content in unbroken.results().items()}
    size = min(made[target] for target in run.targets.values()) // 2

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    result = subprocess.run(
        command(*run.arguments(checkpoint_seconds)),
        cwd=ROOT, env=environment(), preexec_fn=limit, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    for family, target in run.targets.items():
        log = run.logs[family].read_text()
        assert "File too large" in log
        named = re.search(r"while (\S+) was written", log)[1]
        assert made[named] > size if checkpoint_seconds > 1 else named.endswith(".unfinished")
        assert not (run.folder / target).exists()
    assert not list((run.folder / "results").rglob("*.part"))
    run.again()
    assert run.results() == unbroken.results()


def test_a_damaged_unfinished_checkpoint_is_named_and_not_gone_on_from(unbroken, run):
    run.broken("out of memory")
    for kept in run.unfinished():
        kept.write_bytes(altered(kept.read_bytes()))
    run.again()
    for log in run.logs.values():
        assert re.search(r"\.unfinished: damaged \(.*\).*: starting from the beginning", log.read_text())
        assert "going on after" not in log.read_text()
    assert run.results() == unbroken.results()


@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_damaged_files_are_refused_by_name_and_made_again_where_they_were_deleted(study, tmp_path, read):
    copy = tmp_path / "smoke"
    shutil.copytree(study.folder, copy)
    targets = [f"results/{target}" for target in read.values()]
    arguments = [*targets, "--keep-going", "--cores", "2", *Study(ROOT, copy).arguments()]
    for target in targets:
        (copy / target).unlink(missing_ok=True)
    for given, damaged in zip(read, itertools.cycle((cut_off, altered)), strict=False):
        (copy / "results" / given).write_bytes(damaged((study.folder / "results" / given).read_bytes()))
    printed = snakemake(*arguments, root=study.root, check=False)
    assert printed.endswith("exit 1")
    for given, target in read.items():
        assert re.search(rf"results/{given}: damaged \(.*\); delete it and run again", printed), given
        assert not (copy / "results" / target).exists()
    for given in read:
        (copy / "results" / given).unlink()
    snakemake(*arguments, root=study.root)
    for path in filter(Path.is_file, (study.folder / "results").rglob("*")):
        assert (copy / path.relative_to(study.folder)).read_bytes() == path.read_bytes(), path


def cut_off(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def altered(whole: bytes) -> bytes:
    third = len(whole) // 3
    return whole[:third] + bytes(byte ^ 1 for byte in whole[third : 2 * third]) + whole[2 * third :]


def test_a_second_run_at_once_is_told_of_the_first_and_changes_nothing(unbroken, run):
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
