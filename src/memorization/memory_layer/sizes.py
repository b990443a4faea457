"""Parameters, active parameters and operations of a condition's model, counted from its settings, without torch."""

from collections.abc import Mapping

from memorization.models.shape import decoder_flops, decoder_parameters

WEIGHT_BYTES = 4  # float32
MEMORIES = ("memory", "peer")  # arms with slots
ARMS = (*MEMORIES, "dense_parameters", "dense_compute", "none")


def layers(condition: Mapping) -> list[int]:
    """The layers, from 0, in whose feed-forward place the arm's module stands; negative ones count from the last."""
    return sorted({layer % condition["n_layers"] for layer in condition["memory_layers"]})


def slots(condition: Mapping) -> int:
    """Slots of a pool."""
    return condition["n_keys"] ** 2


def pools(condition: Mapping) -> int:
    """How many pools of values there are."""
    return 1 if condition["shared_pool"] else len(layers(condition))


def module_parameters(condition: Mapping) -> dict[str, int]:
    """Parameters of a memory in one layer: ``keys`` and projections, ``row`` of one slot's vectors."""
    d_model, heads, key_dim = (condition[key] for key in ("d_model", "memory_heads", "key_dim"))
    n_keys = slots(condition) if condition["keys"] == "flat" else 2 * condition["n_keys"]
    width = key_dim if condition["keys"] == "flat" else key_dim // 2
    norm = {"none": 0, "layer": 2 * key_dim, "batch": 2 * heads * key_dim}[condition["query_norm"]]
    gate = 2 * d_model**2 if condition["gate"] and condition["arm"] == "memory" else 0
    keys = heads * key_dim * (d_model + 1) + heads * n_keys * width + norm + gate
    return {"keys": keys, "row": d_model * (2 if condition["arm"] == "peer" else 1)}


def memory_parameters(condition: Mapping, arm: str = "memory") -> int:
    """All parameters of the memories of all layers, each pool once."""
    of = module_parameters({**condition, "arm": arm})
    return len(layers(condition)) * of["keys"] + pools(condition) * slots(condition) * of["row"]


def memory_flops(condition: Mapping, arm: str = "memory") -> int:
    """Operations of a memory in one layer for a position: products alone, a multiplication and an addition each."""
    d_model, heads, key_dim = (condition[key] for key in ("d_model", "memory_heads", "key_dim"))
    scored = slots(condition) if condition["keys"] == "flat" else condition["n_keys"]
    gate = 2 * d_model**2 if condition["gate"] and arm == "memory" else 0
    read = heads * condition["top_k"] * d_model * (2 if arm == "peer" else 1)
    return 2 * (heads * key_dim * d_model + heads * scored * key_dim + read + gate)


def feed_forward_width(condition: Mapping) -> int | None:
    """``d_ff`` of the module in the memory's place, in the arms that have a feed-forward layer there; None in others.

    ``dense_parameters`` has the parameters of the memories, ``dense_compute`` their operations for a position, each to
    the nearest width.
    """
    d_model = condition["d_model"]
    if condition["arm"] == "dense_parameters":
        per_layer = memory_parameters(condition) / len(layers(condition))
        return max(1, round((per_layer - d_model) / (2 * d_model + 1)))
    if condition["arm"] == "dense_compute":
        return max(1, round(memory_flops(condition) / (4 * d_model)))
    return None


def module_size(condition: Mapping) -> int:
    """Parameters of the modules in the memory's place, of all layers."""
    if condition["arm"] in MEMORIES:
        return memory_parameters(condition, condition["arm"])
    width = feed_forward_width(condition)
    d_model = condition["d_model"]
    return 0 if width is None else len(layers(condition)) * (width * (2 * d_model + 1) + d_model)


def parameters(condition: Mapping, vocabulary: int, length: int) -> int:
    """All parameters of a condition's model."""
    d_model, d_ff = condition["d_model"], 4 * condition["d_model"]
    whole = decoder_parameters(
        vocabulary, vocabulary, length, condition["n_layers"], d_model, positions=condition["positions"]
    )
    return whole - len(layers(condition)) * (2 * d_model * d_ff + d_ff + d_model) + module_size(condition)


def active_parameters(condition: Mapping, vocabulary: int, length: int, rows: float | None = None) -> float:
    """Parameters that a token uses: all keys and projections, the rows that it retrieves, one embedding, the rest.

    Parameters
    ----------
    rows : distinct slots that a token retrieves in a layer, as measured; by default the most, heads · top_k
    """
    embeddings = vocabulary + (length if condition["positions"] == "learned" else 0)
    used = 1 + (condition["positions"] == "learned")
    active = parameters(condition, vocabulary, length) - (embeddings - used) * condition["d_model"]
    if condition["arm"] in MEMORIES:
        row = module_parameters(condition)["row"]
        retrieved = condition["memory_heads"] * condition["top_k"] if rows is None else rows
        active += row * (len(layers(condition)) * retrieved - pools(condition) * slots(condition))
    return active


def forward_flops(condition: Mapping, vocabulary: int, read: int, answers: float) -> float:
    """Operations of a forward pass on one example: on the tokens that are read before the last one of its answer, and
    of the last feed-forward layer and the head on ``answers`` of them.
    """
    d_model, n_layers = condition["d_model"], condition["n_layers"]
    placed = layers(condition)
    plain = 16 * d_model**2
    width = feed_forward_width(condition)
    other = memory_flops(condition, condition["arm"]) if condition["arm"] in MEMORIES else 4 * d_model * (width or 0)
    each = [other if layer in placed else plain for layer in range(n_layers)]
    attention = decoder_flops(0, read, n_layers, d_model, maps=4)
    return attention + read * sum(each[:-1]) + answers * (each[-1] + 2 * vocabulary * d_model)
