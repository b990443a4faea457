"""Mistakes in the section of the family, each one line."""

import pytest
from refusals import refusal

DATA = {"name": "addition_31", "p": 31, "operator": "+", "train_fraction": 0.6, "split": "pairs", "split_seed": 0}
BAD = {
    "rank above what the data has": ({"dmd": {"k_mode": 54}}, "grokking.dmd.k_mode: 54; 61 snapshots"),
    "delays longer than the run": ({"dmd": {"n_delays": 61}}, "grokking.dmd.n_delays: 61; the 61 snapshots"),
    "empty probe": ({"fingerprint": {"probe_size": 0}}, "grokking.fingerprint.probe_size: 0 is less than"),
    "unknown operator": (
        {"datasets": [DATA | {"operator": "%"}]},
        "grokking.datasets[addition_31].operator: '%' is not allowed; allowed: +, -, *, /",
    ),
    "division where p is not prime": (
        {"datasets": [DATA | {"operator": "/", "p": 33}]},
        "grokking.datasets[addition_31].p: 33 is not prime; the operator / allows primes alone",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_one_line(name):
    change, message = BAD[name]
    assert refusal({"grokking": change}).startswith(message)
