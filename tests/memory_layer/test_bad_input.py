"""Mistakes in the section of the family, each one line."""

import pytest
from refusals import refusal, smoke

DATA = {data["name"]: data for data in smoke()["memory_layer"]["datasets"]}


def data(name, without=None, **change):
    """The data sets, one of them changed."""
    others = {key: value for key, value in DATA[name].items() if key != without} | change
    return {"datasets": [others if each == name else DATA[each] for each in DATA]}


BAD = {
    "unknown kind": (
        data("pairs", kind="music"),
        "datasets[pairs].kind: 'music' is not allowed; allowed: synthetic_qa, digit_lookup, two_hop, hash_hop, word_pr",
    ),
    "no kind": (data("pairs", without="kind"), "datasets[pairs].kind: missing"),
    "a key of no kind": (
        data("pairs", colour=1),
        "datasets[pairs].colour: unknown key; allowed: copies, kind, name, new, novel, size, tokenizer",
    ),
    "a key of another kind": (
        data("two_hop", hops=[1]),
        "datasets[two_hop].hops: unknown key; allowed: ",
    ),
    "no size": (data("pairs", without="size"), "datasets[pairs].size: missing"),
    "no pair": (data("pairs", size=0), "datasets[pairs].size: 0 is less than the minimum of 1"),
    "more pairs than numbers": (
        data("pairs", size=900_000),
        "datasets[pairs]: size, new and novel: 900016 pairs, but there are 900000 six-digit numbers; allowed: 1 to",
    ),
    "more questions than numbers": (
        data("frequencies", num_pairs=900_001),
        "datasets[frequencies].num_pairs: 900001 pairs, but there are 900000 six-digit numbers; allowed: 1 to 900000",
    ),
    "nothing to train": (
        data("frequencies", num_pairs=8),
        "datasets[frequencies]: val 0.2 and test 0.2 of 8 pairs leave nothing to train in 8 buckets; allowed: more",
    ),
    "unknown template": (
        data("frequencies", template="poem"),
        "datasets[frequencies].template: 'poem' is not allowed; allowed: pairs, question",
    ),
    "no hops": (data("one_hop", hops=[]), "datasets[one_hop].hops: [] should be non-empty"),
    "unknown arm": (
        {"defaults": {"arm": "moe"}},
        "defaults.arm: 'moe' is not allowed; allowed: memory, peer, dense_parameters, dense_compute, none",
    ),
    "one key": ({"defaults": {"top_k": 1}}, "defaults.top_k: 1 is less than the minimum of 2"),
    "more keys than there are": ({"defaults": {"top_k": 9}}, "conditions[memory].top_k: 9 is above n_keys; allowed: 2"),
    "no memory": ({"defaults": {"memory_layers": []}}, "defaults.memory_layers: [] should be non-empty"),
    "a layer beyond the last": (
        {"defaults": {"memory_layers": [1]}},
        "conditions[memory].memory_layers: 1; allowed: -1 to 0",
    ),
    "halves of an odd key": ({"defaults": {"key_dim": 7}}, "conditions[memory].key_dim: 7 is odd; allowed: an even"),
    "experts with flat keys": (
        {"defaults": {"arm": "peer", "keys": "flat"}},
        "conditions[memory].keys: flat; allowed with arm peer: product",
    ),
    "all warm-up": ({"defaults": {"warmup": 8}}, "conditions[memory].warmup: 8; allowed: fewer than steps, 8"),
    "heads": ({"defaults": {"n_heads": 3}}, "conditions[memory].d_model: 16 is not divisible by n_heads, 3"),
    "its own beginning": (
        {"defaults": {"pretrained": {"condition": "memory"}}},
        "conditions[memory].pretrained: memory <- memory is a circle",
    ),
    "an unknown key of a beginning": (
        {"defaults": {"pretrained": {"conditon": "memory"}}},
        "defaults.pretrained.conditon: unknown key; allowed: condition, mappings, path, step",
    ),
    "a beginning of text": (
        {"defaults": {"pretrained": "memory"}},
        "defaults.pretrained: 'memory' is not of type 'object', 'null'",
    ),
    "retention of a first training": (
        {"retention": ["memory"]},
        "retention: memory; allowed: conditions with pretrained that train on [new]",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_one_line(name):
    change, message = BAD[name]
    assert refusal({"memory_layer": change}).startswith(f"memory_layer.{message}")
