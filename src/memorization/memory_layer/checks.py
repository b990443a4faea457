"""What no schema can say of the family's section: values that cannot go together, names that are none.

Imported when the Snakefile is read: nothing here may import torch.
"""

from collections.abc import Mapping
from pathlib import Path

from memorization.configuration import ConfigurationError, named
from memorization.family import Family
from memorization.memory_layer import sizes
from memorization.memory_layer.data import kinds

NUMBERS = ("digit_lookup", "synthetic_qa")  # kinds of pairs of numbers
DECODED = (*NUMBERS, "two_hop", "hash_hop")  # kinds whose answers are no texts
MODEL = ("n_layers", "n_heads", "d_model", "positions", "arm", "memory_layers", "shared_pool", "keys", "n_keys")
MODEL += ("memory_heads", "key_dim", "query_norm", "gate")  # what the shapes of a model's tensors depend on


def check_family(family: Family) -> None:
    """All checks.

    Raises
    ------
    ConfigurationError
        One line that names the key.
    """
    for data in family.section["datasets"]:
        kinds.check(data, f"{family.name}.datasets[{data['name']}]")
    for name in family.names:
        _check_condition(family, name)
    for key in ("frequency", "retention", "errors"):
        family.check_conditions(family.section[key], key)
    _check_stages(family)
    for comparison in family.section["comparisons"]:
        family.check_conditions(comparison["conditions"], f"comparisons[{comparison['name']}].conditions")
    for name in family.section["retention"]:
        if not family.condition(name)["pretrained"] or family.condition(name)["train_on"] != ["new"]:
            raise ConfigurationError(
                f"{family.name}.retention: {name}; allowed: conditions with pretrained that train on [new]"
            )
    for key, allowed in (("frequency", ["synthetic_qa"]), ("errors", DECODED)):
        for name in family.section[key]:
            kind = family.dataset(name)["kind"]
            if kind not in allowed:
                raise ConfigurationError(f"{family.name}.{key}: {name} is of {kind}; allowed: of {', '.join(allowed)}")


def _check_stages(family: Family) -> None:
    for key in ("ablation", "intervention", "routing", "attention"):
        names, where = family.section[key]["conditions"], f"{family.name}.{key}.conditions"
        family.check_conditions(names, f"{key}.conditions")
        for name in names if key != "attention" else ():
            if family.condition(name)["arm"] != "memory":
                raise ConfigurationError(f"{where}: {name}; allowed: conditions of the arm memory")
    _check_sizes(family)
    if "slot_mask" not in family.section["ablation"]["modes"]:
        raise ConfigurationError(f"{family.name}.ablation.modes: slot_mask is missing, which the figure draws")
    routing = family.section["routing"]
    if 2 * routing["n_clusters"] > routing["n_slots"]:
        raise ConfigurationError(
            f"{family.name}.routing.n_clusters: {routing['n_clusters']}; allowed: at most half of n_slots, "
            f"{routing['n_slots']}"
        )


def _check_sizes(family: Family) -> None:
    """That no stage asks for more slots than a condition's memory has."""
    for key, settings in (
        ("ablation", ("max_cut", "groups")),
        ("intervention", ("n_slots",)),
        ("routing", ("n_clusters",)),
    ):
        for name in family.section[key]["conditions"]:
            condition = family.condition(name)
            most = sizes.slots(condition) - (condition["top_k"] + 1 if key == "ablation" else 0)
            for setting in settings:
                value = family.section[key][setting]
                if max(value if isinstance(value, list) else [value]) > most:
                    raise ConfigurationError(
                        f"{family.name}.{key}.{setting}: {value}; allowed with {name}, of "
                        f"{sizes.slots(condition)} slots: at most {most}"
                    )


def _check_condition(family: Family, name: str) -> None:
    where, condition = f"{family.name}.conditions[{name}]", family.condition(name)
    data = named(family.section["datasets"], condition["dataset"], f"{where}.dataset")
    trained = kinds.trained(data)
    for split in condition["train_on"]:
        if split not in trained:
            raise ConfigurationError(f"{where}.train_on: {split!r}; allowed: {', '.join(trained)}")
    if condition["d_model"] % condition["n_heads"]:
        raise ConfigurationError(
            f"{where}.d_model: {condition['d_model']} is not divisible by n_heads, {condition['n_heads']}"
        )
    if condition["key_dim"] % 2 and condition["keys"] == "product":
        raise ConfigurationError(f"{where}.key_dim: {condition['key_dim']} is odd; allowed: an even number")
    most = condition["n_keys"] if condition["keys"] == "product" else sizes.slots(condition)
    if condition["top_k"] > most:
        limit = "n_keys" if condition["keys"] == "product" else "its slots"
        raise ConfigurationError(f"{where}.top_k: {condition['top_k']} is above {limit}; allowed: 2 to {most}")
    n_layers = condition["n_layers"]
    for layer in condition["memory_layers"]:
        if not -n_layers <= layer < n_layers:
            raise ConfigurationError(f"{where}.memory_layers: {layer}; allowed: {-n_layers} to {n_layers - 1}")
    if condition["positions"] == "rope" and condition["d_model"] // condition["n_heads"] % 2:
        raise ConfigurationError(
            f"{where}.positions: rope with heads of {condition['d_model'] // condition['n_heads']}; allowed: of an "
            "even width"
        )
    if condition["value_update"] != "dense" and condition["arm"] not in sizes.MEMORIES:
        raise ConfigurationError(
            f"{where}.value_update: {condition['value_update']}; allowed with arm {condition['arm']}: dense"
        )
    if condition["arm"] == "peer" and condition["keys"] == "flat":
        raise ConfigurationError(f"{where}.keys: flat; allowed with arm peer: product")
    if condition["warmup"] >= condition["steps"]:
        raise ConfigurationError(
            f"{where}.warmup: {condition['warmup']}; allowed: fewer than steps, {condition['steps']}"
        )
    _check_pretrained(family, where, condition)


def _check_pretrained(family: Family, where: str, condition: Mapping) -> None:
    of = condition["pretrained"] or {}
    if of and ("condition" in of) == ("path" in of):
        raise ConfigurationError(f"{where}.pretrained: allowed: one of condition, path")
    if "path" in of and "step" in of:
        raise ConfigurationError(f"{where}.pretrained.step: {of['step']}; allowed with condition, not with path")
    if "path" in of and not Path(of["path"]).exists():
        raise ConfigurationError(f"{where}.pretrained.path: there is no {of['path']}; allowed: a checkpoint")
    seen, name = [], of.get("condition")
    while name is not None:
        named(family.section["conditions"], name, f"{where}.pretrained.condition")
        if name in seen:
            raise ConfigurationError(f"{where}.pretrained: {' <- '.join([*seen, name])} is a circle")
        if of.get("step", 0) > family.condition(name)["steps"]:
            raise ConfigurationError(
                f"{where}.pretrained.step: {of['step']}; allowed: 1 to the last of {name}, "
                f"{family.condition(name)['steps']}"
            )
        if not seen and "mappings" not in of:
            _check_same_model(family, where, condition, name)
        seen.append(name)
        of = family.condition(name)["pretrained"] or {}
        name = of.get("condition")


def _check_same_model(family: Family, where: str, condition: Mapping, of: str) -> None:
    """That a condition that takes all of another's checkpoint has its data set and its model."""
    for key in ("dataset", *MODEL):
        if condition[key] != family.condition(of)[key]:
            raise ConfigurationError(
                f"{where}.pretrained: {of} has another {key}, {family.condition(of)[key]}; allowed without mappings: "
                "the same"
            )
