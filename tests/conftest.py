"""One thread a process, as in every job: tests run beside others. And what several test files look at."""

import fcntl
import os
from pathlib import Path

import pytest
from command_line import Study, copy_of_checkout, snakemake

for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")


def pytest_addoption(parser):
    parser.addoption("--family", help="run this family's tests alone, and its part of the shared ones")


def pytest_collection_modifyitems(config, items):
    if family := config.getoption("--family"):
        from selection import NAMES, is_of  # here: it imports numpy, which reads the number of threads

        if family not in NAMES:
            raise pytest.UsageError(f"--family={family}: no such family; allowed: {', '.join(NAMES)}")
        others = [item for item in items if not is_of(family, item.nodeid)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Study:
    """The whole smoke workflow, made once for all of pytest's workers: look at it, change nothing."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    study, made = Study(folder / "study/checkout", folder / "study/smoke"), folder / "study_is_made"
    with (folder / "study.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            copy_of_checkout(study.root)
            printed = snakemake("--cores", "2", *study.arguments(), root=study.root)
            (study.folder / "printed.txt").write_text(printed)
            made.touch()
    return study


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A checkout of its own, for a test that edits it."""
    return copy_of_checkout(tmp_path / "checkout")
