"""A checkpoint whose memories have keys of another form: the same function of the text."""

from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from memorization.memory_layer.inspection import sizes
from memorization.memory_layer.model import build, memories
from memorization.models.memory_layer import PEER, FlatKeyMemory, Memory, ProductKeyMemory
from memorization.models.memory_layer_conversion import RouterMemory, flat_to_router, product_to_flat, router_to_flat

FORMS: dict[type[Memory], str] = {ProductKeyMemory: "product", FlatKeyMemory: "flat", RouterMemory: "router"}


def converted(condition: Mapping, state: Mapping[str, Tensor], to: str, source: str | Path) -> dict[str, Tensor]:
    """The tensors of a model whose memories have other keys.

    Parameters
    ----------
    condition : its settings; what ``keys`` says is that of its training, the checkpoint may be converted already
    state : its tensors
    to : ``flat``, a key for each slot; or ``router``, a linear map of what the layer reads
    source : its file, for messages

    Raises
    ------
    ValueError
        If it has no memory with keys, it has keys of this form, or the form cannot compute the same; one line.
    """
    model = build(condition, *sizes(state, source))
    found = memories(model)
    if not found or any(isinstance(memory, PEER) for memory in found.values()):
        raise ValueError(f"{source}: its arm, {condition['arm']}, has no keys to convert; allowed: memory")
    for n in found:
        if f"layers.{n}.feed_forward.router.weight" in state:
            model.layers[n].feed_forward = flat_to_router(_flat(found[n]))
        elif state[f"layers.{n}.feed_forward.keys"].dim() == 3:
            model.layers[n].feed_forward = _flat(found[n])
    model.load_state_dict(state)
    for n, memory in memories(model).items():
        if FORMS[type(memory)] == to:
            raise ValueError(f"{source}: its keys are {to} already")
        model.layers[n].feed_forward = CONVERSIONS[to](memory, condition["key_dim"])
    return model.state_dict()


def _flat(memory: Memory) -> FlatKeyMemory:
    return product_to_flat(memory) if isinstance(memory, ProductKeyMemory) else memory


def _to_flat(memory: Memory, key_dim: int) -> FlatKeyMemory:
    return router_to_flat(memory, key_dim) if isinstance(memory, RouterMemory) else product_to_flat(memory)


CONVERSIONS: dict[str, Callable[[Memory, int], Memory]] = {
    "flat": _to_flat,
    "router": lambda memory, key_dim: flat_to_router(_flat(memory)),
}
