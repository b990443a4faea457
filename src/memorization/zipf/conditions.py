"""The family's part of the configuration: its conditions with their defaults, and what cannot go together.

Imported when the Snakefile is read: nothing here may import torch.
"""

from memorization.configuration import ConfigurationError, named, names

RANKS = {"low": range(0, 10), "mid": range(30, 40), "high": range(60, 70)}  # selections by file name


def condition(section: dict, name: str) -> dict:
    """A model of the configuration by its name, with the defaults for what it does not say."""
    return section["defaults"] | named(section["models"], name, "zipf.models")


def dataset(section: dict, name: str) -> dict:
    """A data set of the configuration by its name."""
    return named(section["datasets"], name, "zipf.datasets")


def selection(section: dict, text: str) -> tuple[list[str], list[int]]:
    """What a file name such as ``zipf_loss_medium_low`` selects, from what stands behind ``zipf_loss``.

    Returns
    -------
    conditions : the one that is named, or the configuration's panels
    ranks : ``low`` 0–9, ``mid`` 30–39 or ``high`` 60–69, or the configuration's ranks
    """
    name, _, ending = text.rpartition("_")
    if ending not in RANKS:
        name, ending = text, ""
    name = name.removeprefix("_")
    conditions = [condition(section, name)["name"]] if name else section["panels"]
    ranks = list(RANKS[ending]) if ending else section["ranks"]
    _check_ranks(section, conditions, ranks, f"zipf_…{text}" if text else "zipf.ranks")
    return conditions, ranks


def training_settings(section: dict, name: str) -> dict:
    """What makes a condition's training what it is: not its name, how far it goes or what it asks of a cluster."""
    return {key: value for key, value in condition(section, name).items() if key not in ("name", "steps", "runtime")}


def run_memory(section: dict, name: str) -> int:
    """Megabytes that training or evaluating a run takes: its losses at each bit, several times over."""
    data = dataset(section, condition(section, name)["dataset"])
    return 1000 + _recorded(section, name) * data["length"] * 40 // 10**6


def table_memory(section: dict, conditions: list[str], seeds: int) -> int:
    """Megabytes that a table of these conditions' runs takes."""
    return 1000 + seeds * sum(_recorded(section, name) for name in conditions) * 400 // 10**6


def check(section: dict) -> None:
    """What no schema can say of the section.

    Raises
    ------
    ConfigurationError
        One line that names the key.
    """
    for data in section["datasets"]:
        least = (data["count"] - 1).bit_length()
        if data["length"] < least:
            raise ConfigurationError(
                f"zipf.datasets[{data['name']}].length: {data['length']} bits cannot tell {data['count']} sequences "
                f"apart; allowed: {least} or more"
            )
    for name in names(section["models"]):
        _check_condition(section, name)
    wanted = {"panels": section["panels"]}
    wanted |= {f"comparisons[{each['name']}].conditions": each["conditions"] for each in section["comparisons"]}
    for key, conditions in wanted.items():
        for name in conditions:
            named(section["models"], name, f"zipf.{key}")
    _check_ranks(section, section["panels"], section["ranks"], "zipf.ranks")


def _recorded(section: dict, name: str) -> int:
    count, evaluation = dataset(section, condition(section, name)["dataset"])["count"], section["evaluation"]
    return evaluation["checkpoints"] * (count // evaluation["train_stride"] + evaluation["head"]) + count


def _check_condition(section: dict, name: str) -> None:
    where, model = f"zipf.models[{name}]", condition(section, name)
    if name.split("_")[-1] in RANKS:
        raise ConfigurationError(f"{where}.name: the endings {', '.join(RANKS)} are taken by selections of ranks")
    named(section["datasets"], model["dataset"], f"{where}.dataset")
    if model["d_model"] % model["n_heads"]:
        raise ConfigurationError(f"{where}.d_model: {model['d_model']} is not divisible by n_heads, {model['n_heads']}")
    if model["positions"] == "rope" and model["d_model"] // model["n_heads"] % 2:
        raise ConfigurationError(f"{where}.positions: rope needs an even d_model / n_heads")
    if model["architecture"] == "one_layer_attention" and (model["n_layers"], model["positions"]) != (1, "learned"):
        raise ConfigurationError(f"{where}: one_layer_attention has n_layers: 1 and positions: learned")


def _check_ranks(section: dict, conditions: list[str], ranks: list[int], where: str) -> None:
    counts = [dataset(section, condition(section, name)["dataset"])["count"] for name in conditions]
    head, stride = section["evaluation"]["head"], section["evaluation"]["train_stride"]
    there = [rank for rank in ranks if rank < max(counts)]
    if not there or (where == "zipf.ranks" and there != ranks):
        raise ConfigurationError(f"{where}: rank {max(ranks)}; allowed: ranks 0 to {max(counts) - 1}")
    for rank in there:
        if rank >= head and rank % stride:
            raise ConfigurationError(
                f"{where}: rank {rank} is recorded at the end alone; allowed: ranks below evaluation.head, {head}, or "
                f"multiples of evaluation.train_stride, {stride}"
            )
