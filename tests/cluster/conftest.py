"""Runs the real command line on a real Slurm."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import command, copy_of_checkout, ended, environment
from one_node_slurm import Slurm, missing, running

PROFILE = str(Path(__file__).parent / "profile")


class Cluster:
    """A Slurm, and a checkout from which Snakemake submits to it."""

    def __init__(self, slurm: Slurm, root: Path):
        self.slurm, self.root = slurm, root

    @contextmanager
    def submitting(self, *arguments: str, profile: str = PROFILE) -> Iterator[subprocess.Popen]:
        """``snakemake ARGUMENTS --profile PROFILE``, going on; its jobs end with it."""
        process = subprocess.Popen(
            command(*arguments, "--profile", profile),
            cwd=self.root,
            env=environment() | self.slurm.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            ended(process, 0)
            self.slurm.cancel(self.slurm.jobs())

    def snakemake(self, *arguments: str, profile: str = PROFILE, seconds: float = 240) -> str:
        """What ``snakemake ARGUMENTS --profile PROFILE`` prints within ``seconds``, and its exit status."""
        with self.submitting(*arguments, profile=profile) as process:
            return ended(process, seconds)


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    why = missing()
    if why:
        pytest.skip(f"tests/cluster {why}")
    with running() as slurm:
        yield slurm


@pytest.fixture(scope="session")
def cluster(slurm, tmp_path_factory) -> Cluster:
    return Cluster(slurm, copy_of_checkout(tmp_path_factory.mktemp("cluster") / "checkout"))
