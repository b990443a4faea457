"""Mistakes in the section of the family, each one line."""

import pytest
from refusals import refusal

DATA = {"name": "k8", "count": 8, "length": 6, "alphabet": 4}
SIXTEEN = {"name": "k16", "count": 16, "length": 6, "alphabet": 4}
BAD = {
    "no alphabet": (
        {"datasets": [DATA | {"alphabet": 1}]},
        "capacity.datasets[k8].alphabet: 1 is less than the minimum",
    ),
    "more sequences than there are": (
        {"datasets": [DATA | {"alphabet": 2, "length": 2}, SIXTEEN]},
        "capacity.datasets[k8].count: 8, but 2 symbols make 4 sequences of length 2; allowed: 1 to 4",
    ),
    "a batch beyond memory": (
        {"datasets": [DATA | {"count": 10**8, "length": 16}, SIXTEEN]},
        "capacity.conditions[k8].mem_mb: 1000, but a batch of all 100000000 sequences takes about 26",
    ),
    "no K": ({"datasets": [DATA | {"count": 0}]}, "capacity.datasets[k8].count: 0 is less than the minimum of 1"),
    "unknown optimizer": (
        {"defaults": {"optimizer": "sgd"}},
        "capacity.defaults.optimizer: 'sgd' is not allowed; allowed: adamw, muon",
    ),
    "unknown precision": (
        {"defaults": {"precision": "float16"}},
        "capacity.defaults.precision: 'float16' is not allowed; allowed: float32, bfloat16",
    ),
    "a warm-up of two trainings": ({"defaults": {"warmup": 2}}, "capacity.defaults.warmup: 2 is greater than the max"),
    "heads": ({"defaults": {"n_heads": 3}}, "capacity.conditions[k8].d_model: 8 is not divisible by n_heads, 3"),
    "no data set": ({"defaults": {"dataset": "k9"}}, "capacity.conditions[k8].dataset: there is no 'k9'; allowed: k8"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_one_line(name):
    change, message = BAD[name]
    assert refusal({"capacity": change}).startswith(message)
