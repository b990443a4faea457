from pathlib import Path

import pytest
from command_line import Study, copy_of_checkout, snakemake


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Study:
    folder = tmp_path_factory.mktemp("study")
    study = Study(copy_of_checkout(folder / "checkout"), folder / "smoke")
    snakemake("--cores", "2", *study.arguments(*study.FAMILIES), root=study.root)
    return study


@pytest.fixture
def checkout(tmp_path) -> Path:
    return copy_of_checkout(tmp_path / "checkout")
