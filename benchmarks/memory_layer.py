"""memory_layer: a memory against product_key_memory's; and moving the retrieved values alone, not all of them."""

from collections.abc import Callable, Iterator

import memory_layer_ablation
import torch
from modules import Case
from product_key_memory import PKM

from memorization.memory_layer.conditions import MemoryLayer
from memorization.memory_layer.sizes import forward_flops
from memorization.memory_layer.training import FactLearner
from memorization.models.memory_layer import ProductKeyMemory
from memorization.models.shape import TRAINING
from memorization.training.devices import set_up

D_MODEL, HEADS, KEY_DIM = 128, 4, 64
TEXTS, LENGTH = 6, 128  # 768 positions
PASSES, STEPS = 5, 3  # of a memory, of an optimizer
PAIRS = memory_layer_ablation.PAIRS | {"size": 1000}
MODEL = memory_layer_ablation.MODEL | {"freeze": [], "pretrained": None}
TRAINED = {"dataset": "pairs", "train_on": ["train"], "learning_rate": 1e-3, "value_rate": 1e-2, "weight_decay": 0}
TRAINED |= {"betas": [0.9, 0.98], "clip": 1.0, "batch_size": 128, "steps": 1000, "warmup": 1, "precision": "float32"}


def memories(n_keys: int, top_k: int) -> Callable[[], tuple[Callable[[], None], Callable[[], None]]]:
    """Forward and backward passes of a memory of equal size of either package, queries in a layer norm in both."""

    def make() -> tuple[Callable[[], None], Callable[[], None]]:
        set_up("cpu", threads=1)
        torch.manual_seed(0)
        x = torch.randn(TEXTS, LENGTH, D_MODEL, requires_grad=True)

        def run(memory: torch.nn.Module) -> None:
            for _ in range(PASSES):
                memory.zero_grad()
                memory(x).sum().backward()

        ours = ProductKeyMemory(D_MODEL, n_keys, HEADS, top_k, KEY_DIM, query_norm="layer", gate=False)
        theirs = PKM(D_MODEL, heads=HEADS, num_keys=n_keys, topk=top_k, dim_head=KEY_DIM // 2)
        return tuple(lambda side=side: run(side) for side in (ours, theirs))

    return make


def updates(n_keys: int) -> Callable[[], tuple[Callable[[], None], Callable[[], None]]]:
    """Some whole optimizer steps, of which the values' part is sparse or dense."""

    def make() -> tuple[Callable[[], None], Callable[[], None]]:
        set_up("cpu", threads=1)
        facts = memory_layer_ablation.facts_of(PAIRS, "cpu")

        def run(ours: FactLearner) -> None:
            for n in range(1, STEPS + 1):
                ours.step(n)

        of = MODEL | TRAINED | {"n_keys": n_keys}
        sides = [FactLearner(of | {"value_update": update}, facts, 0, "cpu") for update in ("rows", "dense")]
        return tuple(lambda side=side: run(side) for side in sides)

    return make


ROWS = [  # the least of equal work: at 512² slots both mostly fill the values' dense gradient
    (
        f"memory_layer, forward and backward, {n_keys}² slots, top-k {top_k}, {TEXTS * LENGTH} positions",
        "product_key_memory",
        1.0,
        memories(n_keys, top_k),
    )
    for n_keys in (128, 512)
    for top_k in (8, 32)
]
ROWS.append((f"memory_layer, sparse values, {STEPS} optimizer steps, 512² slots", "dense values", 2.0, updates(512)))


def cases(config: dict, device: str) -> Iterator[Case]:
    """The first condition of each arm that starts from no other."""
    family = MemoryLayer(config["memory_layer"])
    firsts = {}
    for name in family.names:
        if not family.condition(name)["pretrained"]:
            firsts.setdefault(family.condition(name)["arm"], name)
    for name in firsts.values():
        facts = memory_layer_ablation.facts_of(family.dataset(name), device)
        answer = float(facts.labels.sum() / len(facts))
        settings = family.settings(name) | {"steps": 1000}  # more than are measured
        read = int(facts.labels.any(dim=0).nonzero().max())
        flops = TRAINING * settings["batch_size"] * forward_flops(settings, facts.vocabulary, read, answer)
        for precision in ("float32", "bfloat16"):
            ours = FactLearner(settings | {"precision": precision}, facts, 0, device)
            yield Case(name, precision, ours.step, lambda n, flops=flops: flops)


ROWS += memory_layer_ablation.ROWS
