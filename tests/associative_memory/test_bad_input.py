"""Mistakes in the section of the family, each one line."""

import pytest
from refusals import refusal

BAD = {
    "a memory on GPUs": (
        {"defaults": {"gpus": 2}},
        "associative_memory.defaults.gpus: unknown key; allowed: architecture, batch_size, dataset, ",
    ),
    "a rough memory": (
        {"conditions": [{"name": "heads_2", "precision": "bfloat16"}]},
        "associative_memory.conditions[heads_2].precision: unknown key; allowed: architecture, batch_size, dataset, ",
    ),
    "no memory": (
        {"defaults": {"memory_size": 0}},
        "associative_memory.defaults.memory_size: 0 is less than the minimum of 1",
    ),
    "sure": (
        {"defaults": {"epsilon": 0}},
        "associative_memory.defaults.epsilon: 0 is less than or equal to the minimum of 0",
    ),
    "no such bit": (
        {"attention": {"condition": "heads_2", "bits": [12]}},
        "associative_memory.attention.bits: 12; allowed: 1 to 11",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_one_line(name):
    change, message = BAD[name]
    assert refusal({"associative_memory": change}).startswith(message)
