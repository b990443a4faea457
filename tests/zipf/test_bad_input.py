"""Mistakes in the section of the family, each one line."""

import pytest
from refusals import refusal

SWITCH = {"name": "late", "condition": "small", "kind": "resample", "switch_steps": [40], "steps": 60, "freeze": "none"}
DATA = {"name": "smoke", "count": 80, "length": 12, "exponent": 1.0}
BAD = {
    "negative K": ({"datasets": [DATA | {"count": -5}]}, "zipf.datasets[smoke].count: -5"),
    "negative exponent": ({"datasets": [DATA | {"exponent": -1}]}, "zipf.datasets[smoke].exponent: -1"),
    "short sequences": ({"datasets": [DATA | {"length": 6}]}, "zipf.datasets[smoke].length: 6 bits"),
    "unknown positions": ({"defaults": {"positions": "alibi"}}, "zipf.defaults.positions: 'alibi' is not"),
    "switch after the end": (
        {"switches": [SWITCH | {"switch_steps": [60]}]},
        "zipf.switches[late].switch_steps: [60]; allowed: rising steps below steps, 60",
    ),
    "unknown part": ({"switches": [SWITCH | {"freeze": "ffn"}]}, "zipf.switches[late].freeze: 'ffn' is not"),
    "unknown kind": ({"switches": [SWITCH | {"kind": "swap"}]}, "zipf.switches[late].kind: 'swap' is not"),
    "unknown condition": (
        {"switches": [SWITCH | {"condition": "huge"}]},
        "zipf.switches[late].condition: there is no 'huge'; allowed: small",
    ),
    "seeds that its condition has not": (
        {"switches": [SWITCH | {"seeds": [0, 7]}]},
        "zipf.switches[late].seeds: 7; allowed: those of small, 0, 1",
    ),
    "too many sets": (
        {"switches": [SWITCH | {"kind": "forget", "switch_steps": list(range(1, 60))}]},
        "zipf.datasets[smoke].length: 12 bits cannot tell 4800 sequences in 60 sets of zipf.switches[late] apart",
    ),
    "unknown precision": (
        {"defaults": {"precision": "float16"}},
        "zipf.defaults.precision: 'float16' is not allowed; allowed: float32, bfloat16",
    ),
    "no GPU": ({"defaults": {"gpus": 0}}, "zipf.defaults.gpus: 0 is less than the minimum of 1"),
    "heads": ({"defaults": {"n_heads": 3}}, "zipf.conditions[small].d_model: 16 is not divisible by n_heads, 3"),
    "no such condition": (
        {"comparisons": [{"name": "x", "conditions": ["huge"]}]},
        "zipf.comparisons[x].conditions: there is no 'huge'; allowed: small",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_one_line(name):
    change, message = BAD[name]
    assert refusal({"zipf": change}).startswith(message)
