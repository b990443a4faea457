"""The workflow in another's Snakefile: as a module with a configuration of its own, and by include."""

import pytest
from command_line import ROOT, smoke_job, snakemake

TARGET = str(smoke_job("random_sequences").output[0])
FAMILY = TARGET.split("/")[1]
MODULE = f"""
configfile: "outer.yaml"

rule outer:
    input: "{TARGET}"

module memorization:
    snakefile: "{ROOT}/Snakefile"
    config: config["memorization"]

use rule * from memorization as memorization_*
"""
INCLUDED = f"""
configfile: "outer.yaml"

rule outer:
    input: "{TARGET}"

include: "{ROOT}/Snakefile"
"""
SECTION = f"""{FAMILY}:
  datasets:
    - {{name: smoke, count: 30, length: 12, exponent: 1.0}}
  defaults: {{dataset: smoke}}
  conditions: [{{name: one}}]
  switches: []
  panels: [one]
  ranks: [0]
  heads: [one]
  etas: [one]
  attention: {{condition: one, bits: [4]}}
"""


@pytest.fixture
def outer(tmp_path):
    def write(snakefile: str, configuration: str):
        (tmp_path / "Snakefile").write_text(snakefile)
        (tmp_path / "outer.yaml").write_text(configuration)
        return tmp_path

    return write


def indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


def test_as_a_module_it_fills_in_its_own_defaults_and_makes_its_files(outer):
    folder = outer(MODULE, "own: 3\nmemorization:\n" + indented(SECTION))
    printed = snakemake("--cores", "1", "--snakefile", str(folder / "Snakefile"), root=folder)
    assert "memorization_random_sequences" in printed
    assert (folder / TARGET).exists()


def test_a_mistake_in_a_module_s_configuration_is_one_line_that_names_its_key(outer):
    folder = outer(MODULE, "memorization: {device: gpu}")
    printed = snakemake("-n", "--snakefile", str(folder / "Snakefile"), root=folder, check=False)
    assert "device: 'gpu' is not allowed; allowed: auto, cpu, cuda" in printed
    folder = outer(MODULE, "memorization: {own: 3}")
    printed = snakemake("-n", "--snakefile", str(folder / "Snakefile"), root=folder, check=False)
    assert "own: unknown section; allowed: " in printed


def test_included_it_leaves_the_outer_workflow_s_own_keys_and_default_target_alone(outer):
    folder = outer(INCLUDED, "own: 3\n" + SECTION)
    printed = snakemake("--cores", "1", "--snakefile", str(folder / "Snakefile"), root=folder)
    assert "outer" in printed
    assert (folder / TARGET).exists()
