"""The FLOPs of docs/cluster.md are counted from shapes: held to what torch counts as it computes."""

import sys

import pytest
import torch
import yaml
from command_line import ROOT
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

sys.path.append(str(ROOT / "benchmarks"))

import flops
import study_size

DATA = {"count": 300, "length": 48, "exponent": 0}
TRANSFORMER = {"n_layers": 3, "n_heads": 2, "d_model": 32, "init_std": 0.02, "positions": "learned"}
MEMORY = {"n_heads": 4, "memory_size": 20000, "eta": 1, "epsilon": 1e-6, "n_units": 64, "init_std": 0.1}
MODELS = {
    "decoder": ("zipf", TRANSFORMER | {"architecture": "decoder"}, 0),
    "one layer": ("zipf", TRANSFORMER | {"n_layers": 1, "architecture": "one_layer_attention"}, 0),
    "queue": ("associative_memory", MEMORY | {"form": "queue"}, 0.05),
    "linear readout": ("associative_memory", MEMORY | {"form": "linear_readout"}, 0.05),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_forward_pass_takes_what_torch_counts(name):
    family, condition, tolerance = MODELS[name]
    _, build, _, forward = study_size.FAMILIES[family]
    model, batch = build(condition, DATA["length"]), 64
    sequences = torch.randint(0, 2, (DATA["count"], DATA["length"]))
    if family == "associative_memory":
        model.append(sequences)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        (model if family == "zipf" else model.log_probabilities)(sequences[:batch])
    assert batch * forward(condition, DATA) == pytest.approx(counter.get_total_flops(), rel=tolerance)


def test_a_training_step_takes_three_forward_passes():
    condition = TRANSFORMER | {"architecture": "decoder"}
    model = study_size.transformer.build(condition, DATA["length"])
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # fused kernels compute some twice
        model(torch.randint(0, 2, (8, DATA["length"]))).sum().backward()
    assert counter.get_total_flops() == flops.TRAINING * 8 * flops.transformer_flops(condition, DATA["length"])


def test_it_is_six_times_parameters_times_tokens_where_the_context_is_short():
    condition = {"architecture": "decoder", "n_layers": 24, "d_model": 1024}
    parameters = 12 * condition["n_layers"] * condition["d_model"] ** 2
    assert flops.TRAINING * flops.transformer_flops(condition, length=10) == pytest.approx(
        6 * parameters * 10, rel=1e-2
    )


def test_draws_hold_as_many_distinct_sequences_as_they_do_on_average():
    assert study_size.distinct({"count": 2, "exponent": 0}, 2) == pytest.approx(1.5)
    assert study_size.distinct({"count": 1000, "exponent": 0}, 10**6) == pytest.approx(1000)


def test_the_page_tells_the_sizes_of_the_paper_as_they_are_now():
    config, paper = (yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()) for name in ("config", "paper"))
    page = (ROOT / "docs/cluster.md").read_text()
    for row in study_size.table(config, paper):
        assert study_size.line(row) in page, row["condition"]
