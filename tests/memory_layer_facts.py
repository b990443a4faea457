"""A small set of facts, and a condition that learns them, for several test files of the family memory_layer."""

import numpy as np

from memorization.memory_layer.data import kinds
from memorization.memory_layer.training import Facts
from memorization.provenance import generator

PAIRS = {"kind": "digit_lookup", "tokenizer": "characters", "size": 60, "new": 12, "novel": 20, "copies": 1}
HASHES = PAIRS | {
    "kind": "hash_hop", "num_samples": 6, "eval_samples": 2, "n_chains": 2, "hops": [2], "hash_length": 3,
    "alphabet": "letters", "hashes": "random", "chain_of_thought": True, "n_queries": 2, "context": True,
    "labels": "chain",
}  # fmt: skip
PROBLEMS = {
    "kind": "word_problems", "tokenizer": "characters", "path": None, "count": 12, "val": 0.1, "max_length": 300
}  # fmt: skip
CONDITION = {
    "dataset": "pairs", "train_on": ["train"], "n_layers": 2, "n_heads": 2, "d_model": 16, "positions": "learned",
    "init_std": 0.02, "arm": "memory", "memory_layers": [-1], "shared_pool": False, "keys": "product", "n_keys": 8,
    "memory_heads": 2, "top_k": 3, "key_dim": 8, "query_norm": "none", "gate": True, "value_update": "dense",
    "top_t": 5, "background": 4, "freeze": [], "pretrained": None, "learning_rate": 1e-2, "value_rate": 3e-2,
    "weight_decay": 0.0, "betas": [0.9, 0.98], "clip": 1.0, "batch_size": 16, "steps": 20, "warmup": 2,
    "precision": "float32",
}  # fmt: skip
KINDS = {  # changes that make a model of every kind
    "memory": {},
    "flat": {"keys": "flat", "query_norm": "layer"},
    "batch_norm": {"query_norm": "batch", "gate": False},
    "rope": {"positions": "rope", "memory_layers": [0]},
    "sinusoidal": {"positions": "sinusoidal", "memory_layers": [0, 1]},
    "shared_pool": {"positions": "none", "memory_layers": [0, -1], "shared_pool": True},
    "peer": {"arm": "peer"},
    "peers": {"arm": "peer", "memory_layers": [0, 1], "query_norm": "batch"},
    "dense_parameters": {"arm": "dense_parameters"},
    "dense_compute": {"arm": "dense_compute", "memory_layers": [0, 1]},
    "none": {"arm": "none"},
}


def table(seed: int = 0, **change):
    """The examples of a data set, by default of ``PAIRS``."""
    settings = PAIRS | change
    return kinds.make(settings, generator("test", seed, "data"))


def arrays(seed: int = 0, **change) -> dict[str, np.ndarray]:
    """The same as tokens."""
    return kinds.tokens(table(seed, **change), PAIRS | change)


def facts(seed: int = 0, **change) -> Facts:
    return Facts(arrays(seed, **change), "cpu")
