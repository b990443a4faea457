"""Bad input is one line that names the key, before any job, and leaves nothing behind."""

import pytest
import yaml
from command_line import ROOT, snakemake
from snakemake.api import SnakemakeApi
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import ConfigSettings, OutputSettings, ResourceSettings

SWITCH = {"name": "late", "model": "small", "kind": "resample", "at": [40], "steps": 60, "freeze": "none"}
DATA = {"name": "smoke", "count": 80, "length": 12, "exponent": 1.0}
GROKKING = {"name": "addition_31", "p": 31, "operator": "+", "train_fraction": 0.6, "split": "pairs", "split_seed": 0}
BAD = {
    "unknown key": ({"zipf": {"sedes": 3}}, "zipf.sedes: unknown key; allowed: comparisons"),
    "negative K": ({"zipf": {"datasets": [DATA | {"count": -5}]}}, "zipf.datasets[smoke].count: -5"),
    "negative exponent": ({"zipf": {"datasets": [DATA | {"exponent": -1}]}}, "zipf.datasets[smoke].exponent: -1"),
    "short sequences": ({"zipf": {"datasets": [DATA | {"length": 6}]}}, "zipf.datasets[smoke].length: 6 bits"),
    "named twice": ({"zipf": {"models": [{"name": "small"}] * 2}}, "zipf.models: named twice: small"),
    "unknown positions": ({"zipf": {"defaults": {"positions": "alibi"}}}, "zipf.defaults.positions: 'alibi' is not"),
    "no seed": ({"zipf": {"seeds": 0}}, "zipf.seeds: 0 is less than the minimum of 1"),
    "switch after the end": (
        {"zipf": {"switches": [SWITCH | {"at": [60]}]}},
        "zipf.switches[late].at: [60]; allowed: ",
    ),
    "unknown part": ({"zipf": {"switches": [SWITCH | {"freeze": "ffn"}]}}, "zipf.switches[late].freeze: 'ffn' is not"),
    "unknown kind": ({"zipf": {"switches": [SWITCH | {"kind": "swap"}]}}, "zipf.switches[late].kind: 'swap' is not"),
    "too many sets": (
        {"zipf": {"switches": [SWITCH | {"kind": "forget", "at": list(range(1, 60))}]}},
        "zipf.datasets[smoke].length: 12 bits cannot tell 4800 sequences in 60 sets of zipf.switches[late] apart",
    ),
    "unknown precision": (
        {"zipf": {"defaults": {"precision": "float16"}}},
        "zipf.defaults.precision: 'float16' is not allowed; allowed: float32, bfloat16",
    ),
    "no GPU": ({"zipf": {"defaults": {"gpus": 0}}}, "zipf.defaults.gpus: 0 is less than the minimum of 1"),
    "no share": ({"gpu_share": 0}, "gpu_share: 0 is less than the minimum of 1"),
    "a memory on GPUs": (
        {"associative_memory": {"defaults": {"gpus": 2}}},
        "associative_memory.defaults.gpus: unknown key; allowed: batch_size, dataset, ",
    ),
    "a rough memory": (
        {"associative_memory": {"models": [{"name": "heads_1", "precision": "bfloat16"}]}},
        "associative_memory.models[heads_1].precision: unknown key; allowed: batch_size, dataset, ",
    ),
    "no memory": (
        {"associative_memory": {"defaults": {"memory_size": 0}}},
        "associative_memory.defaults.memory_size: 0 is less than the minimum of 1",
    ),
    "sure": (
        {"associative_memory": {"defaults": {"epsilon": 0}}},
        "associative_memory.defaults.epsilon: 0 is less than or equal to the minimum of 0",
    ),
    "no such bit": (
        {"associative_memory": {"attention": {"condition": "heads_2", "bits": [12]}}},
        "associative_memory.attention.bits: 12; allowed: 1 to 11",
    ),
    "rank above what the data has": ({"grokking": {"dmd": {"k_mode": 54}}}, "grokking.dmd.k_mode: 54; 61 snapshots"),
    "delays longer than the run": (
        {"grokking": {"dmd": {"n_delays": 61}}},
        "grokking.dmd.n_delays: 61; the 61 snapshots",
    ),
    "empty probe": (
        {"grokking": {"fingerprint": {"probe_size": 0}}},
        "grokking.fingerprint.probe_size: 0 is less than",
    ),
    "unknown operator": (
        {"grokking": {"datasets": [GROKKING | {"operator": "%"}]}},
        "grokking.datasets[addition_31].operator: '%' is not allowed; allowed: +, -, *, /",
    ),
    "division where p is not prime": (
        {"grokking": {"datasets": [GROKKING | {"operator": "/", "p": 33}]}},
        "grokking.datasets[addition_31].p: 33 is not prime; the operator / allows primes alone",
    ),
    "heads": ({"zipf": {"defaults": {"n_heads": 3}}}, "zipf.models[small].d_model: 16 is not divisible by n_heads, 3"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_refused_before_any_job(tmp_path, name):
    change, message = BAD[name]
    overlay, folder = tmp_path / "overlay.yaml", tmp_path / "run"
    overlay.write_text(yaml.safe_dump(change))
    with SnakemakeApi(OutputSettings()) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[ROOT / "config/smoke.yaml", overlay]),
            snakefile=ROOT / "Snakefile",
            workdir=folder,
        )
        with pytest.raises(WorkflowError) as error:
            workflow.dag()
    line = str(error.value).splitlines()[0]
    assert line.startswith(message), line
    assert not [path for path in folder.rglob("*") if path.is_file() and ".snakemake" not in path.parts]


def test_the_command_line_says_it_in_one_line_and_fails(tmp_path):
    arguments = ["zipf", "--cores", "1", "--config", "device=gpu", "--directory", str(tmp_path / "run")]
    printed = snakemake(*arguments, root=ROOT, check=False)
    assert printed.endswith("exit 1")
    assert printed.count("device: 'gpu' is not allowed; allowed: auto, cpu, cuda") == 1
    assert "Traceback" not in printed
    assert not (tmp_path / "run/results").exists()


@pytest.mark.parametrize(
    ("target", "config", "message"),
    [
        (
            "results/figures/zipf_loss_mediun.pdf",
            {},
            "there is no 'mediun'; allowed: small, medium, large_rope, large_lr",
        ),
        (
            "results/figures/associative_memory_comparison.pdf",
            {"associative_memory": {"comparison": {"zipf": "matched"}}},
            "associative_memory.comparison.zipf: there is no 'matched'; allowed: small, medium, ",
        ),
        (
            "results/figures/associative_memory_comparison.pdf",
            {"zipf": {"datasets": [DATA | {"exponent": 1.5}]}},
            "heads_1 is on other sequences than small of zipf; allowed: conditions on {",
        ),
    ],
)
def test_a_figure_of_what_is_not_there_is_refused_with_what_there_is(tmp_path, target, config, message):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(yaml.safe_dump(config))
    arguments = [target, "--cores", "1", "--configfile", "config/smoke.yaml", str(overlay)]
    printed = snakemake(*arguments, "--directory", str(tmp_path / "run"), root=ROOT, check=False)
    assert printed.endswith("exit 1")
    assert message in printed
    assert not (tmp_path / "run/results").exists()
