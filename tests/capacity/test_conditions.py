import pytest
import torch
from sections import SCALES, changed, complete
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from memorization.capacity.conditions import Capacity
from memorization.capacity.training import build
from memorization.configuration import ConfigurationError
from memorization.models.shape import TRAINING

SECTION = complete()["capacity"]
CAPACITY = Capacity(SECTION)


@pytest.mark.parametrize("scale", SCALES)
def test_every_condition_s_model_has_as_many_parameters_as_its_size_says(scale):
    capacity = Capacity(complete(scale)["capacity"])
    for name in capacity.names:
        data = capacity.dataset(name)
        with torch.device("meta"):
            model = build(capacity.condition(name), data["length"], data["alphabet"])
        assert capacity.training_size(name)["parameters"] == sum(each.numel() for each in model.parameters()), name


@pytest.mark.parametrize("name", ["k16", "width_16"])
def test_its_flops_are_what_torch_counts(name):
    data, condition = CAPACITY.dataset(name), CAPACITY.condition(name)
    model = build(condition, data["length"], data["alphabet"])
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        model(torch.zeros(5, data["length"], dtype=torch.int64))
    assert counter.get_total_flops() == 5 * CAPACITY.forward_flops(name)
    recorded = SECTION["evaluation"]["n_records"] + SECTION["evaluation"]["n_late"]
    passes = 3 * data["count"] * (TRAINING * condition["steps"] + recorded)
    assert CAPACITY.training_size(name)["flops"] == passes * CAPACITY.forward_flops(name)


def test_figures_and_findings_read_the_runs_that_they_show():
    figures = {figure.name: figure for figure in CAPACITY.figures}
    assert figures["sequences"].inputs()["runs"] == CAPACITY.runs("bits", sorted(SECTION["sequences"]))
    assert figures["parameters"].inputs()["runs"] == CAPACITY.runs("bits", sorted(SECTION["models"]))
    compared = {each["condition"] for each in figures["training"].inputs()["runs"].wildcards}
    assert compared == {name for each in SECTION["comparisons"] for name in each["conditions"]}
    pooled, findings = CAPACITY.tables
    assert pooled.files == ("bits", "records", "runs")
    assert findings.settings().keys() == {"sequences", "models", "comparisons"}


def test_the_default_has_more_to_hold_than_its_models_do():
    """Of the models, several times more than others found; of the first data set, less than a bit per parameter."""
    for name in SECTION["models"]:
        data = CAPACITY.dataset(name)
        assert data["count"] * 4 * data["length"] > 2 * 3.6 * CAPACITY.parameters(name)
    assert CAPACITY.dataset("k16")["count"] * 64 < CAPACITY.parameters("k16")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("datasets", 0, "length"),
            1,
            r"^capacity.sequences: k32 has another length, alphabet or number of parameters than k16; allowed: cond",
        ),
        (
            ("datasets", 1, "count"),
            16,
            "^capacity.sequences: k16 and k32 have 16 sequences; allowed: each another number$",
        ),
        (
            ("datasets", 2, "length"),
            1,
            r"^capacity.datasets\[k64\].count: 64, but 16 symbols make 16 sequences of length 1; allowed: 1 to 16$",
        ),
        (
            ("conditions", 1, "dataset"),
            "k7",
            r"^capacity.conditions\[k32\].dataset: there is no 'k7'; allowed: k16, k32",
        ),
        (("sequences", 0), "k7", "^capacity.sequences: there is no 'k7'; allowed: k16"),
        (("models", 0), "k7", "^capacity.models: there is no 'k7'"),
        (("sequences", 0), "layers_1", "^capacity.sequences: k32 has another length"),
        (
            ("comparisons", 0, "conditions", 0),
            "k7",
            r"^capacity.comparisons\[sequences\].conditions: there is no 'k7'",
        ),
        (("defaults", "n_heads"), 3, r"^capacity.conditions\[k16\].d_model: 8 is not divisible by n_heads, 3$"),
        (
            ("datasets", 4, "count"),
            10**9,
            r"^capacity.conditions\[k256\].mem_mb: 1000, but a batch of all 1000000000 sequences takes about 2564\d\d; "
            r"allowed: 2564\d\d or more, or a smaller dataset$",
        ),
    ],
)
def test_what_cannot_go_together_is_one_line_that_names_the_key(path, value, message):
    with pytest.raises(ConfigurationError, match=message) as error:
        Capacity(changed(SECTION, path, value)).check()
    assert "\n" not in str(error.value)


def test_the_configuration_that_stands_is_sound():
    CAPACITY.check()
