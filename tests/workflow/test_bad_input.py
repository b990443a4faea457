"""Bad input is one line that names the key, before any job, and leaves nothing behind."""

import pytest
import yaml
from command_line import ROOT, SMOKE, jobs, snakemake
from refusals import refusal, smoke
from snakemake.exceptions import WorkflowError

from memorization.families import FAMILIES, complete, configured

FAMILY = pytest.mark.parametrize("family", [family.name for family in FAMILIES])
SECTION = pytest.mark.parametrize("family", [name for name in smoke() if "conditions" in smoke()[name]])
BAD = {
    "unknown section": ({"zipfs": {}}, "zipfs: unknown section; allowed: "),
    "unknown device": ({"device": "gpu"}, "device: 'gpu' is not allowed; allowed: auto, cpu, cuda"),
    "no share": ({"gpu_share": 0}, "gpu_share: 0 is less than the minimum of 1"),
    "unknown progress": ({"progress": {"seconds": 1}}, "progress.seconds: unknown key; allowed: checkpoint_seconds"),
    "unknown family": ({"families": ["zipfs"]}, "families: there is no 'zipfs'; allowed: "),
    "a section that is a number": ({"style": 3}, "style: 3 is not of type 'object'"),
    "a size that is no number": (
        {"style": {"dpi": "1e2"}},
        "style.dpi: '1e2' is text to YAML, not a number; write 1.0e-3",
    ),
    "quoted by the command line": (
        {"style": {"dpi": "100"}},
        "style.dpi: '100' is text: Snakemake hands on nested values",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_one_line(name):
    change, message = BAD[name]
    assert refusal(change).startswith(message)


@FAMILY
def test_an_unknown_key_of_a_family_is_named_with_those_that_are_known(family):
    assert refusal({family: {"sedes": 3}}).startswith(f"{family}.sedes: unknown key; allowed: ")


@FAMILY
def test_a_missing_key_is_named(family):
    config = complete(smoke())
    figure, keys = next(iter(config[family]["figures"].items()))
    for section, key in ((config[family], "outputs"), (config[family]["figures"], figure), (keys, next(iter(keys)))):
        kept = section.pop(key)
        with pytest.raises(ValueError, match=rf"^{family}\.(\w+\.)*{key}: missing$"):
            configured(config)
        section[key] = kept
    configured(config)


@SECTION
def test_mistakes_that_every_family_can_hold(family):
    assert refusal({family: {"seeds": 0}}) == f"{family}.seeds: 0 is less than the minimum of 1"
    assert refusal({family: {"seeds": "1"}}).startswith(
        f"{family}.seeds: '1' is text: Snakemake hands on nested values"
    )
    first = smoke()[family]["conditions"][0]
    assert refusal({family: {"conditions": [first, first]}}) == (
        f"{family}.conditions: named twice: {first['name']}; names must differ"
    )
    assert refusal({family: {"conditions": [first | {"name": "Ä"}]}}).endswith(
        "'Ä'; allowed: small letters and digits, a letter first, words joined by _"
    )
    assert refusal({family: {"conditions": [first | {"mem_mb": 0}]}}).startswith(
        f"{family}.conditions[{first['name']}].mem_mb: 0 is less than the minimum of 1"
    )
    assert refusal({family: {"conditions": [first | {"dataset": "none"}]}}).startswith(
        f"{family}.conditions[{first['name']}].dataset: there is no 'none'; allowed: "
    )
    assert refusal({family: {"defaults": {"mem_mb": 0}}}).startswith(f"{family}.defaults.mem_mb: 0 is less than")


@FAMILY
def test_limits_of_axes_rise(family):
    for name, keys in complete({})[family]["figures"].items():
        for key, value in keys.items():
            if isinstance(value, list):
                message = refusal({family: {"figures": {name: {key: [2, 1]}}}})
                assert message == f"{family}.figures.{name}.{key}: [2, 1]; allowed: [low, high] with low below high"


def test_the_workflow_refuses_before_any_job_and_leaves_nothing(tmp_path):
    overlay, folder = tmp_path / "overlay.yaml", tmp_path / "run"
    overlay.write_text(yaml.safe_dump({"device": "gpu"}))
    with pytest.raises(WorkflowError, match=r"^device: 'gpu' is not allowed"):
        jobs(folder, SMOKE, overlay)
    assert not [path for path in folder.rglob("*") if path.is_file() and ".snakemake" not in path.parts]


def test_the_command_line_says_it_in_one_line_and_fails(tmp_path):
    arguments = ["all", "--cores", "1", "--config", "device=gpu", "--directory", str(tmp_path / "run")]
    printed = snakemake(*arguments, root=ROOT, check=False)
    assert printed.endswith("exit 1")
    assert printed.count("device: 'gpu' is not allowed; allowed: auto, cpu, cuda") == 1
    assert "Traceback" not in printed
    assert not (tmp_path / "run/results").exists()


@SECTION
def test_the_command_line_s_nested_values_are_text_and_that_is_said(tmp_path, family):
    arguments = ["all", "--cores", "1", "--config", f"{family}={{seeds: 1}}", "--directory", str(tmp_path / "run")]
    printed = snakemake("-n", *arguments, root=ROOT, check=False)
    assert (
        f"{family}.seeds: '1' is text: Snakemake hands on nested values of --config as text; write them into a file"
        in printed
    )
